"""A home belongs to one process at a time: its daemon, or whoever restores or resets it."""

from __future__ import annotations

import fcntl
import os
from typing import Self

from appliance import lasting
from appliance.contracts.home import Home
from appliance.errors import AlreadyRunning, StorageError


class Owned:
    """The home's lock, held until closed; the kernel lets go of it however the process ends."""

    def __init__(self, home: Home, handle: int) -> None:
        self._home = home
        self._handle = handle

    def still_there(self) -> bool:
        """Return whether the home's lock file is the one that we hold."""
        try:
            return os.fstat(self._handle).st_ino == self._home.lock.stat().st_ino
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._handle)


def own(home: Home) -> Owned:
    """Take *home* for this process.

    Raises:
        AlreadyRunning: another process has it; the message says which.
        StorageError: the folder cannot be made or written.
    """
    try:
        lasting.make_folder(home.root, 0o750)
        handle = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StorageError(f"{home.root} cannot be this device's home: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        other = os.pread(handle, 32, 0).decode(errors="replace").strip()
        os.close(handle)
        raise AlreadyRunning(
            f"a daemon (process {other or 'unknown'}) already owns {home.root}; `appliance quit` ends it"
        ) from error
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except OSError:
        pass  # a full disk: the number is a courtesy, the lock is what counts
    return Owned(home, handle)


def owner(home: Home) -> int | None:
    """Return the process that has *home*, None when nobody has."""
    try:
        with home.lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = home.lock.read_text(encoding="ascii", errors="replace").strip()
        return int(text) if text.isdigit() else None
    except OSError:
        return None
    return None
