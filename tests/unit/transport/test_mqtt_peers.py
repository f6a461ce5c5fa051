"""A link against peers that answer byte by byte as a script says: what no well-behaved broker shows."""

import contextlib
import random
import socket
import threading
import time

import pytest

from appliance.contracts.enrolment import BrokerSettings
from appliance.transport.mqtt import Link, Message

CONNACK = b"\x20\x03\x00\x00\x00"
REFUSED = b"\x20\x03\x00\x87\x00"  # not authorized
TAKEN_OVER = b"\xe0\x02\x8e\x00"
GRANTED = b"\x90\x04\x00\x01\x00\x01"
NOT_GRANTED = b"\x90\x04\x00\x01\x00\x87"


class Clock:
    """A monotonic clock that a test can set forward."""

    def __init__(self):
        self.skipped_s = 0.0

    def __call__(self):
        return time.monotonic() + self.skipped_s


class Peer:
    """Accepts connections and says what the script says; counts them."""

    def __init__(self, *script):
        self.script = script
        self.connections = 0
        self.heard = b""
        self.hangs_up = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ending:
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                self.connections += 1
                near.settimeout(0.05)
                self._open.append(near)
                with contextlib.suppress(OSError):
                    self.heard += near.recv(4096)
                    for data in self.script:
                        near.sendall(data)
                        time.sleep(0.05)
                    if self.hangs_up:
                        near.shutdown(socket.SHUT_WR)
            for near in self._open:
                with contextlib.suppress(OSError):
                    self.heard += near.recv(4096)

    def close(self):
        self._ending = True
        self._thread.join()
        self._listener.close()
        for near in self._open:
            near.close()


class Seat:
    """A link and what it was told."""

    def __init__(self, port, **more):
        self.opened, self.lost = [], []
        self.clock = Clock()
        settings = {"first_connect_s": 0.0, "reconnect_s": (0.01, 0.02), "connect_timeout_s": 0.3, "keepalive_s": 1}
        self.link = Link(
            BrokerSettings(host="127.0.0.1", port=port, **{**settings, **more}),
            "lamp",
            filters=("a/#",),
            on_message=lambda _message: None,
            on_opened=self.opened.append,
            on_lost=self.lost.append,
            chance=random.Random(1),
            monotonic=self.clock,
        )

    def until(self, done, wait_s=5.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, (self.opened, self.lost)
            self.link.step(0.02)


@pytest.fixture
def seat_at():
    made = []

    def make(*script, **more):
        peer = Peer(*script)
        seat = Seat(peer.port, **more)
        made.append((peer, seat))
        return peer, seat

    yield make
    for peer, seat in made:
        seat.link.close()
        peer.close()


def test_a_takeover_is_called_by_its_name(seat_at):
    _, seat = seat_at(CONNACK, TAKEN_OVER)

    seat.until(lambda: any("another client took this session over" in said for said in seat.lost))


def test_a_takeover_war_is_fought_slowly_after_three_rounds(seat_at):
    peer, seat = seat_at(CONNACK, TAKEN_OVER)
    seat.until(lambda: len(seat.lost) == 3)
    seat.link.step(0.0)

    assert peer.connections == 3
    assert seat.link.next_attempt_s > time.monotonic() + 30


def test_connections_stay_below_fifteen_a_minute_whatever_the_broker_does(seat_at):
    peer, seat = seat_at(CONNACK, b"\xe0\x00")  # in, and out again without a reason

    end_s = time.monotonic() + 4.0
    while time.monotonic() < end_s:
        seat.link.step(0.02)

    assert 5 < peer.connections < 15


def test_a_refusal_is_told_with_its_reason(seat_at):
    _, seat = seat_at(REFUSED)

    seat.until(lambda: seat.lost)

    assert "does not authorize this device" in seat.lost[0]
    assert seat.opened == []
    assert not seat.link.connected


def test_a_peer_that_never_answers_is_left(seat_at):
    _, seat = seat_at()

    seat.until(lambda: "the broker accepted the connection and never answered" in seat.lost)


def test_a_peer_that_stops_answering_is_left_after_one_and_a_half_keepalives(seat_at):
    _, seat = seat_at(CONNACK)
    seat.until(lambda: seat.opened)
    began_s = time.monotonic()

    seat.until(lambda: seat.lost)

    assert time.monotonic() - began_s < 1.5 + 0.7


@pytest.mark.parametrize(
    "noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b"\xff" * 100, b"\x20\xff\xff\xff\xff\xff"]
)
def test_a_peer_that_speaks_something_else_ends_nothing(seat_at, noise):
    peer, seat = seat_at(noise)

    seat.until(lambda: peer.connections >= 2)

    assert not seat.link.connected


def test_what_was_in_flight_is_told_to_its_sender_when_the_connection_breaks(seat_at):
    peer, seat = seat_at(CONNACK)
    seat.until(lambda: seat.link.connected)
    taken = []
    assert seat.link.publish(Message("a/b", b"x"), taken.append)

    seat.until(lambda: taken)

    assert taken == [False]
    assert b"a/b" in peer.heard


def test_nothing_is_queued_while_there_is_no_connection(seat_at):
    _, seat = seat_at()

    assert not seat.link.publish(Message("a/b", b"x"), lambda _taken: pytest.fail("was never sent"))
    assert seat.link.room == 0


def test_no_more_is_in_flight_than_the_window(seat_at):
    _, seat = seat_at(CONNACK)
    seat.until(lambda: seat.link.connected)

    sent = [seat.link.publish(Message("a/b", b"x"), lambda _taken: None) for _ in range(40)]

    assert sum(sent) == 16


def test_an_unreachable_host_is_a_reason_not_an_end(seat_at):
    peer, seat = seat_at()
    peer.close()
    seat.link.close()
    absent = Seat(peer.port)

    absent.until(lambda: len(absent.lost) >= 2)

    assert "cannot reach" in absent.lost[0]
    absent.link.close()


def test_a_password_that_others_may_read_is_refused(seat_at, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("swordfish\n")
    secret.chmod(0o644)
    peer, seat = seat_at(CONNACK, username="lamp", password_file=str(secret))

    seat.until(lambda: seat.lost)

    assert "chmod 0600" in seat.lost[0]
    assert peer.heard == b""
    secret.chmod(0o600)
    seat.until(lambda: seat.link.connected)
    assert b"swordfish" in peer.heard


def connack(*properties):
    body = b"".join(properties)
    return bytes([0x20, 3 + len(body), 0, 0, len(body)]) + body


def disconnect(code, *properties):
    body = b"".join(properties)
    return bytes([0xE0, 2 + len(body), code, len(body)]) + body


QOS_0 = b"\x24\x00"


def test_a_broker_that_takes_three_at_once_gets_three(seat_at):
    _, seat = seat_at(connack(b"\x21\x00\x03"))
    seat.until(lambda: seat.link.connected)

    sent = [seat.link.publish(Message("a/b", b"x"), lambda _taken: None) for _ in range(10)]

    assert sum(sent) == seat.link.window == 3


def test_a_broker_without_qos_1_is_left_with_the_reason(seat_at):
    _, seat = seat_at(connack(QOS_0))

    seat.until(lambda: seat.lost)

    assert "does not take QoS 1" in seat.lost[0]
    assert seat.opened == []


def test_the_keepalive_is_what_the_broker_says(seat_at):
    _, seat = seat_at(connack(b"\x13\x00\x01"), keepalive_s=600)
    seat.until(lambda: seat.opened)

    seat.until(lambda: seat.lost)


def test_messages_are_halved_for_a_broker_that_calls_a_packet_too_large(seat_at):
    _, seat = seat_at(CONNACK, disconnect(0x95))

    seat.until(lambda: len(seat.opened) >= 3)

    assert [each.max_message_bytes for each in seat.opened[:3]] == [256 * 1024, 128 * 1024, 64 * 1024]


def test_where_a_broker_has_moved_is_told_and_not_followed(seat_at):
    where = b"elsewhere:1883"
    peer, seat = seat_at(CONNACK, disconnect(0x9D, b"\x1c" + len(where).to_bytes(2, "big") + where))

    seat.until(lambda: seat.lost)
    seat.link.step(0.0)

    assert seat.lost[0] == "the broker has moved to another server; elsewhere:1883"
    assert seat.link.next_attempt_s > time.monotonic() + 250
    assert peer.connections == 1


def test_a_refused_message_is_told_with_its_reason(seat_at):
    _, seat = seat_at(CONNACK, b"\x40\x04\x00\x02\x97\x00")  # PUBACK of the message that comes after the subscription
    taken = []
    seat.until(lambda: seat.link.connected)
    seat.link.publish(Message("a/b", b"x"), taken.append)

    seat.until(lambda: seat.link.trouble is not None)

    assert seat.link.trouble.code == 0x97
    assert taken == [False]


def test_a_refused_message_holds_back_every_other_one_until_the_broker_may_be_asked_again(seat_at):
    _, seat = seat_at(CONNACK, GRANTED, b"\x40\x04\x00\x02\x97\x00", keepalive_s=600)
    seat.until(lambda: seat.link.connected)
    seat.link.publish(Message("a/b", b"x"), lambda _taken: None)
    seat.until(lambda: seat.link.trouble is not None)

    assert seat.link.room == 0
    assert not seat.link.publish(Message("other/topic", b"x"), lambda _taken: None)
    seat.clock.skipped_s += 59.0
    assert seat.link.room == 0
    seat.clock.skipped_s += 242.0
    assert seat.link.room == 16
    assert seat.link.trouble.code == 0x97  # until it has taken one


def test_a_connection_that_is_ended_for_new_credentials_is_made_again_at_once(seat_at):
    peer, seat = seat_at(CONNACK, GRANTED, keepalive_s=600, first_connect_s=300.0)
    seat.link.hurry()  # the first connection of this one is spread, too
    seat.until(lambda: seat.link.connected)
    seat.clock.skipped_s += 120.0

    seat.link.refuse_session("certificate, key or password were replaced")
    seat.link.hurry()

    seat.until(lambda: peer.connections == 2)


def test_new_credentials_end_the_pause_after_a_refused_message_too(seat_at):
    _, seat = seat_at(CONNACK, GRANTED, b"\x40\x04\x00\x02\x87\x00", keepalive_s=600)
    seat.until(lambda: seat.link.connected)
    seat.link.publish(Message("a/b", b"x"), lambda _taken: None)
    seat.until(lambda: seat.link.room == 0)

    seat.link.hurry()

    assert seat.link.room == 16


def test_a_refused_subscription_is_a_refusal_and_stays_one_however_long_it_lasts(seat_at):
    peer, seat = seat_at(CONNACK, NOT_GRANTED)
    seat.until(lambda: seat.lost)
    seat.link.step(0.0)

    assert "does not authorize this device (subscription to a/#)" in seat.lost[0]
    assert seat.link.next_attempt_s > seat.clock() + 250
    seat.clock.skipped_s += 200.0
    seat.link.step(0.0)
    assert not seat.link.connected
    assert seat.link.trouble.code == 0x87
    assert peer.connections == 1


def test_a_subscription_that_is_granted_at_last_is_no_trouble_any_more(seat_at):
    peer, seat = seat_at(CONNACK, NOT_GRANTED, keepalive_s=600)
    seat.until(lambda: seat.lost)
    seat.link.step(0.0)
    peer.script = (CONNACK, GRANTED)

    seat.clock.skipped_s += 900.0
    seat.until(lambda: seat.link.connected and seat.link.trouble is None)

    assert peer.connections == 2


def test_a_broker_that_throws_us_out_without_a_word_three_times_is_taken_for_a_rival_at_it(seat_at):
    peer, seat = seat_at(CONNACK, GRANTED)
    peer.hangs_up = True
    seat.until(lambda: len(seat.lost) == 3)
    seat.link.step(0.0)

    assert "another client may have the name" in seat.link.trouble.words
    assert seat.link.next_attempt_s > seat.clock() + 30
    assert peer.connections == 3


def test_new_credentials_end_a_long_pause(seat_at):
    peer, seat = seat_at(REFUSED)
    seat.until(lambda: seat.lost)
    seat.link.step(0.0)
    assert seat.link.next_attempt_s > time.monotonic() + 250

    seat.link.hurry()

    seat.until(lambda: peer.connections == 2)
