"""A TCP forwarder that is as slow as a bad radio link: a delay and a rate for each direction of each connection.

Covers: both ends that close, half of a connection that closes, a far end that is not there. Does not cover: loss; TCP
turns loss into delay, which is what this is.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import deque
from typing import Final

_CHUNK_BYTES: Final = 4096
_HELD_BYTES: Final = 64 * 1024
"""What a link holds for one direction before it stops reading, as a modem's buffer does."""

_TICK_S: Final = 0.02


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, *, delay_s: float, rate: float) -> None:
        self.source = source
        self.target = target
        self._delay_s = delay_s
        self._rate = rate
        self._free_s = 0.0
        self._chunks: deque[tuple[float, bytes]] = deque()
        self.held_bytes = 0

    def take(self, now_s: float) -> bool:
        """Read what has come, if there is room.

        Returns:
            Whether the source is still open.
        """
        try:
            data = self.source.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self._free_s = max(now_s, self._free_s) + len(data) / self._rate
        self._chunks.append((self._free_s + self._delay_s, data))
        self.held_bytes += len(data)
        return True

    def give(self, now_s: float) -> bool:
        """Write what has been on its way long enough.

        Returns:
            Whether the target is still open.
        """
        while self._chunks and self._chunks[0][0] <= now_s:
            due_s, data = self._chunks.popleft()
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            self.held_bytes -= sent
            if sent < len(data):
                self._chunks.appendleft((due_s, data[sent:]))
                break
        return True


class SlowLink:
    """Every connection to its port goes on to another port, slowly; one thread or process steps it."""

    def __init__(self, host: str, to_port: int, *, delay_s: float, bytes_per_s: float) -> None:
        self._to = (host, to_port)
        self._delay_s = delay_s
        self._rate = bytes_per_s
        self._listener = socket.create_server((host, 0), backlog=1024)
        self._listener.setblocking(False)  # noqa: FBT003 -- the socket's own signature
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ways: dict[socket.socket, _Way] = {}

    def step(self) -> None:
        """Move everything on by a moment."""
        now_s = time.monotonic()
        is_full = False
        for key, _ in self._selector.select(_TICK_S):
            end = key.fileobj
            if end is self._listener:
                self._accept()
            elif isinstance(end, socket.socket) and end in self._ways:
                way = self._ways[end]
                if way.held_bytes >= _HELD_BYTES:
                    is_full = True
                elif not way.take(now_s):
                    self._end(way)
        for way in list(self._ways.values()):
            if way.held_bytes and way.source in self._ways and not way.give(now_s):
                self._end(way)
        if is_full:
            time.sleep(_TICK_S)  # what waits outside would wake us at once

    def close(self) -> None:
        """Break every connection."""
        for way in list(self._ways.values()):
            self._end(way)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(self._to, timeout=5)
            except OSError:
                near.close()
                return
            for source, target in ((near, far), (far, near)):
                source.setblocking(False)  # noqa: FBT003 -- the socket's own signature
                self._ways[source] = _Way(source, target, delay_s=self._delay_s, rate=self._rate)
                self._selector.register(source, selectors.EVENT_READ)

    def _end(self, way: _Way) -> None:
        # What is still on its way is lost, as when a modem is switched off.
        for end in (way.source, way.target):
            if self._ways.pop(end, None) is not None:
                self._selector.unregister(end)
                end.close()
