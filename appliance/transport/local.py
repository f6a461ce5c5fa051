"""The home's Unix socket, as both sides know it: where it is, who is at the other end, and how to ask.

The side that answers is `local_server`; programs of others use `appliance.client`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.local import LocalReply
from appliance.contracts.record import Record
from appliance.errors import DaemonUnavailable, WireError

ADDRESS_BYTES: Final = 107
"""The longest path that fits `sockaddr_un.sun_path` with its closing zero."""

MAX_REPLY_BYTES: Final = 8 * 2**20
"""Longer than any reply of ours; bounds what a client reads from something that is not ours."""

_PEERCRED: Final = struct.Struct("3i")


class Peer(NamedTuple):
    """The process at the other end, as the kernel vouches for it; a process, not a person."""

    uid: int
    gid: int
    pid: int

    @classmethod
    def of(cls, connection: socket.socket) -> Peer:
        """Ask the kernel who connected."""
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        pid, uid, gid = _PEERCRED.unpack(raw)
        return cls(uid, gid, pid)


def socket_path(home: Path) -> Path:
    """Return where the daemon of *home* listens."""
    return home.expanduser().absolute() / "run" / "appliance.sock"


@contextmanager
def address(path: Path) -> Iterator[str]:
    """Give a name for *path* that fits AF_UNIX's 108 bytes, however long the path is.

    A long path is reached through a descriptor of its folder. Both sides find the same socket that way, without having
    to agree on an environment variable or to trust a shared folder.

    Raises:
        OSError: the folder is not there.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Replies:
    """The replies to one request, as they come; `close` ends them, from any thread."""

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._buffer = b""

    def __iter__(self) -> Iterator[LocalReply]:
        return self

    def __next__(self) -> LocalReply:
        """Wait for the next reply.

        Raises:
            DaemonUnavailable: nothing came within the time given, or the daemon broke off in the middle of a line.
            WireError: what answers is not our daemon.
        """
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_REPLY_BYTES:
                raise WireError(f"{self._path}: a reply of more than {MAX_REPLY_BYTES} bytes; this is not our daemon")
            try:
                more = self._connection.recv(65536)
            except TimeoutError as error:
                raise DaemonUnavailable(
                    f"the daemon at {self._path} has not answered in time; it may still act on the request:"
                    " look with `appliance audit show`"
                ) from error
            except OSError as error:
                raise DaemonUnavailable(f"the daemon at {self._path} hung up: {error.strerror}") from error
            if not more:
                if self._buffer:
                    raise DaemonUnavailable(f"the daemon at {self._path} broke off in the middle of a reply")
                raise StopIteration
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return LocalReply.model_validate_json(line)
        except ValidationError as error:
            raise WireError(f"{self._path}: a reply that is not ours: {error.errors()[0]['msg']}") from error

    def close(self) -> None:
        """Hang up; a thread that waits for the next reply finds the end."""
        with suppress(OSError):  # already gone
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class LocalClient:
    """Speaks to the daemon of one home; every request has a connection of its own, so none waits for another."""

    def __init__(self, home: Path, *, connect_timeout_s: float = 2.0) -> None:
        self.home = home
        self.path = socket_path(home)
        self._connect_timeout_s = connect_timeout_s

    def request(self, request: Record, *, timeout_s: float = 10.0) -> LocalReply:
        """Send one request and wait for its reply.

        Raises:
            DaemonUnavailable: no daemon answers, or not within *timeout_s*.
            WireError: what answers is not our daemon.
        """
        replies = self.follow(request, timeout_s=timeout_s)
        try:
            reply = next(replies, None)
        finally:
            replies.close()
        if reply is None:
            raise DaemonUnavailable(f"the daemon at {self.path} hung up without an answer; {self._remedy()}")
        return reply

    def follow(self, request: Record, *, timeout_s: float | None = None) -> Replies:
        """Send one request and return its replies as they come, each within *timeout_s* of the one before.

        Raises:
            DaemonUnavailable: no daemon answers.
        """
        connection = self._connect()
        try:
            connection.sendall(request.model_dump_json().encode() + b"\n")
        except OSError as error:
            connection.close()
            raise DaemonUnavailable(f"the daemon at {self.path} hung up: {error}; {self._remedy()}") from error
        connection.settimeout(timeout_s)
        return Replies(connection, self.path)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._connect_timeout_s)
        until_s = time.monotonic() + self._connect_timeout_s
        try:
            with address(self.path) as name:
                # A full queue of newcomers answers EAGAIN at once, timeout or not (unix(7)).
                while (refused := connection.connect_ex(name)) == errno.EAGAIN and time.monotonic() < until_s:
                    time.sleep(0.01)
            if refused:
                raise OSError(refused, os.strerror(refused))
        except PermissionError as error:
            connection.close()
            raise DaemonUnavailable(
                f"{self.path}: not permitted; ask the owner of {self.path.parent} to put you in its group"
            ) from error
        except OSError as error:
            connection.close()
            raise DaemonUnavailable(f"no daemon answers at {self.path}; {self._remedy()}") from error
        return connection

    def _remedy(self) -> str:
        return f"start one with `appliance --home {self.home} run`"
