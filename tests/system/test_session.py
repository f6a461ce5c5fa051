"""What only a real broker shows: sessions, retained messages, wills, takeovers, and wires that go silent."""

import secrets
import socket
import time

import pytest

from appliance.contracts.envelope import AskBody, PingBody, State, parse_payload, parse_signed
from appliance.fleet.devices import devices
from appliance.storage import audit, outbox
from appliance.transport.mqtt import Message

pytestmark = pytest.mark.system

STATE = "edge/v1/site/lamp/state"


def words(tap):
    said = [m for m in tap.heard if m.topic == STATE]
    return [parse_payload(parse_signed(m.payload), State).state for m in said]


def notes(device):
    return [row.body for row in audit.rows(device.db.connection) if row.kind == "note"]


def presence(fleet):
    return devices(fleet.home, fleet.now())[0]


def test_a_newcomer_learns_state_and_description_from_what_is_retained(fleet):
    fleet.device()
    fleet.until(lambda: fleet.tap(STATE).heard != [])

    tap = fleet.tap("edge/v1/site/lamp/+")
    tap.until(lambda: {m.topic.rsplit("/", 1)[1] for m in tap.heard if m.retained} == {"state", "desc", "reported"})


def test_a_device_that_ends_in_order_says_so_itself(fleet):
    device = fleet.device()
    tap = fleet.tap(STATE)
    tap.until(lambda: "ready" in words(tap))

    assert device.stop()
    device.db = None

    tap.until(lambda: words(tap)[-1] == "disconnected")
    assert "lost" not in words(tap)


def test_a_device_that_vanishes_is_called_lost(fleet):
    device = fleet.device()
    fleet.collect()
    fleet.until(lambda: presence(fleet).presence == "online")

    device.crash()
    device.db = None

    fleet.until(lambda: presence(fleet).state == "lost")
    assert presence(fleet).presence == "offline"


def test_a_stale_will_does_not_make_a_living_device_lost(fleet):
    device = fleet.device()
    fleet.collect()
    fleet.until(lambda: presence(fleet).presence == "online")
    stale = device.uplink._announcer.will(1)  # of the connection after this one, as a broker could hold it
    old = parse_payload(parse_signed(stale.payload), State).model_copy(update={"session": 0})
    tap = fleet.tap()

    from appliance.trust.signature import sealed

    tap.say(Message(STATE, sealed(device.uplink._announcer._identity.key, old), retain=True))

    fleet.until(lambda: any(s.said == old for s in fleet.seen))
    assert presence(fleet).presence == "online"


def test_commands_wait_at_the_broker_for_a_device_that_is_away(fleet):
    device = fleet.device()
    fleet.until(lambda: device.uplink.facts()["connected"])
    device.stop()
    tap = fleet.tap()
    tap.say(fleet.message(fleet.command(body=AskBody(text="while away"))))

    device.start()

    fleet.until(lambda: len(device.performed) == 1)


def test_commands_and_records_survive_a_restart_of_the_broker(fleet, broker):
    device = fleet.device()
    fleet.collect()
    device.event("before")
    fleet.until(lambda: fleet.upto("evt") == 1)
    device.stop()
    fleet.tap().say(fleet.message(fleet.command(body=AskBody(text="queued"))))

    broker.stop()
    broker.start()
    device.start()

    fleet.until(lambda: len(device.performed) == 1)
    fleet.until(lambda: fleet.upto("evt") == 2, wait_s=20)
    assert [row["seq"] for row in fleet.records("evt")] == [1, 2]


def test_a_broker_that_has_forgotten_everything_is_noticed_and_told_again(fleet, broker):
    device = fleet.device()
    fleet.until(lambda: device.uplink.facts()["connected"])
    before = len([n for n in notes(device) if "session_new" in n])
    broker.stop()
    broker.forget_everything()
    broker.start()

    fleet.until(lambda: len([n for n in notes(device) if "session_new" in n]) == before + 1)
    tap = fleet.tap("edge/v1/site/lamp/+")
    tap.until(lambda: len(tap.heard) >= 2)
    fleet.collect()

    assert fleet.send("lamp", PingBody()).final().code == "pong"


def test_a_retained_command_is_refused_however_it_arrives(fleet):
    device = fleet.device()
    fleet.until(lambda: device.uplink.facts()["connected"])
    message = fleet.message(fleet.command(body=AskBody(text="again and again")), retain=True)
    fleet.tap().say(message)
    fleet.until(lambda: device.refused == ["retained"])

    device.stop()
    device.refused.clear()
    late = fleet.device("fan", start=False)
    topic = message.topic.replace("/lamp/", "/fan/")
    fleet.tap().say(message._replace(topic=topic))
    late.start()

    fleet.until(lambda: late.refused == ["retained"])  # delivered because the subscription is new
    device.start()
    fleet.until(lambda: device.uplink.facts()["connected"])
    assert device.performed == late.performed == []


def test_a_session_taken_over_is_taken_back(fleet):
    device = fleet.device()
    fleet.until(lambda: device.uplink.facts()["connected"])

    with socket.create_connection(("127.0.0.1", fleet.port)) as thief:
        # CONNECT, MQTT 5, clean start, keep alive 60, no properties, client id `lamp`
        thief.sendall(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04lamp")
        # Mosquitto 2.0.11 closes without saying why; a broker that says 0x8E is in test_mqtt_peers.py
        fleet.until(lambda: device.uplink.facts()["sessions"] == 2 and device.uplink.facts()["connected"])
        heard = b""
        while data := thief.recv(100):
            heard += data
        assert heard.startswith(b"\x20")  # it was let in, and then had to go

    fleet.collect()
    assert fleet.send("lamp", PingBody()).final().code == "pong"


def test_a_wire_that_goes_silent_is_given_up_and_replaced(broker, make_fleet, mosquitto_rig):
    wire = mosquitto_rig.Wire(broker.port)
    try:
        fleet = make_fleet(wire.port, keepalive_s=2)
        device = fleet.device()
        fleet.until(lambda: device.uplink.facts()["connected"])
        wire.frozen = True
        began_s = time.monotonic()

        fleet.until(lambda: not device.uplink.facts()["connected"])
        noticed_s = time.monotonic() - began_s
        wire.frozen = False
        fleet.until(lambda: device.uplink.facts()["connected"])
        device.event("after")
        fleet.collect()
        fleet.until(lambda: fleet.upto("evt") == 1)
    finally:
        wire.close()

    assert noticed_s <= 2 * 1.5 + 1.0


def test_a_broker_that_accepts_and_never_answers_blocks_nothing(make_fleet):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as mute:
        fleet = make_fleet(mute.getsockname()[1], connect_timeout_s=0.3)
        began_s = time.monotonic()
        device = fleet.device()
        assert time.monotonic() - began_s < 1.0

        for n in range(200):
            device.event(f"e{n}")
        fleet.until(lambda: "never answered" in device.uplink.facts()["last_loss"])

        began_s = time.monotonic()
        assert device.stop()
        device.db = None
        assert time.monotonic() - began_s < 2.0


def test_a_device_waits_for_a_broker_that_comes_late(make_fleet, tmp_path, mosquitto_rig):
    (tmp_path / "broker").mkdir()
    broker = mosquitto_rig.Mosquitto(tmp_path / "broker")
    fleet = make_fleet(broker.port)
    device = fleet.device()
    device.event("early")
    time.sleep(0.5)
    assert not device.uplink.facts()["connected"]

    broker.start()
    try:
        fleet.collect()
        fleet.until(lambda: fleet.upto("evt") == 1)
    finally:
        fleet.close()
        fleet.collector, fleet.devices, fleet.taps = None, [], []
        broker.stop()


def test_batches_are_cut_to_what_the_broker_takes(tmp_path, make_fleet, mosquitto_rig):
    (tmp_path / "broker").mkdir()
    broker = mosquitto_rig.Mosquitto(tmp_path / "broker", "allow_anonymous true", "max_packet_size 12000").start()
    try:
        fleet = make_fleet(broker.port)
        device = fleet.device()
        fleet.collect()
        for n in range(40):
            device.event(f"e{n}", {"text": "x" * 1500})
        device.event("too long for any packet here, also packed", {"text": secrets.token_hex(25_000)})
        device.event("last")

        fleet.until(lambda: fleet.upto("evt") == 42, wait_s=20)

        assert "oversized_bytes" in fleet.records("evt")[40]["body"]
        fleet.close()
        fleet.collector, fleet.devices, fleet.taps = None, [], []
    finally:
        broker.stop()


def test_nothing_is_lost_or_doubled_when_device_and_broker_keep_falling(fleet, broker):
    device = fleet.device()
    fleet.collect()
    for n in range(30):
        device.event(f"e{n}")
        if n % 10 == 4:
            device.crash()
            device.start()
        if n % 15 == 9:
            broker.stop()
            broker.start()

    fleet.until(lambda: fleet.upto("evt") == 30, wait_s=40)
    fleet.until(lambda: outbox.mark(device.db, "evt").acked == 30, wait_s=20)

    assert [row["id"] for row in fleet.records("evt")] == [f"e{n}" for n in range(30)]
    assert fleet.home.db.rows("select * from gaps") == []
    assert fleet.home.db.rows("select * from faults") == []
