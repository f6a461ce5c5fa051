"""Many devices in one loop: all of them are turned, all come back, and no descriptor is too large."""

import os
import random
import resource
import time

import pytest

from appliance.agent.uplink import UplinkSettings
from appliance.contracts.enrolment import BrokerSettings, EnrolledController, Enrolment
from appliance.simulation.crowd import Crowd, SimulationClock, Traffic
from appliance.simulation.device import Member, SimulatedDevice
from appliance.storage import memory
from appliance.transport.broker import EmbeddedBroker
from appliance.transport.mqtt import Link
from appliance.trust import keys

DEVICES = 12


@pytest.fixture(scope="module")
def broker():
    with EmbeddedBroker() as embedded:
        yield BrokerSettings(
            host="127.0.0.1", port=embedded.port, first_connect_s=0.2, reconnect_s=(0.1, 0.5), will_delay_s=0
        )


@pytest.fixture
def crowd(broker):
    controller = EnrolledController(public_key=keys.fleeting().public.raw.hex(), name="controller")
    template, clock = memory.blank(), SimulationClock()
    devices = []
    for n in range(DEVICES):
        key = keys.fleeting()
        granted = Enrolment(
            site="site", device=f"sim-{n}", device_key=key.key_id, controllers=(controller,), broker=broker
        )
        devices.append(SimulatedDevice(Member(f"sim-{n}", key, granted), template, UplinkSettings(), clock))
    made = Crowd(devices)
    yield made
    made.close()


def until(crowd, done, wait_s=30.0):
    end_s = time.monotonic() + wait_s
    while not done():
        assert time.monotonic() < end_s, crowd.census()
        crowd.step(0.05)


def test_all_connect_and_after_a_storm_all_come_back(crowd):
    until(crowd, lambda: crowd.census().connected == DEVICES)
    first = crowd.census().connections

    crowd.drop()
    until(crowd, lambda: crowd.census().connections == first + DEVICES)

    assert crowd.census().connected == DEVICES
    assert crowd.census().faults == 0


def test_events_wait_for_a_controller_that_is_not_there(crowd):
    until(crowd, lambda: crowd.census().connected == DEVICES)
    before = crowd.waiting_n()
    records_before = crowd.records_n()

    crowd.begin(Traffic(DEVICES, each_n=3, over_s=0.0, began_s=time.monotonic()))
    crowd.step(0.0)

    assert crowd.census().made == 3 * DEVICES
    assert crowd.waiting_n() == before + 2 * 3 * DEVICES  # each is a record of the ledger and a report
    assert crowd.records_n() == records_before + 3 * DEVICES


def test_a_link_works_whatever_the_number_of_its_descriptor(broker):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip(f"{hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    taken = [os.dup(0) for _ in range(1100)]
    link = Link(
        broker, "high", filters=("a",), on_message=lambda _: None, on_opened=lambda _: None, on_lost=lambda _: None,
        chance=random.Random(1),
    )  # fmt: skip
    try:
        end_s = time.monotonic() + 20
        while not link.connected:
            assert time.monotonic() < end_s
            link.step(0.05)
        assert link.descriptor > 1023
    finally:
        link.close()
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
