"""Who comes in at which door: a controller by its own, a device by what its grant says, and neither by the other's."""

import json
import shutil
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from cryptography import x509

from appliance import cli
from appliance.errors import TrustError, UsageError
from appliance.trust import authority, certificates, enrolment, parcels

NOW = datetime.now(UTC)


class Desk:
    """A folder with a controller in it, two authorities, and a device that has asked."""

    def __init__(self, folder):
        self.folder = folder
        self.lamp = folder / "lamp"
        self.devices = authority.make(folder / "devices-ca", "devices", now=NOW)
        signer = authority.make(folder / "controllers-ca", "controllers", now=NOW)
        authority.certify(signer, "ctl.controller", folder / "controller.pem", now=NOW)

    def type(self, *words):
        found = CliRunner().invoke(cli.group, ["fleet", *map(str, words)], catch_exceptions=True)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == 0, found.output
        return found.output

    def init(self, *more):
        return self.type("init", "--fleet-home", self.folder / "c", "--site", "home", *more)

    def init_with_certificate(self):
        files = ("--certificate", self.folder / "controller.pem", "--key", self.folder / "controller.key")
        self.init("--broker", "broker:8884", "--ca", self.folder / "devices-ca" / "ca.pem", *files)

    def ask(self):
        self.type(
            *("request", "--device-home", self.lamp, "--site", "home"),
            *("--device", "lamp", "--out", self.folder / "request.json"),
        )

    def enrol(self, *more):
        self.type(
            *("enrol", "--fleet-home", self.folder / "c", "--request", self.folder / "request.json"),
            *("--out", self.folder / "grant.json", *more),
        )

    def join(self):
        self.type("join", "--device-home", self.lamp, self.folder / "grant.json")
        return enrolment.load(self.lamp)

    @property
    def broker(self):
        return json.loads((self.folder / "c" / "fleet.json").read_text())["broker"]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_enrolling_a_device_leaves_the_controllers_own_door_as_it_was(desk):
    desk.init_with_certificate()
    before = desk.broker
    desk.ask()

    desk.enrol("--broker", "broker:8883", "--ca", "ca.pem", "--certificate", "lamp.pem", "--key", "lamp.key")

    assert desk.broker == before
    assert (before["port"], before["certificate_file"]) == (8884, str(desk.folder / "controller.pem"))
    assert desk.join().broker.port == 8883


def test_a_copy_of_a_new_controllers_folder_opens_the_sticks_of_whatever_the_first_one_enrols(desk):
    desk.init("--broker", "127.0.0.1:1883")
    shutil.copytree(desk.folder / "c" / "keys", desk.folder / "south" / "keys")
    desk.ask()
    desk.enrol()

    [controller] = desk.join().controllers

    south = parcels.load_or_make(desk.folder / "south" / parcels.SEALING_KEY)
    assert controller.sealing_key == south.public.hex()


def test_a_controller_of_an_earlier_version_gets_its_sealing_key_by_saying_init_again_and_keeps_it(desk):
    desk.init("--broker", "127.0.0.1:1883")
    key = desk.folder / "c" / parcels.SEALING_KEY
    key.unlink()

    desk.init()
    made = key.read_bytes()
    desk.init()

    assert key.read_bytes() == made


def test_the_controllers_door_is_changed_by_saying_init_again(desk):
    desk.init("--broker", "old:8884")

    desk.init("--broker", "new:8884")

    assert desk.broker["host"] == "new"


def test_a_device_is_not_sent_to_the_controllers_port(desk):
    desk.init_with_certificate()
    desk.ask()

    with pytest.raises(UsageError, match="--broker HOST:PORT is missing"):
        desk.enrol("--authority", desk.folder / "devices-ca")


def test_where_nobody_shows_a_certificate_a_device_comes_in_as_the_controller_does(desk):
    desk.init("--broker", "127.0.0.1:1883")
    desk.ask()
    desk.enrol()

    assert (desk.join().broker.host, desk.join().broker.port) == ("127.0.0.1", 1883)


def test_a_grant_brings_the_certificate_and_whom_to_believe(desk):
    desk.init_with_certificate()
    desk.ask()
    desk.enrol("--broker", "broker:8883", "--authority", desk.folder / "devices-ca")

    broker = desk.join().broker

    (mine, _) = sorted(certificates.ends(broker), key=lambda end: end.what != "the device's certificate")
    assert mine.path == str(desk.lamp / "keys" / "link.pem")
    issued = x509.load_pem_x509_certificate((desk.lamp / "keys" / "link.pem").read_bytes())
    issued.verify_directly_issued_by(desk.devices.certificate)
    assert (desk.lamp / "keys" / "link-ca.pem").read_bytes() == desk.devices.pem
    assert (desk.lamp / "keys" / "link.key").stat().st_mode & 0o077 == 0


def test_what_another_authority_issued_goes_into_the_grant(desk):
    desk.init_with_certificate()
    desk.ask()
    asked = (desk.folder / "request.csr").read_bytes()
    (desk.folder / "issued.pem").write_bytes(authority.issue(desk.devices, asked, "lamp", now=NOW))
    elsewhere = ("--authority", desk.folder / "devices-ca" / "ca.pem", "--issued", desk.folder / "issued.pem")

    desk.enrol("--broker", "broker:8883", *elsewhere)

    desk.join()
    assert (desk.lamp / "keys" / "link.pem").read_bytes() == (desk.folder / "issued.pem").read_bytes()


def test_what_was_issued_to_somebody_else_is_found_out_before_it_is_carried(desk):
    desk.init_with_certificate()
    desk.ask()
    authority.certify(desk.devices, "lamp", desk.folder / "other.pem", now=NOW)
    elsewhere = ("--authority", desk.folder / "devices-ca" / "ca.pem", "--issued", desk.folder / "other.pem")

    with pytest.raises(TrustError, match="another key"):
        desk.enrol("--broker", "broker:8883", *elsewhere)

    assert not (desk.folder / "grant.json").exists()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--authority", "devices-ca", "--ca", "ca.pem"), "without --ca"),
        (("--issued", "controller.pem"), "--issued goes with"),
        (("--new-key",), "--new-key goes with"),
        (("--authority", "controller.pem", "--new-key"), "--new-key goes with"),
        (("--authority", "devices-ca", "--issued", "controller.pem"), "--issued goes with"),
    ],
)
def test_choices_that_contradict_each_other_are_said(desk, monkeypatch, more, why):
    monkeypatch.chdir(desk.folder)
    desk.init_with_certificate()
    desk.ask()

    with pytest.raises(UsageError, match=why):
        desk.enrol("--broker", "broker:8883", *more)


def test_a_newer_certificate_is_asked_for_and_taken(desk):
    desk.init_with_certificate()
    desk.ask()
    desk.enrol("--broker", "broker:8883", "--authority", desk.folder / "devices-ca")
    first = certificates.ends(desk.join().broker)[0]

    desk.type("renew", "--device-home", desk.lamp, "--out", desk.folder / "renewal.csr")
    desk.type(
        *("certify", "lamp", "--authority", desk.folder / "devices-ca", "--days", 900),
        *("--request", desk.folder / "renewal.csr", "--out", desk.folder / "new.pem"),
    )
    desk.type("renew", "--device-home", desk.lamp, desk.folder / "new.pem")

    second = certificates.ends(enrolment.load(desk.lamp).broker)[0]
    assert second.at > first.at
    assert second.path == first.path


def test_nobody_gets_the_certificate_of_a_device_with_a_key_of_their_own(desk):
    desk.init_with_certificate()
    desk.ask()
    desk.enrol("--broker", "broker:8883", "--authority", desk.folder / "devices-ca")
    (desk.folder / "forged.csr").write_bytes(certificates.first_request(desk.folder / "mallory", "lamp"))
    forged = ("certify", "lamp", "--authority", desk.folder / "devices-ca", "--request", desk.folder / "forged.csr")

    with pytest.raises(TrustError, match="another key"):
        desk.type(*forged, "--out", desk.folder / "forged.pem")

    assert not (desk.folder / "forged.pem").exists()


def test_a_replaced_card_is_enrolled_again_when_somebody_says_that_it_has_a_new_key(desk):
    desk.init_with_certificate()
    desk.ask()
    door = ("--broker", "broker:8883", "--authority", desk.folder / "devices-ca")
    desk.enrol(*door)
    desk.lamp = desk.folder / "new-card"
    desk.ask()
    desk.type("forget", "--fleet-home", desk.folder / "c", "lamp")

    with pytest.raises(TrustError, match="say --new-key"):
        desk.enrol(*door)
    desk.enrol(*door, "--new-key")

    assert desk.join().device == "lamp"


def test_a_copied_card_has_no_certificate_of_its_first_board(desk):
    desk.init_with_certificate()
    desk.ask()
    desk.enrol("--broker", "broker:8883", "--authority", desk.folder / "devices-ca")
    desk.join()

    enrolment.become_another(desk.lamp)

    assert not (desk.lamp / "keys" / "link.key").exists()
    assert not (desk.lamp / "keys" / "link.pem").exists()


def test_half_of_a_certificate_is_called_so_and_makes_no_controller(desk):
    with pytest.raises(UsageError, match="go together"):
        desk.init("--broker", "broker:8884", "--certificate", desk.folder / "controller.pem")

    assert not (desk.folder / "c").exists()
