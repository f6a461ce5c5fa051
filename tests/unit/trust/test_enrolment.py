"""A device obeys the controller that a person gave it to, and no other."""

import json

import pytest

from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, Role
from appliance.errors import TrustError
from appliance.trust import enrolment, keys

BROKER = BrokerSettings(host="127.0.0.1", port=1883)


@pytest.fixture
def controller(tmp_path):
    return keys.load_or_make(tmp_path / "controller" / "c.key")


def ask(home, name="lamp"):
    key = keys.load_or_make(home / keys.DEVICE_KEY)
    identity = DeviceIdentity(site="home", device=name, public_key=key.public.raw.hex())
    enrolment.write_request(key, identity, home / "request.json")
    return enrolment.read_request(home / "request.json")


def grant(controller, identity, path, role=Role.OPERATOR):
    enrolment.write_grant(controller, "boss", identity, BROKER, path, role=role)
    return path


def test_a_standalone_device_belongs_to_nobody(tmp_path):
    assert enrolment.load(tmp_path) is None


def test_two_files_enrol_a_device(tmp_path, controller):
    identity = ask(tmp_path / "lamp")
    enrolment.install(tmp_path / "lamp", grant(controller, identity, tmp_path / "g.json"))

    enrolled = enrolment.load(tmp_path / "lamp")

    assert (enrolled.site, enrolled.device) == ("home", "lamp")
    assert enrolled.controllers[0].public_key == controller.public.raw.hex()


def test_a_grant_for_another_device_is_refused(tmp_path, controller):
    identity = ask(tmp_path / "lamp")
    ask(tmp_path / "fan", "fan")

    with pytest.raises(TrustError, match="made for the key"):
        enrolment.install(tmp_path / "fan", grant(controller, identity, tmp_path / "g.json"))


@pytest.mark.parametrize("change", [("device", "door"), ("site", "other"), ("device_key", "0" * 16)])
def test_an_altered_grant_is_refused(tmp_path, controller, change):
    identity = ask(tmp_path / "lamp")
    path = grant(controller, identity, tmp_path / "g.json")
    data = json.loads(path.read_text())
    data["payload"][change[0]] = change[1]
    path.write_text(json.dumps(data))

    with pytest.raises(TrustError, match="not signed"):
        enrolment.install(tmp_path / "lamp", path)


def test_a_second_controller_takes_over_only_when_the_owner_says_so(tmp_path, controller):
    other = keys.load_or_make(tmp_path / "other" / "c.key")
    identity = ask(tmp_path / "lamp")
    enrolment.install(tmp_path / "lamp", grant(controller, identity, tmp_path / "1.json"))
    second = grant(other, identity, tmp_path / "2.json")

    with pytest.raises(TrustError, match="--replace"):
        enrolment.install(tmp_path / "lamp", second)
    enrolment.install(tmp_path / "lamp", second, replace=True)

    assert enrolment.load(tmp_path / "lamp").controllers[0].public_key == other.public.raw.hex()


def test_a_request_signed_by_another_key_is_refused(tmp_path):
    ask(tmp_path / "lamp")
    path = tmp_path / "lamp" / "request.json"
    data = json.loads(path.read_text())
    data["payload"]["public_key"] = keys.load_or_make(tmp_path / "x.key").public.raw.hex()
    path.write_text(json.dumps(data))

    with pytest.raises(TrustError, match="does not belong"):
        enrolment.read_request(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"x" * 100_000])
def test_a_damaged_enrolment_is_a_clear_error(tmp_path, content):
    keys.load_or_make(tmp_path / keys.DEVICE_KEY)
    (tmp_path / "enrolment.json").write_bytes(content)

    with pytest.raises(TrustError, match=r"enrolment\.json"):
        enrolment.load(tmp_path)
