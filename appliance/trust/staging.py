"""A folder on a stick to private copies of its files; only the copies are ever looked at.

Covers: links, FIFOs, devices, sockets and folders where a file is wanted, files that are too large, that grow or shrink
while they are read, more of them than are taken at once (the caller says which come first), names that are none of
ours, a folder that is exchanged while it is read (the one that was opened is read on).
Does not cover: what the files say; more than 16,384 names in one folder.
"""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from appliance import lasting
from appliance.errors import StorageError, UsageError

_PIECE_BYTES: Final = 2**20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_ENTRIES_N: Final = 16_384
_LOOKED_AT: Final = 8
"""Times as much is looked at, to choose what is taken."""


class Limits(NamedTuple):
    """How much is taken."""

    file_bytes: int
    files_n: int
    total_bytes: int


class Copy(NamedTuple):
    """A private copy."""

    name: str
    path: Path


class Unusable(NamedTuple):
    """A file that was not taken, or not to its end."""

    name: str
    why: str
    what: str
    """The same in one word, to be counted by."""


Rank = Callable[[Path], tuple[int, ...]]
"""A copy to its place among the others: the lowest is taken first."""


@contextmanager
def opened(root: Path, *below: str, make: bool = False) -> Iterator[int | None]:
    """Lend the folder *below* the folder *root* as a handle, None where there is none; nothing below may be a link.

    Args:
        make: make what is missing below *root*.

    Raises:
        UsageError: *root* is no folder, or something else stands in the place of one.
        StorageError: it cannot be read or made.
    """
    handles: list[int] = []
    try:
        try:
            handles.append(os.open(root, _FOLDER))
            for name in below:
                if make:
                    _make(name, handles[-1])
                handles.append(os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handles[-1]))
        except FileNotFoundError as error:
            if not handles:
                raise UsageError(f"{root}: there is no such folder") from error
            yield None
            return
        except OSError as error:
            where = "/".join((str(root), *below))
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise UsageError(f"{where}: a link or a file stands where a folder should be") from error
            raise StorageError(f"{where}: {error.strerror}") from error
        yield handles[-1]
    finally:
        for handle in handles:
            os.close(handle)


def stage(
    folder: int, into: Path, wanted: re.Pattern[str], limits: Limits, rank: Rank | None = None
) -> tuple[list[Copy], list[Unusable]]:
    """Copy files in the opened *folder* whose name is *wanted* into *into*, once each.

    Args:
        rank: which come first where there are more than are taken at once; by their names, if it is not said. It looks
            at a copy of its own: what is copied then may be something else already, and is looked at again.

    Raises:
        StorageError: there is no room for the copies.
    """
    copies: list[Copy] = []
    unusable: list[Unusable] = []
    room = limits.total_bytes
    names = _names(folder, wanted)
    if rank is not None:
        names = _ranked(folder, into, names, limits, rank)
    for n, name in enumerate(names):
        if len(copies) >= limits.files_n:
            left = len(names) - n
            why = f"one of {left} files that are left for the next time; {limits.files_n} are taken at once"
            unusable.append(Unusable(name, why, "left"))
            break
        try:
            room -= _copy(folder, name, into / name, limits.file_bytes, room)
        except _NotTaken as no:
            (into / name).unlink(missing_ok=True)
            unusable.append(Unusable(name, str(no), no.what))
        else:
            copies.append(Copy(name, into / name))
    return copies, unusable


def _ranked(folder: int, into: Path, names: list[str], limits: Limits, rank: Rank) -> list[str]:
    """Return *names* in the order of *rank*; those of which no copy can be made come first, and take no place."""
    room = _LOOKED_AT * limits.total_bytes
    places: dict[str, tuple[float, ...]] = {}
    for name in names:
        try:
            room -= _copy(folder, name, into / name, limits.file_bytes, room)
            places[name] = rank(into / name)
        except _NotTaken as no:
            places[name] = (math.inf,) if no.what == "left" else ()
        finally:
            (into / name).unlink(missing_ok=True)
    return sorted(names, key=lambda name: places[name])


def put(folder: int, name: str, data: bytes) -> None:
    """Write *data* as *name* into the opened *folder*, whole or not at all, in the place of what was there.

    Raises:
        StorageError: it cannot be written.
    """
    draft = f"{name}.part"
    try:
        _remove(folder, draft)
        with os.fdopen(os.open(draft, _CREATE, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError as error:
        _remove(folder, draft)
        raise StorageError(f"{name} cannot be written: {error.strerror}") from error


def clear(folder: int, wanted: re.Pattern[str], but: frozenset[str]) -> None:
    """Remove the files in the opened *folder* whose name is *wanted*, those in *but* excepted."""
    for name in _names(folder, wanted):
        if name not in but:
            _remove(folder, name)


def remove(folder: int, names: Iterable[str]) -> None:
    """Remove the files called *names* from the opened *folder*; one that is gone is well.

    Raises:
        StorageError: it cannot be removed.
    """
    for name in names:
        _remove(folder, name)


class _NotTaken(Exception):
    """A file is not taken; never leaves this module."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what


def _copy(folder: int, name: str, target: Path, limit: int, room: int) -> int:
    try:
        handle = os.open(name, _OPEN, dir_fd=folder)
    except OSError as error:
        why = "a link" if error.errno == errno.ELOOP else error.strerror or "it cannot be opened"
        raise _NotTaken("no_plain_file", f"{why}; only plain files are taken") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _NotTaken("no_plain_file", "no plain file")
        if found.st_size > limit:
            raise _NotTaken("too_large", f"{found.st_size:,} bytes; at most {limit:,} are taken")
        if found.st_size > room:
            raise _NotTaken("left", f"{found.st_size:,} bytes, and no room for them at once; left for the next time")
        with os.fdopen(handle, "rb", closefd=False) as source:
            _fill(target, source, found.st_size)
            if source.read(1):
                raise _NotTaken("changed", "it grew while it was copied")
    finally:
        os.close(handle)
    return found.st_size


def _fill(target: Path, source: IO[bytes], bytes_n: int) -> None:
    left = bytes_n
    try:
        with os.fdopen(os.open(target, _CREATE, 0o600), "wb") as copy:
            while left:
                piece = _read(source, min(left, _PIECE_BYTES))
                copy.write(piece)
                left -= len(piece)
    except OSError as error:
        raise StorageError(f"no room for a copy in {target.parent}: {error.strerror}") from error


def _read(source: IO[bytes], n: int) -> bytes:
    try:
        piece = source.read(n)
    except OSError as error:
        raise _NotTaken("unreadable", f"it cannot be read: {error.strerror}") from error
    if not piece:
        raise _NotTaken("changed", "it became shorter while it was copied")
    return piece


def _names(folder: int, wanted: re.Pattern[str]) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for n, entry in enumerate(entries):
            if n >= _MOST_ENTRIES_N:
                break
            if wanted.fullmatch(entry.name):
                found.append(entry.name)
    return sorted(found)


def _make(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return
    os.fsync(folder)


def _remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{name} cannot be removed: {error.strerror}") from error


@contextmanager
def private(home: Path, prefix: str) -> Iterator[Path]:
    """Lend a folder for copies, in *home*, for its owner alone; copies of an import that was cut short are removed.

    Raises:
        StorageError: there is no room.
    """
    try:
        lasting.make_folder(home, 0o750)
        for left in home.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    except OSError as error:
        raise StorageError(f"{home}: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
