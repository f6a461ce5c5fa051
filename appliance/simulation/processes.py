"""The parts of a simulation that run beside it: crowds of devices, a slow link, a collector.

A crowd is a fork of this process: what it is made of is handed over as it is, orders and counts go through a pipe.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Literal, NamedTuple

import psutil

from appliance.agent.uplink import UplinkSettings
from appliance.errors import LinkError
from appliance.simulation.crowd import Census, Crowd, SimulationClock, Traffic
from appliance.simulation.device import Member, SimulatedDevice
from appliance.simulation.slow_link import SlowLink
from appliance.storage import memory
from appliance.transport.broker import HOST

_FORK: Final = multiprocessing.get_context("fork")
_COUNT_EVERY_S: Final = 0.5
_END_S: Final = 60.0


class Order(NamedTuple):
    """What a crowd is told to do."""

    what: Literal["traffic", "drop", "count", "end"]
    each_n: int = 0
    over_s: float = 0.0


class Word(NamedTuple):
    """What a crowd says of itself."""

    census: Census
    waiting_n: int | None = None
    """Records without an acknowledgement, when that was asked for."""

    cpu_s: float = 0.0
    records_n: int = 0
    """Of all ledgers, when that was asked for."""


class CrowdProcess:
    """Many devices in a process of their own."""

    def __init__(self, members: list[Member], settings: UplinkSettings) -> None:
        self.census = Census()
        self.waiting_n: int | None = None
        self.records_n = 0
        self.cpu_s = 0.0
        self.pipe, far = _FORK.Pipe()
        self._process = _FORK.Process(target=_live, args=(far, members, settings), daemon=True)
        self._process.start()
        far.close()

    def tell(self, order: Order) -> None:
        """Give an order; it is carried out between two turns."""
        if order.what == "count":
            self.waiting_n = None
        self.pipe.send(order)

    def listen(self) -> None:
        """Take what it has said.

        Raises:
            LinkError: the process has ended by itself.
        """
        try:
            while self.pipe.poll():
                word = self.pipe.recv()
                assert isinstance(word, Word)
                self.census, self.cpu_s = word.census, word.cpu_s
                if word.waiting_n is not None:
                    self.waiting_n, self.records_n = word.waiting_n, word.records_n
        except (EOFError, ConnectionError):
            self._process.join(1)
            raise LinkError(f"a process of simulated devices ended with code {self._process.exitcode}") from None

    def end(self) -> None:
        """End every connection, and the process."""
        with contextlib.suppress(ConnectionError):
            self.pipe.send(Order("end"))
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class SlowProcess:
    """A slow link in a process of its own; the port is known at once."""

    def __init__(self, to_port: int, *, delay_s: float, bytes_per_s: float) -> None:
        link = SlowLink(HOST, to_port, delay_s=delay_s, bytes_per_s=bytes_per_s)
        self.port = link.port
        self._process = _FORK.Process(target=_slow, args=(link,), daemon=True)
        self._process.start()
        link.close()  # the child has it

    def end(self) -> None:
        """Break what goes through it, and end."""
        self._process.terminate()
        self._process.join()


class CollectorProcess:
    """`appliance fleet collect`, as a service runs it."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "fleet", "collect", "--fleet-home", str(home)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._seen = psutil.Process(self._process.pid)

    def cpu_s(self) -> float:
        """Return the processor time it has used.

        Raises:
            LinkError: it has ended.
        """
        if self._process.poll() is not None:
            raise LinkError(f"the collector ended with code {self._process.returncode}")
        used = self._seen.cpu_times()
        return float(used.user + used.system)

    def end(self) -> None:
        """End it in order."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _live(pipe: Connection[Word, Order], members: list[Member], settings: UplinkSettings) -> None:
    _be_ended_by_the_simulation()
    template, clock = memory.blank(), SimulationClock()
    crowd = Crowd([SimulatedDevice(member, template, settings, clock) for member in members])
    said_s = 0.0
    while True:
        crowd.step(0.1)
        while pipe.poll():
            order = pipe.recv()
            match order.what:
                case "traffic":
                    traffic = Traffic(len(members), each_n=order.each_n, over_s=order.over_s, began_s=time.monotonic())
                    crowd.begin(traffic)
                case "drop":
                    crowd.drop()
                case "count":
                    pipe.send(Word(crowd.census(), crowd.waiting_n(), time.process_time(), crowd.records_n()))
                case "end":
                    crowd.close()
                    return
        if time.monotonic() - said_s >= _COUNT_EVERY_S:
            said_s = time.monotonic()
            pipe.send(Word(crowd.census(), None, time.process_time()))


def _slow(link: SlowLink) -> None:
    _be_ended_by_the_simulation()
    while True:
        link.step()


def _be_ended_by_the_simulation() -> None:
    """Leave the terminal's interrupt to the simulation, which ends us in order; what it does on SIGTERM is not ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
