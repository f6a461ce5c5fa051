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


class Peer:
    """Accepts connections and says what the script says; counts them."""

    def __init__(self, *script):
        self.script = script
        self.connections = 0
        self.heard = b""
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
        settings = {"first_connect_s": 0.0, "reconnect_s": (0.01, 0.02), "connect_timeout_s": 0.3, "keepalive_s": 1}
        self.link = Link(
            BrokerSettings(host="127.0.0.1", port=port, **{**settings, **more}),
            "lamp",
            filters=("a/#",),
            on_message=lambda _message: None,
            on_opened=self.opened.append,
            on_lost=self.lost.append,
            chance=random.Random(1),
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

    seat.until(lambda: "another client took this session over" in seat.lost)


def test_a_takeover_war_stays_below_fifteen_connections_a_minute(seat_at):
    peer, seat = seat_at(CONNACK, TAKEN_OVER)

    end_s = time.monotonic() + 4.0
    while time.monotonic() < end_s:
        seat.link.step(0.02)

    assert 5 < peer.connections < 15


def test_a_refusal_is_told_with_its_reason(seat_at):
    _, seat = seat_at(REFUSED)

    seat.until(lambda: seat.lost)

    assert "Not authorized" in seat.lost[0]
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
