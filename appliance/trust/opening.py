"""A delivery, from a stick or from the network, to a private copy; only the copy is ever looked at again.

A delivery is a folder, or the one form of tar (`tarform`), with `bundle/` (the signed folder, plain files only),
`signatures/` and perhaps `urgent.json`. Nothing in it is believed here; what does not fit the form, or goes on for too
long, is not copied to its end.

Covers: everything that `tarform` covers; in a folder also links, FIFOs, devices, sockets, folders in folders, files
that grow while they are read and names without end; both exchanged after they were checked (the copy is what counts).
Does not cover: a copy that is altered later by whoever may write this device's home.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from appliance import lasting
from appliance.trust import tarform
from appliance.trust.tarform import Entry
from appliance.trust.untrusted import Untrusted

BUNDLE: Final = "bundle"
SIGNATURES: Final = "signatures"
URGENT: Final = "urgent.json"

MAX_NETWORK_BYTES: Final = 64 * 2**20
MAX_FILE_BYTES: Final = 16 * 2**20
MAX_SIDE_BYTES: Final = 256 * 1024
"""Of a signature or an urgent statement."""

MAX_BYTES: Final = 96 * 2**20
"""Of everything together."""

MAX_FILES_N: Final = 64

_PIECE_BYTES: Final = 2**20
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Room:
    """Counts what was taken, and says when it is too much."""

    def __init__(self, into: Path) -> None:
        self._into = into
        self._files_n = 0
        self._bytes_n = 0

    def admit(self, entry: Entry) -> None:
        """Make sure that *entry* may be taken at all.

        Raises:
            Untrusted: it is too large, or there is too much already.
        """
        self._files_n += 1
        self._bytes_n += entry.bytes_n
        limit = _limit(entry.name)
        if entry.bytes_n > limit:
            raise Untrusted("archive", f"{entry.name} has {entry.bytes_n:,} bytes; at most {limit:,} are taken")
        if self._files_n > MAX_FILES_N:
            raise Untrusted("archive", f"more than {MAX_FILES_N} files; a delivery has a dozen")
        if self._bytes_n > MAX_BYTES:
            raise Untrusted("archive", f"more than {MAX_BYTES >> 20} MiB together; no delivery is so large")

    def copy(self, entry: Entry, source: IO[bytes]) -> None:
        """Copy exactly the bytes of *entry* from *source*.

        Raises:
            Untrusted: there are fewer.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._into / entry.name, flags, 0o600), "wb") as target:
            left = entry.bytes_n
            while left:
                piece = source.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise Untrusted("archive", f"{entry.name} ends after {entry.bytes_n - left:,} of {entry.bytes_n:,}")
                target.write(piece)
                left -= len(piece)


def open_delivery(source: Path, into: Path) -> None:
    """Copy the delivery at *source* into *into*, which is absent or empty.

    Raises:
        Untrusted: it is no delivery, too large, or cannot be read or written; what was copied so far stays in *into*.
    """
    try:
        lasting.make_folder(into, 0o700)
        if any(into.iterdir()):
            raise Untrusted("unreadable", f"{into} is not empty; a delivery is copied into a folder of its own")
        (into / BUNDLE).mkdir(0o700)
        (into / SIGNATURES).mkdir(0o700)
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            room = _Room(into)
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                _copy_folder(handle, "", room)
            else:
                _copy_tar(handle, room)
        finally:
            os.close(handle)
    except OSError as error:
        raise Untrusted("unreadable", _told(source, into, error)) from error


def _copy_tar(handle: int, room: _Room) -> None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise Untrusted("archive", "neither a plain file nor a folder")
    if found.st_size > MAX_BYTES + tarform.RECORD + tarform.BLOCK * 2 * MAX_FILES_N:
        raise Untrusted("archive", f"{found.st_size:,} bytes; no delivery is so large")
    with os.fdopen(handle, "rb", closefd=False) as file:

        def take(entry: Entry) -> None:
            room.admit(entry)
            room.copy(entry, file)

        for _ in tarform.entries(file, take):
            pass


def _copy_folder(handle: int, above: str, room: _Room) -> None:
    """Copy the plain files in an open folder; *above* is its name in the delivery."""
    for name in _names(handle):
        path = f"{above}{name}"
        if not above and name in {BUNDLE, SIGNATURES}:
            with _opened(name, path, handle, os.O_DIRECTORY) as inner:
                _copy_folder(inner, f"{name}/", room)
            continue
        if tarform.NAME.fullmatch(path) is None:
            raise Untrusted("archive", f"{path[:100]!a} is no file of a delivery; take it away, or use its tar file")
        with _opened(name, path, handle) as file:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise Untrusted("archive", f"{path} is no plain file")
            entry = Entry(path, found.st_size)
            room.admit(entry)
            with os.fdopen(file, "rb", closefd=False) as content:
                room.copy(entry, content)
                if content.read(1):
                    raise Untrusted("archive", f"{path} grew while it was copied")


def _names(handle: int) -> Iterator[str]:
    with os.scandir(handle) as found:
        for n, entry in enumerate(found):
            if n > MAX_FILES_N:
                raise Untrusted("archive", f"more than {MAX_FILES_N} files; a delivery has a dozen")
            yield entry.name


@contextmanager
def _opened(name: str, path: str, folder: int, how: int = 0) -> Iterator[int]:
    """Lend *name* of an open folder, which may be no link."""
    try:
        handle = os.open(name, _OPEN | how, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            what = "folder" if how else "file"
            raise Untrusted("archive", f"{path} is no plain {what}; links and the like are not taken") from error
        raise
    try:
        yield handle
    finally:
        os.close(handle)


def _limit(name: str) -> int:
    if not name.startswith(f"{BUNDLE}/"):
        return MAX_SIDE_BYTES
    return MAX_NETWORK_BYTES if name.endswith(".tflite") else MAX_FILE_BYTES


def _told(source: Path, into: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"no room for a copy in {into.parent}; a bundle takes some 30 MB"
    return f"{error.filename or source}: {error.strerror}"
