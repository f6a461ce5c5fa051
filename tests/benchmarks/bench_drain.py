"""A backlog to the controller's database, against a bare paho loop that publishes the same bytes.

    python tests/benchmarks/bench_drain.py [--events 20000] [--runs 3] [--body 200] [--folder FOLDER]

The device is the real uplink over a real database, the controller the real collector in a process of its own, the
broker Mosquitto where it is installed, else the embedded one; an event counts once the controller has committed it and
the device has its acknowledgement. Baseline, in turns with it in the same process: paho publishes exactly the messages
that left the device (topic and bytes), at QoS 1 with the same number in flight, and an event counts once the broker has
confirmed its message; no database, no signature, no controller. Beside both: bytes on the wire packed and plain, and
how much memory the device took on while it drained.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parents[1] / "rigs"))

import fleet_rig
import mosquitto_rig

from appliance.agent.uplink import UplinkSettings
from appliance.fleet.collector import Collector
from appliance.fleet.home import open_home
from appliance.storage import outbox
from appliance.transport.broker import EmbeddedBroker
from appliance.transport.messages import Message

WORDS = ("kitchen", "light", "door", "bedroom", "heating", "allowed", "confirmed", "because", "schedule", "window")


def body(chance: Random, length: int) -> dict[str, object]:
    """Return a report of about *length* bytes, as varied as reports are."""
    said = " ".join(chance.choice(WORDS) for _ in range(length // 8))
    return {"request_id": f"{chance.getrandbits(80):020x}", "status": "done", "reason": said, "ms": chance.random()}


def collect(home: Path) -> int:
    """Run the collector in a child until it is killed."""
    child = os.fork()
    if child:
        return child
    collector = Collector(open_home(home), now=lambda: datetime.now(UTC), chance=Random())
    while True:
        collector.step(0.5)


class Tee:
    """Keeps what leaves through a link."""

    def __init__(self, link: Any) -> None:
        self.messages: list[Message] = []
        self._publish = link.publish
        link.publish = self

    def __call__(self, message: Message, settled: Any) -> bool:
        taken = bool(self._publish(message, settled))
        if taken and "/evt/" in message.topic:
            self.messages.append(message)
        return taken


def drain(
    folder: Path, port: int, events_n: int, length: int, pack_from: int
) -> tuple[float, float, int, list[Message]]:
    """Return seconds to drain *events_n*, of the processor in this process, bytes of memory it took, and what left."""
    fleet = fleet_rig.FleetRig(folder, port)
    device = fleet.device(start=False, uplink=UplinkSettings(poll_s=0.05, pack_from_bytes=pack_from))
    fleet.home.close()
    device.start()
    while not device.uplink.facts()["connected"]:
        time.sleep(0.01)
    chance = Random(1)
    tee = Tee(device.uplink._link)
    with device.db.atomic():
        for n in range(events_n):
            outbox.enqueue(device.db, envelope_id=f"e{n}", kind="turn", at=datetime.now(UTC), body=body(chance, length))
    child = collect(folder / "controller")
    process = psutil.Process()
    memory, cpu = process.memory_info().rss, process.cpu_times().user + process.cpu_times().system
    most, began_s = memory, time.perf_counter()
    while outbox.mark(device.db, "evt").acked < events_n:
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
    took_s = time.perf_counter() - began_s
    cpu = process.cpu_times().user + process.cpu_times().system - cpu
    device.stop()
    device.db = None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return took_s, cpu, most - memory, tee.messages


def bare(port: int, messages: list[Message], in_flight: int) -> float:
    """Return the seconds that paho alone takes for *messages* until the broker has confirmed the last."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare", protocol=paho.MQTTv5)
    slots, left = threading.Semaphore(in_flight), threading.Event()
    confirmed = [0]

    def published(*_: object) -> None:
        confirmed[0] += 1
        slots.release()
        if confirmed[0] == len(messages):
            left.set()

    client.on_publish = published
    client.max_inflight_messages_set(in_flight)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began_s = time.perf_counter()
    for message in messages:
        slots.acquire()
        client.publish("bare/" + message.topic, message.payload, qos=1)
    left.wait(120)
    took_s = time.perf_counter() - began_s
    client.disconnect()
    client.loop_stop()
    return took_s


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--body", type=int, default=200, help="bytes of a report")
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    print(f"broker: {'Mosquitto' if mosquitto else 'embedded'}; {chosen.events} events of about {chosen.body} bytes")
    print("| run | packed | events/s to the controller's database | processor ms per 1,000 | memory MB | wire kB"
          " | paho alone, same bytes: events/s |")  # fmt: skip
    print("|---|---|---:|---:|---:|---:|---:|")
    ratios = []
    for run in range(chosen.runs):
        for pack_from in (1024, 0):
            with tempfile.TemporaryDirectory(dir=chosen.folder) as made:
                folder = Path(made)
                broker = mosquitto_rig.Mosquitto(folder) if mosquitto else EmbeddedBroker()
                broker.start()
                try:
                    ours_s, cpu_s, memory, messages = drain(folder, broker.port, chosen.events, chosen.body, pack_from)
                    bare_s = bare(broker.port, messages, UplinkSettings().in_flight_n)
                finally:
                    broker.stop()
            ratios.append(bare_s / ours_s)
            print(
                f"| {run + 1} | {'yes' if pack_from else 'no'} | {chosen.events / ours_s:.0f}"
                f" | {cpu_s / chosen.events * 1e6:.0f} | {memory / 2**20:.1f}"
                f" | {sum(len(m.payload) for m in messages) / 1000:.0f} | {chosen.events / bare_s:.0f} |"
            )
    print(f"our share of paho's rate: median {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
