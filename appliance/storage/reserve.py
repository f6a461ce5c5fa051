"""Room that is kept for the moment when the disk is full: for the outcome of the act under way, and for a start.

A file of zeros lies in the home and is given up when a write finds no room; it is made again once there is plenty.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 2 * 2**20
"""Some seventy turns, or a start with everything that it writes."""

_NEEDED_BYTES: Final = 256 * 2**10
"""What a start writes at most: the log's index, the first pages of the log, the signed state."""

_PLENTY: Final = 8
"""Times the reserve must be free before room is taken from others for it."""

_NAME: Final = "reserve"


def keep(folder: Path) -> None:
    """Take the room, if there is plenty and it is not kept already; without it everything works but for that moment."""
    place = folder / _NAME
    try:
        if place.exists() or shutil.disk_usage(folder).free < _PLENTY * RESERVE_BYTES:
            return
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            # Allocated, not sparse: a hole would keep nothing.
            os.posix_fallocate(handle, 0, RESERVE_BYTES)
        finally:
            os.close(handle)
    except OSError:
        release(folder)


def release(folder: Path) -> bool:
    """Give the room up to whatever has to be written now.

    Returns:
        Whether there was some.
    """
    try:
        (folder / _NAME).unlink()
    except OSError:
        return False
    return True


def has_room(folder: Path) -> bool:
    """Return whether a start has room for what it writes; the reserve is given up for it."""
    return _can_write(folder) or (release(folder) and _can_write(folder))


def _can_write(folder: Path) -> bool:
    trial = folder / ".room"
    try:
        # Written, not asked for: quotas, limits and reserved blocks show only then.
        trial.write_bytes(bytes(_NEEDED_BYTES))
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    return True
