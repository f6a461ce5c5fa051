"""A device on a bad wire: whatever goes wrong, every report arrives once, and the controller misses nothing.

On the embedded broker, with small numbers; tests/system/test_bad_network.py does the same and more on Mosquitto.
"""

import importlib.util
from pathlib import Path

import pytest

from appliance.transport.broker import EmbeddedBroker


def rig(name):
    path = Path(__file__).parents[2] / "rigs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


outage = rig("outage")


@pytest.fixture
def field(tmp_path):
    """A controller at a broker, and a device that reaches the same broker over a wire that can be bad."""
    made = []

    def make(port, **more):
        wire = rig("bad_network").BadNetwork(port)
        fleet_rig = rig("fleet_rig")
        fleet = fleet_rig.FleetRig(tmp_path, port)
        made.append((fleet, wire))
        fleet.home.use_broker(fleet_rig.broker_settings(wire.port, keepalive_s=1, **more))
        device = fleet.device(uplink=fleet_rig.UplinkSettings(poll_s=0.02, ack_timeout_s=0.5, stop_s=3.0, batch_n=10))
        fleet.home.use_broker(fleet.broker)  # the controller's own wire is good
        fleet.collect()
        return fleet, wire, device

    yield make
    for fleet, wire in made:
        wire.faults.__init__()
        fleet.close()
        wire.close()


@pytest.mark.parametrize("fault", outage.FAULTS)
def test_every_report_arrives_once_whatever_the_wire_does(field, fault):
    with EmbeddedBroker() as broker:
        fleet, wire, device = field(broker.port)

        told = outage.live_through(fleet, wire, device, fault, events_n=60)
        outage.settled(fleet, device)

        assert [row["id"] for row in fleet.records("evt")] == told
        assert outage.complaints(fleet) == []
        fleet.close()
        fleet.collector, fleet.devices = None, []


def test_a_broker_that_forgets_everything_costs_nothing(field):
    broker = EmbeddedBroker()
    broker.start()
    try:
        fleet, _, device = field(broker.port, reconnect_s=(1.0, 2.0))  # below the bound of attempts in a minute
        for n in range(100):
            device.event(f"e{n}")
            if n in (30, 60):
                broker.stop()
                broker.start()
        outage.settled(fleet, device)

        assert [row["id"] for row in fleet.records("evt")] == [f"e{n}" for n in range(100)]
        assert outage.complaints(fleet) == []
        fleet.close()
        fleet.collector, fleet.devices = None, []
    finally:
        broker.stop()
