"""Certificates on a device that does not know the time, and certificates that are replaced while it runs.

A clock at 1970 sees every certificate as not yet valid; here the clock of the machine is right and the broker's
certificate begins in ten days, which is the same to whoever checks it.
"""

import shutil
from pathlib import Path

import pytest

from appliance.contracts.envelope import PingBody

pytestmark = pytest.mark.system


@pytest.fixture
def site(tmp_path, authority_rig, mosquitto_rig, make_fleet):
    """Start a broker with a certificate for *days*, and a fleet that believes its authority."""
    started = []

    def make(*, days=(-1, 1), believes=None, host="127.0.0.1"):
        authority = authority_rig.Authority(tmp_path, "site-ca")
        certificate, key = authority.member("broker", days=days)
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
        started.append(broker)
        own, secret = authority.member("lamp")
        ca = believes(tmp_path) if believes else authority.file
        fleet = make_fleet(broker.port, ca_file=ca, certificate_file=own, key_file=secret)
        fleet.home.use_broker(fleet.broker.model_copy(update={"host": host}))
        device = fleet.device(start=False)
        return authority, fleet, device

    yield make
    for broker in started:
        broker.stop()


def starts(device, *, trusted):
    device.clock.trusted = trusted
    return device.start()


def facts(device):
    return device.uplink.facts()


def test_without_a_clock_a_certificate_that_has_not_begun_is_taken_until_the_time_is_known(site):
    _, fleet, device = site(days=(10, 20))
    starts(device, trusted=False)
    fleet.until(lambda: facts(device)["connected"])
    assert not facts(device)["dates_checked"]

    device.clock.trusted = True

    fleet.until(lambda: "certificate is not yet valid" in facts(device)["last_loss"], wait_s=20)
    assert not facts(device)["connected"]


def test_a_device_that_learns_the_time_checks_again_and_goes_on(site):
    _, fleet, device = site()
    starts(device, trusted=False)
    fleet.until(lambda: facts(device)["connected"])

    device.clock.trusted = True

    fleet.until(lambda: facts(device)["sessions"] == 2 and facts(device)["dates_checked"], wait_s=20)
    assert fleet.send("lamp", PingBody()).final().code == "pong"


def test_with_a_clock_a_certificate_that_has_not_begun_is_refused(site):
    _, fleet, device = site(days=(10, 20))
    starts(device, trusted=True)

    fleet.until(lambda: "certificate is not yet valid" in facts(device)["last_loss"])
    assert facts(device)["sessions"] == 0


def test_without_a_clock_another_authority_is_refused_all_the_same(site, authority_rig):
    _, fleet, device = site(days=(10, 20), believes=lambda folder: authority_rig.Authority(folder, "other-ca").file)
    starts(device, trusted=False)

    fleet.until(lambda: "certificate verify failed" in facts(device)["last_loss"])
    assert facts(device)["sessions"] == 0


def test_without_a_clock_another_name_is_refused_all_the_same(site):
    _, fleet, device = site(days=(10, 20), host="localhost")
    starts(device, trusted=False)

    fleet.until(lambda: "certificate verify failed" in facts(device)["last_loss"])
    assert facts(device)["sessions"] == 0


def test_a_new_certificate_is_used_without_a_restart(site):
    authority, fleet, device = site()
    starts(device, trusted=True)
    fleet.until(lambda: facts(device)["connected"])
    ended = facts(device)["certificate_ends"]

    new, secret = authority.member("lamp", "lamp-new", days=(-1, 300))
    for fresh, present in ((new, "lamp.pem"), (secret, "lamp.key")):
        shutil.copy(fresh, f"{fresh}.copy")
        Path(f"{fresh}.copy").replace(Path(fresh).with_name(present))

    fleet.until(lambda: facts(device)["sessions"] == 2 and facts(device)["connected"], wait_s=20)
    fleet.collect()
    device.event("after")
    fleet.until(lambda: fleet.upto("evt") == 1)
    assert ended is not None
