"""One run of a simulated fleet, from enrolment to the count: read it from top to bottom."""

from __future__ import annotations

import random
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pydantic import Field

from appliance.agent.uplink import UplinkSettings
from appliance.contracts.envelope import CallBody, PingBody
from appliance.contracts.record import Record
from appliance.errors import LinkError, UsageError
from appliance.fleet.home import make
from appliance.simulation import members, tally
from appliance.simulation.broker import Mosquitto, most_in_a_minute
from appliance.simulation.commander import Commander
from appliance.simulation.crowd import Census
from appliance.simulation.processes import CollectorProcess, CrowdProcess, Order, SlowProcess
from appliance.simulation.tally import Tally
from appliance.trust import keys

SITE: Final = "simulated"
DESCRIPTORS_EACH: Final = 3
"""Of a simulated device: its connection, and the two ends by which its loop can be woken."""

SPARE_DESCRIPTORS: Final = 200
MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- a folder of the system's, and ours within is made with mkdtemp


class Plan(Record):
    """What is to be simulated."""

    devices: int = Field(default=1000, ge=1, le=50_000)
    processes: int = Field(default=2, ge=1, le=16)
    events: int = Field(default=5, ge=0, le=10_000)
    """Of each device, spread over the run."""

    seconds: float = Field(default=15.0, gt=0, le=86_400)
    """How long events and commands go on."""

    commands: int = Field(default=200, ge=0, le=100_000)
    storm: bool = True
    outage_s: float = Field(default=10.0, ge=0, le=3600)
    slow: float = Field(default=0.02, ge=0, le=1)
    """Share of the devices behind a slow link."""

    slow_delay_s: float = Field(default=0.4, ge=0, le=30)
    slow_bytes_per_s: float = Field(default=4000, gt=0)
    spread_s: float = Field(default=10.0, ge=0, le=300)
    """Over which the first connections are spread; 30 s is what real devices do."""

    longest_pause_s: float = Field(default=30.0, ge=1, le=300)
    """Between two attempts of a device; 120 s is what real devices do."""

    patience_s: float = Field(default=300.0, gt=0, le=36_000)
    """For each wait: for all to be connected, and for everything to be acknowledged."""


def descriptors_needed(plan: Plan) -> int:
    """Return how many descriptors the hungriest process of *plan* has open."""
    most_of_a_crowd = -(-plan.devices // plan.processes) * DESCRIPTORS_EACH
    slow = int(plan.devices * plan.slow) * 2
    return max(most_of_a_crowd, plan.devices, slow) + SPARE_DESCRIPTORS


def raise_limit(needed: int) -> None:
    """Let this process and its children have *needed* descriptors open.

    Raises:
        UsageError: the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UsageError(
            f"this needs {needed} descriptors in one process, and {hard} are allowed: take fewer --devices, more"
            " --processes, or a higher limit (`ulimit -Hn`, LimitNOFILE= of a service)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


def simulate(plan: Plan, folder: Path | None, show: Callable[[str], None]) -> Tally:
    """Run *plan* and return what it came to.

    Args:
        folder: where broker and controller keep their files; memory when none is named.

    Raises:
        UsageError: the system allows too few descriptors.
        LinkError: the broker does not start, a device does not connect, or a process ended.
    """
    raise_limit(descriptors_needed(plan))
    with ExitStack() as stack:
        if folder is None:
            inside = MEMORY if MEMORY.is_dir() else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-simulation-", dir=inside)))
        return Run(plan, folder, stack, show).play()


class Run:
    """A run under way; the constructor starts what it needs, the stack ends it."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack, show: Callable[[str], None]) -> None:
        self._plan = plan
        self._show = show
        self._chance = random.Random()
        self._broker = Mosquitto(folder / "broker")
        stack.callback(self._broker.stop)
        self._broker.start()
        settings = self._broker.settings(spread_s=plan.spread_s, longest_s=plan.longest_pause_s)
        names = members.names(plan.devices)
        slow = {}
        if slow_n := int(plan.devices * plan.slow):
            slow_link = SlowProcess(self._broker.port, delay_s=plan.slow_delay_s, bytes_per_s=plan.slow_bytes_per_s)
            stack.callback(slow_link.end)
            slow = dict.fromkeys(
                names[:: plan.devices // slow_n][:slow_n], settings.model_copy(update={"port": slow_link.port})
            )
        began_s = time.monotonic()
        self._fleet_home = folder / "controller"
        home = make(self._fleet_home, site=SITE)
        home.use_broker(settings)
        commander_key = keys.fleeting()
        enrolled = members.enrol(home, names, beside=commander_key.public, slow=slow)
        home.close()
        show(f"{plan.devices} devices enrolled in {time.monotonic() - began_s:.1f} s, {len(slow)} behind a slow link")
        self._collector = CollectorProcess(self._fleet_home)
        stack.callback(self._collector.end)
        self._crowds = [CrowdProcess(enrolled[n :: plan.processes], UplinkSettings()) for n in range(plan.processes)]
        for crowd in self._crowds:
            stack.callback(crowd.end)
        self._names = names
        self._commander = Commander(
            settings, SITE, commander_key, {m.name: m.key.public for m in enrolled}, self._chance
        )
        stack.callback(self._commander.close)

    def play(self) -> Tally:
        """Play every act in turn."""
        plan = self._plan
        connect_s = self._all_connected("first connection")
        self._drain()  # what a first connection brings with it must not be counted as the commands' round trip
        self._tell(Order("traffic", each_n=plan.events, over_s=plan.seconds))
        self._command_them(plan.seconds)
        group_s, group_n = self._ask_all()
        storm_s = self._storm() if plan.storm else None
        outage_s = self._outage() if plan.outage_s else None
        drain_s = self._drain()
        census = self._census()
        cpu_s = self._collector.cpu_s()
        kept = tally.kept(self._fleet_home)
        per_device = [times for name, times in self._broker.came().items() if name.startswith("sim-")]
        trips = self._commander.round_trips_s
        return Tally(
            devices=plan.devices,
            connected=census.connected,
            connect_s=connect_s,
            events_made=census.made,
            events_kept=kept.distinct,
            records_made=sum(crowd.records_n for crowd in self._crowds),
            records_kept=kept.records,
            lost=census.made - kept.distinct,
            duplicates=kept.twice,
            commands=self._commander.sent_n,
            commands_answered=len(trips),
            commands_not_executed=self._commander.refused_n,
            p50_s=tally.percentile(trips, 0.50),
            p99_s=tally.percentile(trips, 0.99),
            group_answered=group_n,
            group_s=group_s,
            storm_s=storm_s,
            outage_s=outage_s,
            most_connections_in_a_minute=max(map(most_in_a_minute, per_device), default=0),
            drain_s=drain_s,
            collector_cpu_s=cpu_s,
            collector_per_core_s=(kept.events + kept.records) / max(cpu_s, 0.01),
            devices_cpu_s=sum(crowd.cpu_s for crowd in self._crowds),
        )

    def _all_connected(self, what: str) -> float:
        """Wait until every device is connected, and return how long that took."""
        began_s = time.monotonic()
        self._until(lambda: self._census().connected == self._plan.devices, what)
        took_s = time.monotonic() - began_s
        self._show(f"{what}: {self._plan.devices} connected after {took_s:.1f} s")
        return took_s

    def _command_them(self, seconds: float) -> None:
        """Send commands to devices drawn at random, evenly over *seconds*; half of them act."""
        self._until(lambda: self._commander.connected, "the commander's connection")
        began_s = time.monotonic()
        sent_n = 0
        while (passed_s := time.monotonic() - began_s) < seconds or sent_n < self._plan.commands:
            if sent_n < self._plan.commands * passed_s / seconds and sent_n < self._plan.commands:
                body = PingBody() if sent_n % 2 else CallBody(tool="set_level", arguments={"level": sent_n % 100})
                sent_n += self._commander.ask(self._chance.choice(self._names), body)
            self._pump(0.0 if sent_n < self._plan.commands * passed_s / seconds else 0.02)
        self._until(lambda: self._commander.waiting_n == 0, "the answers to commands", needed=False)
        self._show(f"commands: {len(self._commander.round_trips_s)} of {sent_n} answered")

    def _ask_all(self) -> tuple[float, int]:
        """Ask the whole site at once; return how long the answers took, and how many came."""
        began_s = time.monotonic()
        group = self._commander.ask_all()
        if group is None:
            raise LinkError("the commander's connection broke")
        devices_n = self._plan.devices
        self._until(lambda: self._commander.answered_n(group) == devices_n, "the group's answers", needed=False)
        took_s, answered_n = time.monotonic() - began_s, self._commander.answered_n(group)
        self._show(f"group command: {answered_n} answered after {took_s:.1f} s")
        return took_s, answered_n

    def _storm(self) -> float:
        """Break every connection at once."""
        before_n = self._census().connections
        self._tell(Order("drop"))
        self._until(lambda: self._census().connected < self._plan.devices, "the storm to begin")
        took_s = self._all_connected("storm")
        assert self._census().connections >= before_n + self._plan.devices
        return took_s

    def _outage(self) -> float:
        """Take the broker away while events go on."""
        self._broker.stop()
        self._tell(Order("traffic", each_n=self._plan.events, over_s=self._plan.outage_s))
        end_s = time.monotonic() + self._plan.outage_s
        while time.monotonic() < end_s:
            self._pump(0.1)
        self._broker.start()
        return self._all_connected("outage")

    def _drain(self) -> float:
        """Wait until the controller has acknowledged everything."""
        began_s = time.monotonic()

        def is_done() -> bool:
            found = [crowd.waiting_n for crowd in self._crowds]
            if None not in found:
                if sum(n or 0 for n in found) == 0:
                    return True
                self._tell(Order("count"))
            return False

        self._tell(Order("count"))
        self._until(is_done, "everything to be acknowledged", needed=False)
        return time.monotonic() - began_s

    def _until(self, is_so: Callable[[], bool], what: str, *, needed: bool = True) -> None:
        end_s = time.monotonic() + self._plan.patience_s
        while not is_so():
            self._pump(0.05)
            if time.monotonic() > end_s:
                if not needed:
                    self._show(f"gave up waiting for {what} after {self._plan.patience_s:g} s")
                    return
                census = self._census()
                raise LinkError(
                    f"{what}: {census.connected} of {self._plan.devices} devices are connected after"
                    f" {self._plan.patience_s:g} s"
                )

    def _pump(self, wait_s: float) -> None:
        self._commander.step(wait_s)
        for crowd in self._crowds:
            crowd.listen()
        self._collector.cpu_s()

    def _tell(self, order: Order) -> None:
        for crowd in self._crowds:
            crowd.tell(order)

    def _census(self) -> Census:
        return sum((crowd.census for crowd in self._crowds), Census())
