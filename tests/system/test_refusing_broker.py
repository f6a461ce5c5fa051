"""A real Mosquitto that refuses what a device says, and one that throws it out without a word: no flood, and words."""

import socket
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

sys.path.insert(0, str(Path(__file__).parents[1] / "rigs"))  # the rigs import each other

import bad_network  # noqa: E402 -- found by the line above
import fleet_rig  # noqa: E402

READS_ONLY = "topic read edge/v1/site/+/cmd/+\ntopic read edge/v1/site/+/desired\ntopic read edge/v1/site/+/ack\n"
LOOK_S = 6.0
AT_ONCE_N = 16
"""What may be on its way when the first refusal comes: `[uplink] in_flight_n`."""


@pytest.fixture
def field(tmp_path, mosquitto_rig, make_fleet):
    """A device at a Mosquitto with *lines* in its configuration, over a wire that counts."""
    ended = []

    def make(*lines):
        (tmp_path / "broker").mkdir()
        broker = mosquitto_rig.Mosquitto(tmp_path / "broker", *lines).start()
        ended.append(broker.stop)
        wire = bad_network.BadNetwork(broker.port)
        ended.append(wire.close)
        fleet = make_fleet(broker.port)
        fleet.home.use_broker(fleet_rig.broker_settings(wire.port, keepalive_s=30))
        return fleet, wire

    yield make
    for end in reversed(ended):
        end()


def published(wire):
    return wire.seen[bad_network.UP, bad_network.PUBLISH]


def refusals(device):
    return (device.uplink.facts()["refused"] or {}).get("code")


def spend(fleet, seconds):
    end_s = time.monotonic() + seconds
    fleet.until(lambda: time.monotonic() > end_s, wait_s=seconds + 5)


def test_a_broker_whose_rights_forbid_the_write_is_asked_once_and_left_in_peace(field, tmp_path):
    (tmp_path / "acl").write_text(READS_ONLY)
    fleet, wire = field("allow_anonymous true", f"acl_file {tmp_path / 'acl'}")
    device = fleet.device(uplink=fleet_rig.UplinkSettings())
    fleet.until(lambda: refusals(device) == 0x87)
    for n in range(50):
        device.event(f"e{n}")
    device.uplink.reconfigured()

    spend(fleet, LOOK_S)

    assert device.uplink.facts()["connected"]
    assert device.uplink.facts()["then"] == "wait for a person"
    assert 1 <= published(wire) <= AT_ONCE_N
    device.clock.skip(900.0)
    spend(fleet, LOOK_S)
    assert published(wire) <= 3 * AT_ONCE_N  # asked again, once; the skipped time may have ended the connection too


def test_a_quota_that_is_used_up_is_respected_by_everything_that_is_said(field):
    fleet, wire = field()
    device = fleet.device(uplink=fleet_rig.UplinkSettings())
    fleet.until(lambda: device.uplink.facts()["connected"])
    spend(fleet, 1.0)
    wire.faults.puback_code = 0x97
    before = published(wire)
    for n in range(50):
        device.event(f"e{n}")
    device.uplink.reconfigured()
    fleet.until(lambda: refusals(device) == 0x97)
    wire.reset()  # a new connection is no new quota
    fleet.until(lambda: device.uplink.facts()["sessions"] == 2 and device.uplink.facts()["connected"])

    spend(fleet, LOOK_S)

    assert published(wire) - before <= AT_ONCE_N
    wire.faults.puback_code = None
    device.clock.skip(300.0)
    fleet.collect()
    fleet.until(lambda: fleet.upto("evt") == 50)
    assert refusals(device) is None


def test_a_second_client_with_one_name_is_named_though_mosquitto_says_nothing(field):
    fleet, _ = field()
    device = fleet.device()
    ours = device.uplink.facts
    rounds_n = 0
    while refusals(device) is None:
        rounds_n += 1
        assert rounds_n < 10  # where the device was speaking, the broker's end is no end in order and does not count
        fleet.until(lambda: ours()["connected"] or refusals(device) is not None)
        sessions_n = ours()["sessions"]
        with socket.create_connection(("127.0.0.1", fleet.port)) as thief:
            # CONNECT, MQTT 5, clean start, keep alive 60, no properties, client id `lamp`
            thief.sendall(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04lamp")
            assert thief.recv(100).startswith(b"\x20")
            fleet.until(lambda n=sessions_n: not ours()["connected"] or ours()["sessions"] > n)

    sessions_n = ours()["sessions"]
    assert refusals(device) == -1
    assert "another client may have the name" in ours()["refused"]["why"]
    assert ours()["then"] == "retry, then slowly"
    spend(fleet, 2.0)
    assert ours()["sessions"] == sessions_n  # minutes apart now
