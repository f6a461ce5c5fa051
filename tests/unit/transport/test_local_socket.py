"""The local socket: many clients, of which none can hold up another."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.client import Appliance
from appliance.contracts.local import (
    MAX_LINE_BYTES,
    Hello,
    LocalReply,
    LocalRequest,
    Outcome,
    Say,
    Status,
    Stop,
    Watch,
)
from appliance.errors import AlreadyRunning, ApplianceError, DaemonUnavailable, UsageError, WireError
from appliance.transport import local_server
from appliance.transport.local import LocalClient, Peer, address, socket_path
from appliance.transport.local_server import LocalServer


class Echo:
    """Answers what it was asked; `say wait` answers when it may, `say crash` never does."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()
        self.heard: list[tuple[LocalRequest, Peer]] = []
        self.may_go_on = threading.Event()
        self.watched_n = 0
        self.changed = threading.Event()

    def handle(self, request: LocalRequest, peer: Peer) -> LocalReply | Iterator[LocalReply | None]:
        self.heard.append((request, peer))
        match request:
            case Say(text="wait"):
                self.may_go_on.wait(10)
            case Say(text="read the pins"):
                self.may_go_on.wait(10)
                if self.is_closed.wait(0.3):
                    raise OSError("the pins are closed")
            case Say(text="crash"):
                raise ZeroDivisionError
            case Say(text="cannot"):
                raise ApplianceError("the disk is full; free some space")
            case Say(text="much"):
                return LocalReply(ok=True, result={"much": "x" * 2_000_000})
            case Watch():
                return self._changes()
        if isinstance(request, Say):
            outcome = Outcome(request_id=request.request_id or "r", status="done", text=request.text)
            return LocalReply(ok=True, result=outcome.model_dump(mode="json"))
        return LocalReply(ok=True, result={"op": request.op})

    def _changes(self) -> Iterator[LocalReply | None]:
        self.watched_n += 1
        try:
            yield LocalReply(ok=True, result={"n": 0})
            while True:
                if self.changed.wait(0.05):
                    self.changed.clear()
                    yield LocalReply(ok=True, result={"n": 1})
                else:
                    yield None
        finally:
            self.watched_n -= 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    handler = Echo()
    yield handler
    handler.may_go_on.set()


@pytest.fixture
def home(tmp_path: Path, echo: Echo) -> Iterator[Path]:
    server = LocalServer(socket_path(tmp_path), echo, write_timeout_s=0.2)
    server.start()
    yield tmp_path
    server.stop()


def raw(home: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    with address(socket_path(home)) as name:
        stream.connect(name)  # blocks while the queue of newcomers is full
    stream.settimeout(10)
    return stream


def answers(stream: socket.socket, n: int) -> list[dict[str, object]]:
    with stream.makefile("rb") as lines:
        return [json.loads(lines.readline()) for _ in range(n)]


def until(claim, within_s: float = 5.0) -> None:
    """Wait until *claim* holds."""
    end_s = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.01)


def test_a_request_is_answered_and_the_kernel_says_who_asked(home: Path, echo: Echo) -> None:
    reply = LocalClient(home).request(Status())

    assert reply == LocalReply(ok=True, result={"op": "status"})
    assert echo.heard == [(Status(), Peer(os.getuid(), os.getgid(), os.getpid()))]


def test_the_socket_is_for_owner_and_group_only(home: Path) -> None:
    path = socket_path(home)

    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


def test_a_home_far_beyond_108_bytes_has_a_socket_like_any_other(tmp_path: Path, echo: Echo) -> None:
    home = tmp_path / ("long" * 20) / ("path" * 20) / ("ü" * 50)
    server = LocalServer(socket_path(home), echo)

    server.start()
    try:
        assert len(os.fsencode(socket_path(home))) > 250
        assert LocalClient(home).request(Hello()).ok
        with pytest.raises(AlreadyRunning):
            LocalServer(socket_path(home), echo).start()
    finally:
        server.stop()
    assert not socket_path(home).exists()


def test_replies_keep_the_order_of_the_lines_and_bad_lines_do_not_end_the_connection(home: Path) -> None:
    with raw(home) as stream:
        stream.sendall(
            b'{"op": "status"}\nnonsense\n\n{"op": "fly"}\n[1]\n{"op": "say"}\n{"op": "hello", "protocol": 9}\n'
            b'{"op": "say", "text": "x", "wait_s": NaN}\n\xff\xfe\n{"op": "say", "text": "last", "request_id": "7"}\n'
        )

        said = answers(stream, 9)

    assert [r["error"] for r in said] == [
        None, "malformed", "unknown_op", "malformed", "malformed", "malformed", "malformed", "malformed", None,
    ]  # fmt: skip
    assert "say.text" in str(said[4]["message"]) or "text" in str(said[4]["message"])
    assert said[-1]["result"]["text"] == "last"  # type: ignore[index]


def test_a_line_beyond_the_limit_is_answered_and_skipped_and_the_next_one_is_heard(home: Path) -> None:
    with raw(home) as stream:
        sender = threading.Thread(target=stream.sendall, args=(b"x" * (10 * MAX_LINE_BYTES) + b'\n{"op": "status"}\n',))
        sender.start()

        said = answers(stream, 2)
        sender.join()

    assert [r["error"] for r in said] == ["too_long", None]


def test_a_last_line_without_a_newline_is_heard(home: Path) -> None:
    with raw(home) as stream:
        stream.sendall(b'{"op": "status"}')
        stream.shutdown(socket.SHUT_WR)

        assert answers(stream, 1)[0]["ok"] is True
        assert stream.recv(1) == b""


def test_a_fault_in_the_handler_is_an_error_reply_and_our_own_errors_keep_their_words(home: Path) -> None:
    client = LocalClient(home)

    crashed = client.request(Say(text="crash"))
    failed = client.request(Say(text="cannot"))

    assert (crashed.ok, crashed.error) == (False, "failed")
    assert "ZeroDivisionError" in crashed.message
    assert failed.message == "the disk is full; free some space"
    assert client.request(Status()).ok


def test_the_emergency_stop_is_heard_when_every_place_is_taken_and_every_connection_is_open(
    home: Path, echo: Echo
) -> None:
    silent = [raw(home) for _ in range(local_server.CONNECTIONS_N)]
    waiting = [raw(home) for _ in range(local_server.REQUESTS_N)]
    for stream in waiting:
        stream.sendall(b'{"op": "say", "text": "wait"}\n')
    until(lambda: sum(isinstance(r, Say) for r, _ in echo.heard) == local_server.REQUESTS_N)

    busy = LocalClient(home).request(Status())
    began_s = time.monotonic()
    stopped = LocalClient(home).request(Stop())
    took_s = time.monotonic() - began_s

    assert busy.error == "busy"
    assert stopped.ok
    assert took_s < 1
    echo.may_go_on.set()
    assert all(answers(stream, 1)[0]["ok"] for stream in waiting)
    for stream in silent + waiting:
        stream.close()


def test_the_emergency_stop_is_heard_behind_a_request_that_waits_on_the_same_connection(home: Path, echo: Echo) -> None:
    with raw(home) as stream:
        stream.sendall(b'{"op": "say", "text": "wait"}\n{"op": "stop"}\n')

        until(lambda: any(isinstance(r, Stop) for r, _ in echo.heard))
        echo.may_go_on.set()

        first, second = answers(stream, 2)
    assert first["result"]["text"] == "wait"  # type: ignore[index]
    assert second["result"] == {"op": "stop"}


def test_a_client_that_never_reads_holds_up_nobody(home: Path) -> None:
    with raw(home) as deaf:
        deaf.sendall(b'{"op": "say", "text": "much"}\n')

        assert all(LocalClient(home).request(Status(), timeout_s=2).ok for _ in range(50))
        time.sleep(0.4)
        rest = b""
        while more := deaf.recv(1_000_000):
            rest += more
    assert b"\n" not in rest  # broken off in the middle, and hung up on


def test_a_watcher_hears_changes_and_its_hanging_up_is_noticed(home: Path, echo: Echo) -> None:
    replies = LocalClient(home).follow(Watch(), timeout_s=5)

    first = next(replies)
    echo.changed.set()
    second = next(replies)
    replies.close()

    assert (first.result, second.result) == ({"n": 0}, {"n": 1})
    until(lambda: echo.watched_n == 0)


def test_a_socket_left_behind_by_a_crash_is_taken_over_and_a_living_one_is_not(tmp_path: Path, echo: Echo) -> None:
    path = socket_path(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    server = LocalServer(path, echo)
    server.start()

    with pytest.raises(AlreadyRunning, match="another daemon"):
        LocalServer(path, echo).start()
    assert LocalClient(tmp_path).request(Hello()).ok
    server.stop()
    assert not path.exists()


def test_without_a_daemon_the_client_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnavailable, match=r"appliance --home .* run"):
        LocalClient(tmp_path).request(Hello())


def test_an_answer_that_does_not_come_in_time_says_that_the_request_may_still_act(home: Path) -> None:
    with pytest.raises(DaemonUnavailable, match="may still act"):
        LocalClient(home).request(Say(text="wait"), timeout_s=0.2)


def test_a_client_survives_a_server_that_is_not_ours(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        def refuse() -> None:
            with other.accept()[0] as stream:
                stream.recv(1000)
                stream.sendall(b"HTTP/1.1 400 Bad Request\r\n")

        threading.Thread(target=refuse).start()
        with pytest.raises(WireError, match="not ours"):
            LocalClient(tmp_path).request(Hello())


def test_the_python_client_gives_outcomes_and_raises_what_callers_handle(home: Path, echo: Echo) -> None:
    appliance = Appliance(home)

    said = appliance.say("dim the lights", request_id="once")

    assert said == Outcome(request_id="once", status="done", text="dim the lights")
    assert appliance.stop("test") == {"op": "stop"}
    with appliance.watch() as statuses:
        assert next(statuses) == {"n": 0}
    with pytest.raises(ApplianceError, match="disk is full"):
        appliance.say("cannot")
    with pytest.raises(UsageError, match="at most"):
        appliance.say("x" * MAX_LINE_BYTES)
    with pytest.raises(WireError, match="outcome"):
        appliance.undo()


def asked(home: Path, echo: Echo, line: bytes, heard_n: int) -> socket.socket:
    """Return a connection that has sent *line*, once the handler has it."""
    stream = raw(home)
    stream.sendall(line)
    until(lambda: len(echo.heard) == heard_n)
    return stream


READ_PINS = b'{"op": "say", "text": "read the pins", "request_id": "r"}\n'


def test_at_the_end_what_is_being_handled_ends_and_what_is_not_begun_is_told_so(
    tmp_path: Path, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    server = LocalServer(socket_path(tmp_path), echo)
    server.start()
    stream = asked(tmp_path, echo, READ_PINS + b'{"op": "status"}\n', 1)
    idle = raw(tmp_path)
    threading.Timer(0.1, echo.may_go_on.set).start()

    server.stop()
    echo.is_closed.set()

    first, second = answers(stream, 2)
    assert (first["ok"], first["result"]["text"]) == (True, "read the pins")  # type: ignore[index]
    assert (second["ok"], second["error"]) == (False, "ending")
    assert stream.recv(1) == b""
    assert idle.recv(1) == b""
    assert caplog.records == []
    assert not server.path.exists()
    stream.close()
    idle.close()


def test_at_the_end_a_request_that_takes_too_long_is_answered_and_its_later_fault_is_none(
    tmp_path: Path, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    server = LocalServer(socket_path(tmp_path), echo, ending_s=0.1)
    server.start()
    stream = asked(tmp_path, echo, READ_PINS, 1)

    server.stop()
    echo.is_closed.set()
    echo.may_go_on.set()
    until(lambda: not any(t.name == "local-request" for t in threading.enumerate()))

    assert answers(stream, 1)[0]["error"] == "ending"
    assert stream.recv(1) == b""
    assert caplog.records == []
    stream.close()


def test_at_the_end_the_emergency_stop_is_still_carried_out(tmp_path: Path, echo: Echo) -> None:
    server = LocalServer(socket_path(tmp_path), echo)
    server.start()
    with raw(tmp_path) as stream:
        until(lambda: len(server._connections) == 1)
        stream.sendall(b'{"op": "stop"}\n')
        server.stop()

        assert answers(stream, 1)[0]["result"] == {"op": "stop"}
    assert [request for request, _ in echo.heard] == [Stop()]


def test_at_the_end_watchers_hold_up_nobody(tmp_path: Path, echo: Echo) -> None:
    server = LocalServer(socket_path(tmp_path), echo)
    server.start()
    replies = LocalClient(tmp_path).follow(Watch(), timeout_s=5)
    next(replies)
    began_s = time.monotonic()

    server.stop()

    assert time.monotonic() - began_s < 1
    assert list(replies) == []
    replies.close()


PIECES = [b"\n", b'{"op": "status"}\n', b'{"op":', b'{"op": "stop"}\n', b'{"op": "release"}\n']


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=300) | st.sampled_from(PIECES), max_size=8))
def test_the_server_survives_any_bytes(home: Path, chunks: list[bytes]) -> None:
    with raw(home) as stream:
        for chunk in chunks:
            stream.sendall(chunk)
        stream.shutdown(socket.SHUT_WR)
        with stream.makefile("rb") as lines:
            said = [LocalReply.model_validate_json(line) for line in lines]

    sent = b"".join(chunks)
    assert len(said) == sum(1 for line in sent.split(b"\n") if line.strip())
    assert LocalClient(home).request(Status()).ok
