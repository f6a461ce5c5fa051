"""The generated Mosquitto configuration, held to its word: who may say what, asserted on what is delivered.

A subscription that is forbidden is granted all the same, so nothing is concluded from an acknowledgement.
"""

import contextlib
import random
import socket
import ssl
import time

import pytest

from appliance.contracts.enrolment import BrokerSettings
from appliance.fleet.broker_config import BrokerSite, write
from appliance.transport.broker import free_port
from appliance.transport.mqtt import Link, Message

pytestmark = pytest.mark.system

OWN = ("state", "desc", "keys", "reported", "checkpoint", "audit", "rsp/c1", "evt/turn")
"""What a device says; written down once more, so that the table is not judged by itself."""

TOLD = ("cmd/ping", "desired", "ack")
DEVICES = ("lamp", "fan")
TOPICS = (
    *(f"edge/v1/site/{device}/{channel}" for device in (*DEVICES, "all") for channel in (*OWN, *TOLD)),
    "edge/v1/other/lamp/state",
    "edge/v1/other/lamp/cmd/ping",
    "edge/v1/site/lamp",
    "edge/v1/site/lamp/state/more",
    "edge/v1/site/lamp/cmd",
    "edge/v1/site/lamp/cmd/ping/more",
    "anything",
)


def may_say(who, topic):
    root, _, rest = topic.partition("edge/v1/site/")
    device, _, channel = rest.partition("/")
    if root or not rest:
        return False
    return channel in TOLD if who == "controller" else device == who and channel in OWN


def may_hear(who, topic):
    root, _, rest = topic.partition("edge/v1/site/")
    device, _, channel = rest.partition("/")
    if root or not rest:
        return False
    if rest == "all/cmd/ping":
        # Mosquitto's patterns know no exceptions: whoever has a certificate of either authority hears group commands.
        return who not in {"#", "+"}
    return channel in OWN if who == "controller" else device == who and channel in TOLD


class Party:
    """Somebody at the broker with a certificate of their own, who subscribes to everything."""

    def __init__(self, settings, client_id, filters=("#", "$SYS/#", "edge/v1/site/+/+", "edge/v1/site/+/+/+")):
        self.heard = []
        self.losses = []
        self._link = Link(
            settings,
            client_id,
            filters=filters,
            on_message=self.heard.append,
            on_opened=lambda _opened: None,
            on_lost=self.losses.append,
            chance=random.Random(1),
        )

    @property
    def is_in(self):
        return self._link.connected

    def come(self):
        self.until(lambda: self._link.connected)
        self.pump(0.3)
        return self

    def say(self, topic, payload, *, retain=False):
        settled = []
        self._link.hurry()  # what was refused before is no reason to wait: the next is to be refused, too
        assert self._link.publish(Message(topic, payload, retain=retain), settled.append)
        self.until(lambda: settled)

    def until(self, done, wait_s=10.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, (wait_s, self.losses[-2:])
            self._link.step(0.05)

    def pump(self, for_s):
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            self._link.step(0.02)

    def leave(self):
        self._link.close()


@pytest.fixture
def site(tmp_path, authority_rig, mosquitto_rig):
    site = Site(tmp_path, authority_rig, mosquitto_rig)
    yield site
    site.close()


class Site:
    def __init__(self, folder, authority_rig, mosquitto_rig):
        self.devices = authority_rig.Authority(folder, "device-ca")
        self.controllers = authority_rig.Authority(folder, "controller-ca")
        certificate, key = self.devices.member("broker")
        (folder / "broker").mkdir()
        self.devices.member("stolen")
        self.wanted = BrokerSite(
            site="site",
            ca_file=self.devices.file,
            controller_ca_file=self.controllers.file,
            certificate_file=certificate,
            key_file=key,
            crl_file=self.devices.revoke("stolen"),
            controllers=("controller",),
            address="127.0.0.1",
            port=free_port(),
            controller_port=free_port(),
            state_dir=str(folder / "broker"),
            run_as="root",
        )
        write(self.wanted, folder / "broker")
        self.broker = mosquitto_rig.Mosquitto(folder / "broker")
        self.broker.port = self.wanted.port
        self.start()
        self.parties = []

    def start(self):
        self.broker.start_as_written()
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.wanted.controller_port)):
                return
        raise AssertionError("the controllers' listener does not open")

    def settings(self, name, *, authority=None, port=None, **more):
        authority = authority or self.devices
        certificate, key = authority.member(name, "".join(c if c.isalnum() else "_" for c in name))
        return BrokerSettings(
            host="127.0.0.1",
            port=port or self.wanted.port,
            ca_file=self.devices.file,
            certificate_file=certificate,
            key_file=key,
            first_connect_s=0.0,
            reconnect_s=(0.1, 0.5),
            will_delay_s=0,
            connect_timeout_s=5.0,
            **more,
        )

    def party(self, name, client_id=None, *, controller=False, authority=None, come=True, filters=None, **more):
        authority = authority or (self.controllers if controller else self.devices)
        port = self.wanted.controller_port if controller else self.wanted.port
        settings = self.settings(name, authority=authority, port=port, **more)
        party = Party(settings, client_id or name, **({} if filters is None else {"filters": filters}))
        self.parties.append(party)
        return party.come() if come else party

    def close(self):
        for party in self.parties:
            party.leave()
        self.broker.stop()


def test_everybody_hears_what_they_may_and_nothing_else_whoever_says_it(site):
    parties = {
        "lamp": site.party("lamp"),
        "fan": site.party("fan"),
        "controller": site.party("ctl.controller", "collector-1", controller=True),
        # Not named in the configuration, or named as a wildcard.
        "stranger": site.party("ctl.other", "other-1", controller=True),
        "#": site.party("#", "hash"),
        "+": site.party("+", "plus"),
    }
    wanted = {
        (hearer, f"{sayer} {topic}")
        for sayer in parties
        for topic in TOPICS
        for hearer in parties
        if sayer in {*DEVICES, "controller"} and may_say(sayer, topic) and may_hear(hearer, topic)
    }

    for sayer, party in parties.items():
        for topic in TOPICS:
            party.say(topic, f"{sayer} {topic}".encode())
    for party in parties.values():
        party.pump(1.0)

    delivered = {(hearer, m.payload.decode()) for hearer, party in parties.items() for m in party.heard}
    assert delivered == wanted
    assert len(wanted) == 2 * 8 + 2 * 3 + 4  # each device's own, what each is told, and the group's command
    assert all(m.payload.decode().split(" ")[1] == m.topic for party in parties.values() for m in party.heard)


def test_what_is_retained_is_given_to_those_who_may_hear_it_alone(site):
    lamp = site.party("lamp")
    controller = site.party("ctl.controller", "collector-1", controller=True)
    lamp.say("edge/v1/site/lamp/state", b"mine", retain=True)
    lamp.say("edge/v1/site/fan/state", b"forged", retain=True)
    controller.say("edge/v1/site/lamp/desired", b"wanted", retain=True)

    fan, late = site.party("fan"), site.party("ctl.controller", "collector-2", controller=True)
    lamp.leave()
    site.parties.remove(lamp)
    again = site.party("lamp", session_expiry_s=0)

    assert [m.payload for m in fan.heard] == []
    assert {m.payload for m in late.heard} == {b"mine"}
    assert {m.payload for m in again.heard} == {b"wanted"}


def test_nobody_takes_a_devices_client_id_nor_what_waits_for_it(site):
    lamp = site.party("lamp", filters=("edge/v1/site/lamp/cmd/+",))
    controller = site.party("ctl.controller", "collector-1", controller=True)

    thief = site.party("fan", client_id="lamp")
    lamp.pump(0.5)
    assert lamp.is_in
    assert lamp.losses == []  # it was not evicted

    lamp.leave()
    site.parties.remove(lamp)
    controller.say("edge/v1/site/lamp/cmd/ping", b"waits")
    again = site.party("fan", client_id="lamp", filters=())
    thief.pump(0.5)
    again.pump(0.5)
    assert [m for party in (thief, again) for m in party.heard] == []

    back = site.party("lamp", filters=("edge/v1/site/lamp/cmd/+",))
    assert [m.payload for m in back.heard] == [b"waits"]


def test_one_of_two_with_one_certificate_finds_out_though_this_broker_does_not_tell(site):
    lamp = site.party("lamp")
    copy = site.party("lamp", come=False)
    while not (lamp._link.trouble or copy._link.trouble):
        assert len(lamp.losses) + len(copy.losses) < 10
        lamp.pump(0.1)
        copy.pump(0.1)

    found = lamp._link.trouble or copy._link.trouble
    assert "another client may have the name" in found.words


def test_several_programs_of_one_controller_are_connected_at_once(site):
    collector = site.party("ctl.controller", "collector-1", controller=True)
    sender = site.party("ctl.controller", "send-1", controller=True)

    lamp = site.party("lamp")
    lamp.say("edge/v1/site/lamp/rsp/c1", b"answer")
    collector.pump(0.5)
    sender.pump(0.5)

    assert collector.losses == sender.losses == []
    assert b"answer" in {m.payload for m in collector.heard} & {m.payload for m in sender.heard}


@pytest.mark.parametrize(
    ("name", "is_of_devices", "at_controllers"),
    [("lamp", True, True), ("ctl.controller", False, False), ("stolen", True, False)],
    ids=["a device at the controllers' door", "a controller at the devices' door", "a revoked certificate"],
)
def test_a_certificate_opens_no_other_door(site, name, is_of_devices, at_controllers):
    authority = site.devices if is_of_devices else site.controllers
    certificate, key = (
        (f"{authority.folder}/stolen.pem", f"{authority.folder}/stolen.key")
        if name == "stolen"
        else authority.member(name)
    )
    port = site.wanted.controller_port if at_controllers else site.wanted.port
    settings = site.settings("probe").model_copy(
        update={"port": port, "certificate_file": certificate, "key_file": key}
    )
    party = Party(settings, name)
    party.until(lambda: len(party.losses) >= 2)
    party.leave()

    assert party.heard == []
    assert not party.is_in


def test_without_a_certificate_no_door_opens(site):
    for port in (site.wanted.port, site.wanted.controller_port):
        context = ssl.create_default_context(cafile=site.devices.file)
        heard = b""
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
        ):
            # CONNECT, MQTT 5, clean start, keep alive 60, no properties, client id `lamp`
            wrapped.sendall(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04lamp")
            heard = wrapped.recv(16)
        assert heard == b""


def test_what_waits_for_a_device_outlives_a_restart_of_the_broker(site):
    filters = ("edge/v1/site/lamp/cmd/+", "edge/v1/site/fan/cmd/+")
    site.party("lamp", filters=filters).leave()
    site.parties.clear()
    controller = site.party("ctl.controller", "collector-1", controller=True)
    controller.say("edge/v1/site/lamp/cmd/ping", b"for the lamp")
    controller.say("edge/v1/site/fan/cmd/ping", b"for the fan")
    controller.leave()
    site.parties.clear()

    site.broker.stop()
    site.start()
    lamp = site.party("lamp", filters=filters)

    assert [m.payload for m in lamp.heard] == [b"for the lamp"]


def test_a_message_beyond_the_limit_is_not_taken(site):
    lamp = site.party("lamp")
    controller = site.party("ctl.controller", "collector-1", controller=True)
    with_it = len("edge/v1/site/lamp/state")
    lamp.say("edge/v1/site/lamp/state", b"x" * (256 * 1024))
    controller.until(lambda: controller.heard)

    taken = []
    lamp._link.publish(Message("edge/v1/site/lamp/state", b"y" * (256 * 1024 + 8192 + with_it)), taken.append)
    lamp.until(lambda: taken)
    controller.pump(0.5)

    assert taken == [False]
    assert {m.payload[:1] for m in controller.heard} == {b"x"}
