"""`make demo-fleet`: a broker, two devices and a controller in one terminal, and what crosses between them.

Everything is real: two `appliance run` processes, an MQTT 5 broker on loopback, a controller with its database; only
the homes are thrown away at the end.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import click

from appliance import terminal
from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.contracts.envelope import AskBody, Batch, CallBody, Desc, Response, State
from appliance.errors import ApplianceError, LinkError
from appliance.fleet import enrolling, views
from appliance.fleet.collector import Collector
from appliance.fleet.devices import devices
from appliance.fleet.home import FleetHome, make
from appliance.fleet.taking import Seen
from appliance.transport.broker import EmbeddedBroker, free_port

SITE: Final = "demo"
DEVICES: Final = ("workshop", "greenhouse")
READY_S: Final = 90.0
ANSWER_S: Final = 12.0
SETTLE_S: Final = 8.0
STOP_S: Final = 8.0


class Show:
    """Prints what happens with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __call__(self, who: str, text: str) -> None:
        """Print one line."""
        terminal.tell(f"{time.monotonic() - self._began_s:6.1f} s  {who:<11} {text}")


class Watched:
    """What the collector has heard so far."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self.online: set[str] = set()
        self.described: set[str] = set()
        self.reports_n = 0
        self.records_n = 0

    def __call__(self, seen: Seen) -> None:
        """Take what arrived, and show it."""
        match seen.said:
            case State(state=word) if word not in ("lost", "disconnected"):
                self.online.add(seen.device)
            case State():
                self.online.discard(seen.device)
            case Desc():
                self.described.add(seen.device)
            case Batch(stream="evt") if seen.new:
                self.reports_n += len(seen.said.items)
            case Batch() if seen.new:
                self.records_n += len(seen.said.items)
            case _:
                pass
        if seen.new and not isinstance(seen.said, Response):
            for line in views.seen_lines(seen):
                self._show("controller", line)


@click.command()
@click.option(
    "--broker",
    type=click.Choice(["auto", "mosquitto", "embedded"]),
    default="auto",
    show_default=True,
    help="auto takes Mosquitto when it is installed.",
)
@click.option("--say", "words", default="dim the workshop lights to 30 percent", show_default=True)
def main(broker: str, words: str) -> None:
    """Show a command and its report crossing a broker, in one terminal; leaves nothing behind."""
    show = Show()

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        with ExitStack() as stack:
            _play(stack, show, broker, words)
    except KeyboardInterrupt:
        show("demo", "stopped by you; everything is taken down")
    except ApplianceError as error:
        show("demo", f"could not go on: {error}")
        raise SystemExit(error.exit_code) from error


def _play(stack: ExitStack, show: Show, broker: str, words: str) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
    settings = stack.enter_context(_broker(broker, show))
    home = make(folder / "controller", site=SITE)
    stack.callback(home.close)
    home.use_broker(settings)
    show("controller", f"made: site {SITE}, key {home.key.key_id}")
    for name in DEVICES:
        enrolling.enrol_here(home, folder / name, device=name, role=Role.OPERATOR, replace=False, now=datetime.now(UTC))
        show(name, "enrolled: it obeys this controller's key, and no other")
    watched = Watched(show)
    collector = Collector(home, now=lambda: datetime.now(UTC), chance=random.Random(), on_seen=watched)
    stack.callback(collector.close)
    processes = {name: stack.enter_context(_device(folder / name, name, show)) for name in DEVICES}
    _until(
        collector,
        lambda: watched.online & watched.described >= set(DEVICES),
        READY_S,
        processes,
        "the devices to say that they are ready",
    )
    tool = _first_tool(home)
    orders: list[tuple[str, AskBody | CallBody]] = [(DEVICES[0], AskBody(text=words)), (DEVICES[1], tool)]
    for device, body in orders:
        _order(show, collector, home, device, body)
    _until(
        collector, lambda: watched.reports_n >= len(orders), SETTLE_S, processes, "the reports to arrive", needed=False
    )
    _until(collector, lambda: _acked(home), SETTLE_S, processes, "the last acknowledgements", needed=False)
    show(
        "controller",
        f"has {watched.records_n} ledger records and {watched.reports_n} reports, each once, tree checked",
    )
    for line in views.device_table(devices(home, datetime.now(UTC))):
        show("", line)
    if not watched.reports_n or not watched.records_n:
        raise LinkError("no report crossed the broker")
    show("demo", "done")


def _order(show: Show, collector: Collector, home: FleetHome, device: str, body: AskBody | CallBody) -> None:
    """Send as a person at another terminal would: by a process of its own, while the collector goes on."""
    if isinstance(body, AskBody):
        said, arguments = repr(body.text), [body.text]
    else:
        said, arguments = f"{body.tool}()", ["--call", body.tool, "--arguments", json.dumps(body.arguments)]
    show("controller", f"-> {device}: {said}, signed, good for 60 s")
    sending = subprocess.Popen(
        [sys.executable, "-m", "appliance", "fleet", "send", "--fleet-home", str(home.path), device, *arguments,
         "--wait", str(ANSWER_S), "--expires", "60"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while sending.poll() is None:
            collector.step(0.1)
        assert sending.stdout is not None
        for line in sending.stdout:
            show("controller", f"<- {line.rstrip()}")
    finally:
        _end(sending)


def _first_tool(home: FleetHome) -> CallBody:
    """Choose a tool of the second device that needs no argument, from what the device itself described."""
    row = home.db.row("select description from devices where device = ?", [DEVICES[1]]) or {"description": None}
    tools = [
        t["name"]
        for t in json.loads(row["description"] or "{}").get("tools", ())
        if not t["parameters"].get("required")
    ]
    if tools:
        # One that only looks, where there is one.
        return CallBody(tool=next((name for name in tools if "status" in name), tools[0]))
    raise LinkError(f"{DEVICES[1]} has described no tool that can be called without arguments")


def _acked(home: FleetHome) -> bool:
    return len(home.db.rows("select 1 as one from streams where upto > 0")) >= 2 * len(DEVICES)


def _until(
    collector: Collector,
    done: Callable[[], bool],
    wait_s: float,
    processes: dict[str, subprocess.Popen[bytes]],
    what: str,
    *,
    needed: bool = True,
) -> None:
    end_s = time.monotonic() + wait_s
    while not done() and time.monotonic() < end_s:
        collector.step(0.2)
        for name, process in processes.items():
            if process.poll() is not None:
                raise LinkError(f"{name} ended with code {process.returncode} before {what}")
    if needed and not done():
        raise LinkError(f"waited {wait_s:g} s for {what}")


@contextmanager
def _broker(wanted: str, show: Show) -> Iterator[BrokerSettings]:
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if wanted == "mosquitto" and mosquitto is None:
        raise LinkError("Mosquitto is not installed; leave --broker out to use the embedded broker")
    if mosquitto is not None and wanted != "embedded":
        with _mosquitto(mosquitto) as port:
            show("broker", f"Mosquitto on 127.0.0.1:{port}")
            yield _settings(port)
    else:
        with EmbeddedBroker() as embedded:
            show("broker", f"embedded MQTT 5 broker on 127.0.0.1:{embedded.port}")
            yield _settings(embedded.port)


def _settings(port: int) -> BrokerSettings:
    return BrokerSettings(host="127.0.0.1", port=port, first_connect_s=0.0, reconnect_s=(0.2, 5.0), will_delay_s=5)


@contextmanager
def _mosquitto(program: str) -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="mosquitto-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n")
        process = subprocess.Popen(
            [program, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield port
        finally:
            _end(process)


@contextmanager
def _device(home: Path, name: str, show: Show) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "demo.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches this program, which ends the devices in order.
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "--home", str(home), "run"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        show(name, f"started as process {process.pid}")
        try:
            yield process
        finally:
            ended = _end(process)
            if ended not in (0, -signal.SIGTERM):
                show(name, f"ended with code {ended}")
                for line in (home / "demo.log").read_text("utf-8", "replace").splitlines()[-5:]:
                    show(name, line)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return int(process.returncode)


if __name__ == "__main__":
    main()
