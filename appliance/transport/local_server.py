"""The daemon's end of the home's Unix socket: many clients, none of which can hold up another, or the emergency stop.

Covers: clients that send nothing, garbage, too much, or never read; more clients than there is room for; a socket file
left behind by a crash; the end, at which requests under way get a moment and everybody gets an answer.
Does not cover: what a request means and who may make it; that is the handler's.

One thread reads every connection. A request has a thread of its own while it is handled, up to `REQUESTS_N`; `stop`
has a lane of its own, so that it is heard when all of those are taken.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from appliance.contracts.local import LocalReply, LocalRequest, Stop, Watch
from appliance.errors import AlreadyRunning, ApplianceError
from appliance.transport.connection import Connection, Pending
from appliance.transport.lines import TOO_LONG, parse
from appliance.transport.local import Peer, address

REQUESTS_N: Final = 32
"""Requests handled at once."""

WATCHES_N: Final = 16
"""How many of them may be watches, which last."""

CONNECTIONS_N: Final = 128
"""More than `REQUESTS_N`: there is always one that waits for nothing and can give way to a newcomer."""

PENDING_N: Final = 8
"""Requests that one connection may send ahead."""

WRITE_TIMEOUT_S: Final = 5.0
"""A client that has read nothing for so long is gone."""

ENDING_S: Final = 2.0
"""What a request under way may still take when the daemon ends."""

_BUSY: Final = LocalReply(ok=False, error="busy", message="too many requests at once; try again in a moment")
_ENDING: Final = LocalReply(ok=False, error="ending", message="the daemon is ending; ask again when it has started")
_log = logging.getLogger(__name__)


class Handler(Protocol):
    """What the daemon does with a request."""

    def handle(self, request: LocalRequest, peer: Peer) -> LocalReply | Iterator[LocalReply | None]:
        """Answer *request*; several replies as an iterator.

        An iterator that waits yields None now and then (once a second), so that a client's hanging up is noticed.
        Called from several threads at once.
        """


class LocalServer:
    """Answers the clients of one home."""

    def __init__(
        self, path: Path, handler: Handler, *, write_timeout_s: float = WRITE_TIMEOUT_S, ending_s: float = ENDING_S
    ) -> None:
        self.path = path
        self._handler = handler
        self._write_timeout_s = write_timeout_s
        self._ending_s = ending_s
        self._listener: socket.socket | None = None
        self._inode = 0
        self._connections: set[Connection] = set()
        self._handled_n = 0
        self._watches_n = 0
        self._stopping = threading.Event()
        self._is_over = False
        # What other threads hand to the reading thread; a byte in the pipe wakes it.
        self._news: queue.SimpleQueue[tuple[Connection, Pending]] = queue.SimpleQueue()
        self._stops: queue.SimpleQueue[tuple[Connection, Pending, Stop] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen.

        Raises:
            AlreadyRunning: another daemon answers at this path.
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.parent.chmod(0o750)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address(self.path) as name:
                self._clear(name)
                listener.bind(name)
                # Before `listen`: nobody connects to a socket with the wrong permissions.
                self.path.chmod(0o660)
                listener.listen(64)
        except BaseException:
            listener.close()
            raise
        self._inode = self.path.stat().st_ino
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        listener.settimeout(0)
        self._wake_out.settimeout(0)
        self._wake_in.settimeout(0)
        self._selector.register(listener, selectors.EVENT_READ, "listener")
        self._selector.register(self._wake_out, selectors.EVENT_READ, "wake")
        for target, name in ((self._serve, "local-socket"), (self._run_stops, "local-stop")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let what is being handled end, tell everybody else that it is over, and remove the socket.

        A request that takes longer than `ENDING_S` goes on without its listener, and whatever it meets is no fault.
        """
        if self._listener is None:
            return
        self._stopping.set()
        self._wake()
        for thread in self._threads:
            thread.join(timeout=self._ending_s + 1)
        # A successor may have taken the path meanwhile; its socket is not ours to remove.
        with contextlib.suppress(OSError):
            if self._inode and self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def _clear(self, name: str) -> None:
        """Remove a socket that nobody listens on."""
        if not self.path.is_socket():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(name)
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
                return
            except OSError as error:
                raise AlreadyRunning(f"{self.path} cannot be asked ({error}); another daemon may own it") from error
        raise AlreadyRunning(f"another daemon answers at {self.path}; stop it first")

    # ---- the reading thread

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(timeout=5):
                if key.data == "listener":
                    self._accept()
                elif key.data == "wake":
                    self._hear()
                elif key.data in self._connections:  # not dropped by an earlier event of this round
                    self._read(key.data)
        assert self._listener is not None
        self._selector.unregister(self._listener)
        self._listener.close()
        self._end()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _end(self) -> None:
        """Answer what has been asked by now, wait a moment for what is being handled, and hang up."""
        for connection in list(self._connections):
            if connection.is_read:
                self._read(connection)
            self._pause(connection)
        self._stops.put(None)
        until_s = time.monotonic() + self._ending_s
        while self._handled_n or any(connection.pending for connection in self._connections):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            if self._selector.select(timeout=left_s):
                self._hear()
        self._is_over = True
        for connection in list(self._connections):
            if connection.pending:
                connection.send_last(_ENDING)
            self._drop(connection)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            stream, _ = self._listener.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                _log.warning("a client could not be accepted", exc_info=error)
                self._make_room()
            return
        stream.settimeout(0)
        if len(self._connections) >= CONNECTIONS_N:
            self._make_room()
        try:
            connection = Connection(stream, Peer.of(stream))
        except OSError:
            stream.close()
            return
        self._connections.add(connection)
        self._listen_to(connection)

    def _make_room(self) -> None:
        """Drop whoever has been silent longest and waits for no answer."""
        idle = [c for c in self._connections if not c.is_handled and not c.pending]
        if idle:
            self._drop(min(idle, key=lambda c: c.active_at_s))

    def _read(self, connection: Connection) -> None:
        try:
            received = connection.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        connection.active_at_s = time.monotonic()
        if received:
            lines = connection.lines.feed(received)
        else:
            lines = connection.lines.end()
            connection.is_ended = True
        for line in lines:
            if line is None:
                connection.pending.append(Pending(None, TOO_LONG))
            elif line.strip():
                self._take(connection, parse(line))
        self._advance(connection)

    def _take(self, connection: Connection, parsed: LocalRequest | LocalReply) -> None:
        if isinstance(parsed, LocalReply):
            connection.pending.append(Pending(None, parsed))
            return
        pending = Pending(parsed, None)
        connection.pending.append(pending)
        if isinstance(parsed, Stop):
            # At once, though its reply waits for those before it.
            self._stops.put((connection, pending, parsed))

    def _advance(self, connection: Connection) -> None:
        """Answer what can be answered, in order; then read on, or close."""
        while connection.pending and not connection.is_handled:
            first = connection.pending[0]
            if first.reply is not None:
                connection.pending.popleft()
                if not connection.send(first.reply, 0):
                    self._drop(connection)
                    return
            elif isinstance(first.request, Stop):
                break  # the lane brings its reply
            else:
                self._begin(connection, first)
        if connection.is_ended and not connection.pending:
            self._drop(connection)
        elif connection.is_ended or len(connection.pending) >= PENDING_N or self._stopping.is_set():
            self._pause(connection)
        else:
            self._listen_to(connection)

    def _begin(self, connection: Connection, pending: Pending) -> None:
        if self._stopping.is_set():
            pending.reply = _ENDING
            return
        is_watch = isinstance(pending.request, Watch)
        if self._handled_n >= REQUESTS_N or (is_watch and self._watches_n >= WATCHES_N):
            pending.reply = _BUSY
            return
        thread = threading.Thread(target=self._handle, args=(connection, pending), name="local-request", daemon=True)
        connection.hold()
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            connection.let_go()
            pending.reply = _BUSY
            return
        self._handled_n += 1
        self._watches_n += is_watch
        connection.is_handled = True

    def _hear(self) -> None:
        """Take what other threads have finished."""
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        while True:
            try:
                connection, pending = self._news.get_nowait()
            except queue.Empty:
                return
            if not isinstance(pending.request, Stop):
                self._handled_n -= 1
                self._watches_n -= isinstance(pending.request, Watch)
                connection.is_handled = False
                connection.pending.popleft()
            if connection in self._connections:
                self._advance(connection)

    def _listen_to(self, connection: Connection) -> None:
        if not connection.is_read:
            self._selector.register(connection.stream, selectors.EVENT_READ, connection)
            connection.is_read = True

    def _pause(self, connection: Connection) -> None:
        if connection.is_read:
            self._selector.unregister(connection.stream)
            connection.is_read = False

    def _drop(self, connection: Connection) -> None:
        self._pause(connection)
        self._connections.discard(connection)
        connection.hang_up()
        connection.let_go()

    # ---- other threads

    def _handle(self, connection: Connection, pending: Pending) -> None:
        assert pending.request is not None
        try:
            answer = self._answer(pending.request, connection.peer)
            if isinstance(answer, LocalReply):
                answer = iter((answer,))
            for reply in answer:
                if reply is None:
                    if self._stopping.is_set() or connection.has_hung_up():
                        break
                elif not connection.send(reply, self._write_timeout_s):
                    connection.hang_up()
                    break
                if self._stopping.is_set():
                    break
        except Exception as error:  # noqa: BLE001 -- an iterator's fault is its client's answer, not the server's end
            connection.send(self._fault(error), self._write_timeout_s)
        finally:
            connection.let_go()
            self._news.put((connection, pending))
            self._wake()

    def _run_stops(self) -> None:
        while (taken := self._stops.get()) is not None:
            connection, pending, request = taken
            answer = self._answer(request, connection.peer)
            pending.reply = (
                answer
                if isinstance(answer, LocalReply)
                else next((r for r in answer if r is not None), LocalReply(ok=True))
            )
            self._news.put((connection, pending))
            self._wake()

    def _answer(self, request: LocalRequest, peer: Peer) -> LocalReply | Iterator[LocalReply | None]:
        try:
            return self._handler.handle(request, peer)
        except Exception as error:  # noqa: BLE001 -- a handler's fault is its client's answer, not the server's end
            return self._fault(error)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it has ended
            self._wake_in.send(b"\0")

    def _fault(self, error: Exception) -> LocalReply:
        """Say what went wrong; what a person should see is in our own errors, the rest is for the log."""
        if self._is_over:
            return _ENDING  # what it needed is closed: it was told to end, and had its time
        if isinstance(error, ApplianceError):
            return LocalReply(ok=False, error="failed", message=str(error))
        _log.error("a local request could not be handled", exc_info=error)
        message = f"a fault in the daemon ({type(error).__name__}); see its log"
        return LocalReply(ok=False, error="failed", message=message)
