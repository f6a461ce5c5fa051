"""Thousands of devices on a real Mosquitto: storms, an outage, slow links; nothing lost, nothing twice, nobody flaps.

`SIMULATED_DEVICES` says how many; `make soak` says 10,000.
"""

import os

import pytest

from appliance.simulation import tally
from appliance.simulation.play import Plan, simulate

pytestmark = pytest.mark.system

DEVICES = int(os.environ.get("SIMULATED_DEVICES", "2000"))
FLAPPING = 15
"""Connections in a minute at which brokers begin to ban a client."""


@pytest.mark.timeout(3600)
def test_a_fleet_of_thousands_loses_nothing_and_nobody_flaps():
    plan = Plan(devices=DEVICES, events=1, seconds=10.0, commands=200, outage_s=5.0, patience_s=900.0)

    found = simulate(plan, None, print)
    print("\n".join(tally.lines(found)))

    assert found.connected == found.devices == DEVICES
    assert (found.lost, found.records_lost, found.duplicates) == (0, 0, 0)
    assert found.records_made > 2 * DEVICES
    assert found.events_made == 2 * DEVICES  # as many again in the outage
    assert found.commands == found.commands_answered == 200
    assert found.commands_not_executed == 0
    assert found.group_answered == DEVICES
    assert 2 <= found.most_connections_in_a_minute < FLAPPING  # the storm was one, and was seen by the broker
    assert found.is_good
