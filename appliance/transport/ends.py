"""What the kernel knows of a connection: what can be read, what waits to leave, how it ended."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import sys
import termios
from typing import Any, Final

_RDHUP: Final = getattr(select, "POLLRDHUP", 0)
"""Linux alone tells whether the other side has closed; elsewhere no end counts as one in order."""


def ready(reading: list[Any], writing: list[Any], wait_s: float) -> tuple[list[Any], list[Any]]:
    """Wait as `select` does; `select` itself refuses descriptors above 1,023, which a process of many links has."""
    poll = select.poll()
    for end in reading:
        poll.register(end, select.POLLIN | (select.POLLOUT if end in writing else 0))
    found = dict(poll.poll(max(0.0, wait_s) * 1000))
    readable = [end for end in reading if found.get(end.fileno(), 0) & ~select.POLLOUT]
    return readable, [end for end in writing if found.get(end.fileno(), 0) & select.POLLOUT]


def is_closed_in_order(sock: Any) -> bool:
    """Tell whether the other side has closed the connection itself: its end is there, and no error with it."""
    poll = select.poll()
    poll.register(sock, _RDHUP)
    events = dict(poll.poll(0)).get(sock.fileno(), 0)
    return bool(events & _RDHUP) and not events & select.POLLERR


def undelivered(sock: Any) -> int:
    """Count bytes that TLS has decrypted already: `select` does not see them."""
    return int(sock.pending()) if isinstance(sock, ssl.SSLSocket) else 0


def unsent(sock: Any) -> int:
    """Count bytes that the other side has not taken yet; 0 where the system does not say."""
    try:
        return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError, TypeError):
        return 0


def tune(sock: Any, unacknowledged_s: float) -> None:
    """Let the kernel notice a black hole: bytes that stay unacknowledged for so long end the connection."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, option, int(unacknowledged_s * 1000))


def shut(sock: Any) -> None:
    """Close at once, without a word to the other side; None and a socket that is closed already are fine."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            sock.close()
