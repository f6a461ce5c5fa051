"""A device on a bad wire to a real Mosquitto, for days, with power cuts on both sides: nothing lost, nothing twice.

What is asserted are counts. How fast it went is printed, for docs/measurements; a test does not fail for a busy
machine. The power cuts here are SIGKILL: what a process wrote stays. A device's disk that forgets is in
test_write_log.py; nothing does that to the controller's database.
"""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from appliance.storage import outbox

pytestmark = pytest.mark.system

RIGS = Path(__file__).parents[1] / "rigs"
sys.path.insert(0, str(RIGS))  # the rigs import each other

import bad_network  # noqa: E402 -- found by the line above
import fleet_rig  # noqa: E402
import outage  # noqa: E402

DAYS_S = 72 * 3600
EVENTS_N = int(os.environ.get("SOAK_OUTAGE_EVENTS", "20000"))
"""Spread over 72 hours; `make soak` says 259,200: one a second."""

CUTS_N = int(os.environ.get("SOAK_CUTS", "8"))
"""`make soak` says 60."""

CUTS_WAIT_S = 120 + 10 * CUTS_N
"""Long after it has hung."""


@pytest.fixture
def wire(broker):
    made = bad_network.BadNetwork(broker.port)
    yield made
    made.close()


@pytest.fixture
def field(broker, wire, make_fleet):
    """A controller with a good wire, and a device with a bad one; both at the same Mosquitto."""

    def make(*, batch_n=10, **more):
        fleet = make_fleet(broker.port)
        fleet.home.use_broker(fleet_rig.broker_settings(wire.port, keepalive_s=2, **more))
        uplink = fleet_rig.UplinkSettings(poll_s=0.02, ack_timeout_s=1.0, stop_s=3.0, batch_n=batch_n)
        device = fleet.device(uplink=uplink)
        fleet.home.use_broker(fleet.broker)
        fleet.collect()
        return fleet, device

    yield make
    wire.faults.__init__()


@pytest.mark.parametrize("fault", outage.FAULTS)
def test_every_report_arrives_once_whatever_the_wire_does(field, wire, fault):
    fleet, device = field()

    told = outage.live_through(fleet, wire, device, fault)
    outage.settled(fleet, device)

    assert [row["id"] for row in fleet.records("evt")] == told
    assert outage.complaints(fleet) == []


@pytest.mark.parametrize("remembers", [True, False], ids=["with its persistence", "without its persistence"])
def test_a_broker_that_is_killed_costs_nothing(field, broker, remembers):
    fleet, device = field(reconnect_s=(1.0, 2.0))
    for n in range(90):
        device.event(f"e{n}")
        if n in (30, 60):
            broker.process.send_signal(signal.SIGKILL)
            broker.process.wait(10)
            if not remembers:
                broker.forget_everything()
            broker.start()
            fleet.until(lambda: device.uplink.facts()["connected"], wait_s=30)
    outage.settled(fleet, device)

    assert [row["id"] for row in fleet.records("evt")] == [f"e{n}" for n in range(90)]
    assert outage.complaints(fleet) == []


@pytest.mark.timeout(7200)
def test_three_days_offline_cost_nothing_but_time(field, wire):
    fleet, device = field(batch_n=100)
    fleet.until(lambda: device.uplink.facts()["connected"])
    wire.faults.refuse_connections = True
    wire.reset()
    began = device.clock.now()
    for start in range(0, EVENTS_N, 5000):
        with device.db.atomic():
            for n in range(start, min(start + 5000, EVENTS_N)):
                at = began + timedelta(seconds=n * DAYS_S / EVENTS_N)
                outbox.enqueue(device.db, envelope_id=f"e{n}", kind="turn", at=at, body={"n": n, "room": "kitchen"})
    device.clock.skip(float(DAYS_S))
    wire.faults.refuse_connections = False

    began_s = time.monotonic()
    memory = [(0, _memory_mb())]
    while (acked := outbox.mark(device.db, "evt").acked) < EVENTS_N:
        for _ in range(50):
            fleet.collector.step(0.02)
        fleet.seen.clear()  # the rig's own memory
        memory.append((acked, _memory_mb()))
    took_s = time.monotonic() - began_s

    begun_mb = max(mb for acked, mb in memory if acked <= EVENTS_N // 2)
    most_mb = max(mb for _, mb in memory)
    print(f"{EVENTS_N} events of 72 h drained in {took_s:.0f} s: {EVENTS_N / took_s:.0f}/s")
    print(f"memory of both: {memory[0][1]:.0f} MB before, up to {begun_mb:.0f} in the first half, {most_mb:.0f} in all")
    assert [row["id"] for row in fleet.records("evt")] == [f"e{n}" for n in range(EVENTS_N)]
    assert outage.complaints(fleet) == []
    assert most_mb - begun_mb < 24
    assert device.uplink.facts()["events_dropped"] == 0


def _memory_mb():
    return psutil.Process().memory_info().rss / 2**20


@pytest.mark.timeout(CUTS_WAIT_S + 60)
def test_power_cuts_on_both_sides_lose_nothing_and_double_nothing(broker, tmp_path):
    done = subprocess.run(
        [sys.executable, str(RIGS / "both_sides_rig.py"), str(tmp_path), str(CUTS_N), "7", str(broker.port)],
        capture_output=True,
        text=True,
        timeout=CUTS_WAIT_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == []
    assert result["device cuts"] >= CUTS_N // 2
    assert result["controller cuts"] >= CUTS_N // 2
