"""A small state in a file of its own, twice: what must not be lost with the database, nor by half a write.

The file holds two copies of fixed length, each with a counter and a checksum, written by turns and in place: a torn one
is ignored, the other is the state before, and a full disk does not matter because the room is already there.

Covers: a power cut while it is written, one damaged copy, a full disk.
Does not cover: somebody who may write the home and puts an old file back.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from appliance import lasting
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.record import JsonObject
from appliance.errors import StorageError


def read(path: Path, copy_bytes: int) -> JsonObject | None:
    """Return the newest whole copy in *path*; None when there is none."""
    newest = max(_copies(path, copy_bytes), key=lambda copy: copy[0], default=None)
    return None if newest is None else newest[1]


def write(path: Path, state: JsonObject, copy_bytes: int) -> None:
    """Write *state* over the older copy, durable on return.

    Raises:
        StorageError: it does not fit, or the file cannot be written; the state before stands.
    """
    counter = max((found for found, _ in _copies(path, copy_bytes)), default=-1) + 1
    body: JsonObject = {"counter": counter, "state": state}
    line = canonical({**body, "sha256": digest(body)}).ljust(copy_bytes - 1) + b"\n"
    if len(line) != copy_bytes:
        raise StorageError(f"{path}: a state of {len(line)} bytes does not fit into {copy_bytes}")
    try:
        is_new = not path.exists()
        lasting.make_folder(path.parent, 0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if is_new:
                os.pwrite(handle, b" " * (2 * copy_bytes), 0)  # room for both, so that a full disk still takes them
            os.pwrite(handle, line, counter % 2 * copy_bytes)
            os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            lasting.keep_names(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _copies(path: Path, copy_bytes: int) -> list[tuple[int, JsonObject]]:
    try:
        with path.open("rb") as file:
            raw = file.read(2 * copy_bytes)
    except OSError:
        return []
    found = []
    for start in (0, copy_bytes):
        try:
            copy = json.loads(raw[start : start + copy_bytes])
            body = {"counter": copy["counter"], "state": copy["state"]}
            if digest(body) == copy["sha256"] and isinstance(body["counter"], int) and isinstance(body["state"], dict):
                found.append((body["counter"], body["state"]))
        except (ValueError, TypeError, LookupError, RecursionError):
            continue
    return found
