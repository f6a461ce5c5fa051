"""A slow link: everything arrives, whole, in order, and not before it is due."""

import contextlib
import socket
import threading
import time

import pytest

from appliance.simulation.slow_link import SlowLink


class Echo:
    """Sends back what it gets, until the other side has finished."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with near:
                    while data := near.recv(4096):
                        near.sendall(data)

    def close(self):
        # Closing does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def linked():
    made = []

    def link(**how):
        echo = Echo()
        slow = SlowLink("127.0.0.1", echo.port, **how)
        ending = threading.Event()

        def run():
            while not ending.is_set():
                slow.step()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        made.append((echo, slow, ending, thread))
        return slow.port

    yield link
    for echo, slow, ending, thread in made:
        ending.set()
        thread.join()
        slow.close()
        echo.close()


def exchange(port, data):
    with socket.create_connection(("127.0.0.1", port)) as end:
        end.settimeout(60)
        began_s = time.monotonic()
        end.sendall(data)
        heard = b""
        while len(heard) < len(data):
            heard += end.recv(65536)
        return heard, time.monotonic() - began_s


def test_what_is_sent_arrives_whole_and_no_sooner_than_its_rate_and_delay(linked):
    data = bytes(range(256)) * 80

    heard, took_s = exchange(linked(delay_s=0.1, bytes_per_s=40_000), data)

    assert heard == data
    assert took_s >= 2 * 0.1 + len(data) / 40_000


def test_more_than_it_holds_waits_outside_and_arrives(linked):
    data = bytes(range(256)) * 1200  # 300 kB through 64 kB

    heard, _ = exchange(linked(delay_s=0.0, bytes_per_s=2_000_000), data)

    assert heard == data


def test_a_far_end_that_is_not_there_ends_the_near_one(linked):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = closed.getsockname()[1]
    slow = SlowLink("127.0.0.1", gone, delay_s=0.0, bytes_per_s=1000.0)
    try:
        with socket.create_connection(("127.0.0.1", slow.port)) as end:
            for _ in range(10):
                slow.step()
            end.settimeout(10)
            assert end.recv(10) == b""
    finally:
        slow.close()
