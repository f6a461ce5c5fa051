"""The files of a site's broker: what is in them, and what cannot be put into them."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance import cli
from appliance.contracts.topics import DOWNWARD, Channel, controller_filters, device_filters
from appliance.errors import UsageError
from appliance.fleet.broker_config import BrokerSite, access, render, write

SITE = {
    "site": "home",
    "ca_file": "/etc/devices.pem",
    "controller_ca_file": "/etc/controllers.pem",
    "certificate_file": "/etc/broker.pem",
    "key_file": "/etc/broker.key",
    "controllers": ("controller",),
}
OPTIONS = ["--site", "home", "--ca", "/a", "--controller-ca", "/b", "--certificate", "/c", "--key", "/k"]


def rows(text, beginning):
    return {line.removeprefix(beginning).strip() for line in text.splitlines() if line.startswith(beginning)}


def test_a_device_may_hear_everything_it_subscribes_to():
    readable = rows(access("home", ("controller",)), "pattern read")

    assert {each.replace("/lamp/", "/%u/") for each in device_filters("home", "lamp")} <= readable


def test_a_controller_may_hear_everything_it_subscribes_to():
    readable = rows(access("home", ("controller",)), "topic read")

    for shared in (False, True):
        wanted = controller_filters("home", "0123456789abcdef", shared=shared)
        plain = {each.split("/", 2)[2] if each.startswith("$share/") else each for each in wanted}
        assert {each.replace("/rsp/0123456789abcdef", "/rsp/+") for each in plain} <= readable


def test_what_a_device_writes_and_what_a_controller_writes_have_nothing_in_common():
    text = access("home", ("controller",))
    device = {row.split("/")[4] for row in rows(text, "pattern write")}
    controller = {row.split("/")[4] for row in rows(text, "topic write")}

    assert controller == {channel.value for channel in DOWNWARD}
    assert device == {channel.value for channel in Channel} - controller


def test_clients_of_the_devices_port_cannot_choose_their_id():
    text = render(BrokerSite.model_validate(SITE), "/etc/site")["mosquitto.conf"]
    devices, controllers = text.split("# ---- devices")[1].split("# ---- controllers")

    assert "use_username_as_clientid true" in devices
    assert "use_username_as_clientid" not in controllers
    for listener in (devices, controllers):
        assert {"require_certificate true", "use_identity_as_username true"} <= set(listener.splitlines())
    assert "allow_anonymous false" in text
    assert devices.split("cafile ")[1].splitlines()[0] != controllers.split("cafile ")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("change", "option"),
    [({"controller_ca_file": "/etc/devices.pem"}, "--controller-ca"), ({"controller_port": 8883}, "--controller-port")],
)
def test_what_would_let_a_device_in_as_a_controller_is_refused(change, option):
    with pytest.raises(UsageError, match=option):
        render(BrokerSite.model_validate({**SITE, **change}), "/etc/site")


@given(
    key=st.sampled_from(["site", "ca_file", "key_file", "address", "state_dir", "run_as", "crl_file"]),
    value=st.text("ab/.:- \n\r\x00\x85\u2028#", min_size=1),
)
def test_no_value_adds_a_line_of_its_own(key, value):
    try:
        site = BrokerSite.model_validate({**SITE, "crl_file": "/crl", key: value})
    except ValidationError:
        return
    plain = render(BrokerSite.model_validate({**SITE, "crl_file": "/crl"}), "/etc/site")
    for name, text in render(site, "/etc/site").items():
        assert text.count("\n") == plain[name].count("\n")
        assert "\r" not in text


def test_files_of_others_are_not_written_over_unless_that_is_said(tmp_path):
    site = BrokerSite.model_validate(SITE)
    (tmp_path / "acl").write_text("mine")

    with pytest.raises(UsageError, match="--replace"):
        write(site, tmp_path)
    assert (tmp_path / "acl").read_text() == "mine"
    assert not (tmp_path / "mosquitto.conf").exists()

    write(site, tmp_path, replace=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write(site, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {"mosquitto.conf", "acl", "limits.conf"}


def test_the_command_says_which_certificates_are_needed(tmp_path):
    said = CliRunner().invoke(
        cli.group, ["fleet", "broker-config", str(tmp_path / "site"), *OPTIONS, "--controller", "desk"]
    )

    assert said.exit_code == 0, said.output
    assert "ctl.desk" in said.output
    assert "user ctl.desk" in (tmp_path / "site" / "acl").read_text()


@pytest.mark.parametrize(
    ("wanted", "option"), [(["--port", "0"], "--port"), (["--controller", "Not A Name"], "--controller:")]
)
def test_an_option_that_cannot_be_is_named(tmp_path, wanted, option):
    said = CliRunner().invoke(cli.group, ["fleet", "broker-config", str(tmp_path), *OPTIONS, *wanted])

    assert isinstance(said.exception, UsageError)
    assert option in str(said.exception)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="file"):
        write(BrokerSite.model_validate(SITE), tmp_path / "file" / "site")
