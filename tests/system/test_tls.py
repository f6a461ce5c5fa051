"""Mutual TLS: a device proves its name with a certificate, and leaves a broker that another authority vouches for."""

import pytest

from appliance.contracts.envelope import PingBody

pytestmark = pytest.mark.system


@pytest.fixture
def site(tmp_path, authority_rig, mosquitto_rig):
    authority = authority_rig.Authority(tmp_path, "site-ca")
    certificate, key = authority.member("broker")
    (tmp_path / "broker").mkdir()
    broker = mosquitto_rig.Mosquitto(
        tmp_path / "broker",
        f"cafile {authority.file}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ).start()
    yield authority, broker
    broker.stop()


def test_a_command_crosses_a_broker_that_wants_certificates(site, make_fleet):
    authority, broker = site
    certificate, key = authority.member("lamp")
    fleet = make_fleet(broker.port, ca_file=authority.file, certificate_file=certificate, key_file=key)
    fleet.device()

    assert fleet.send("lamp", PingBody()).final().code == "pong"


def test_a_broker_of_another_authority_is_not_trusted(site, make_fleet, authority_rig, tmp_path):
    authority, broker = site
    certificate, key = authority.member("lamp")
    other = authority_rig.Authority(tmp_path, "other-ca")
    fleet = make_fleet(broker.port, ca_file=other.file, certificate_file=certificate, key_file=key)
    device = fleet.device()

    fleet.until(lambda: "certificate verify failed" in device.uplink.facts()["last_loss"])

    assert not device.uplink.facts()["connected"]


def test_without_a_certificate_nobody_gets_in(site, make_fleet):
    authority, broker = site
    fleet = make_fleet(broker.port, ca_file=authority.file)
    device = fleet.device()

    fleet.until(lambda: device.uplink.facts()["last_loss"] != "")

    assert device.uplink.facts()["sessions"] == 0
