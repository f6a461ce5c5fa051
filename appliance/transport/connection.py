"""One client of the local socket, as its server sees it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque

from appliance.contracts.local import LocalReply, LocalRequest
from appliance.transport.lines import LineBuffer, render
from appliance.transport.local import Peer


class Pending:
    """A line that waits for its turn on its connection; replies keep the order of the lines."""

    def __init__(self, request: LocalRequest | None, reply: LocalReply | None) -> None:
        self.request = request
        self.reply = reply


class Connection:
    """One client; only the reading thread touches it, but for `send` while a request of it is being handled."""

    def __init__(self, stream: socket.socket, peer: Peer) -> None:
        self.stream = stream
        self.peer = peer
        self.lines = LineBuffer()
        self.pending: deque[Pending] = deque()
        self.is_handled = False
        self.is_read = False
        self.is_ended = False
        self.active_at_s = time.monotonic()
        self._holders_n = 1
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._is_over = False

    def send(self, reply: LocalReply, timeout_s: float) -> bool:
        """Write *reply*; with a timeout of zero only as far as the kernel takes it at once.

        Returns:
            Whether all of it went.
        """
        with self._sending:
            return not self._is_over and self._send(reply, timeout_s)

    def send_last(self, reply: LocalReply) -> None:
        """Write *reply* as far as it goes at once, and nothing after it, whoever else has something to say.

        A thread that is in the middle of a reply keeps its turn.
        """
        if self._sending.acquire(blocking=False):
            try:
                self._is_over = True
                self._send(reply, 0)
            finally:
                self._sending.release()

    def _send(self, reply: LocalReply, timeout_s: float) -> bool:
        data = memoryview(render(reply))
        until_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as writable:
            while data:
                try:
                    data = data[self.stream.send(data) :]
                except BlockingIOError:
                    if not writable.get_map():
                        writable.register(self.stream, selectors.EVENT_WRITE)
                    left_s = until_s - time.monotonic()
                    if left_s <= 0 or not writable.select(left_s):
                        return False
                except OSError:
                    return False
        return True

    def hang_up(self) -> None:
        """End the connection for both sides; a thread that writes to it finds out."""
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Keep the descriptor open for another thread."""
        with self._lock:
            self._holders_n += 1

    def let_go(self) -> None:
        """Close the descriptor when nobody holds it any more: never under another thread's hands."""
        with self._lock:
            self._holders_n -= 1
            if not self._holders_n:
                self.stream.close()

    def has_hung_up(self) -> bool:
        """Return whether the client is gone; what it has sent is left to be read."""
        try:
            return self.stream.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
