"""What the device last vouched for, in a file beside the database: the state that no later signature may contradict.

The file holds two copies, each a line of fixed length, written by turns and in place: a torn one is ignored, the other
is the state before, and a full disk does not matter because the room is already there.

Covers: a power cut while it is written (what is not whole here was not signed), a database that was exchanged, cut or
brought back (it does not lead to this state).
Does not cover: somebody who may write the whole home and puts an old copy of this file back together with an old
database; checkpoints that left the device find that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from appliance.contracts.canonical import canonical, digest
from appliance.contracts.record import Record
from appliance.errors import StorageError

COPY_BYTES: Final = 1024


class Signed(Record):
    """How far the ledger was when the device last signed, and which start of the device that was."""

    epoch: str
    origin: str
    size: int = Field(ge=0)
    root: str = Field(pattern=r"^[0-9a-f]{64}$")
    boot: int = Field(ge=0)


class _Copy(Record):
    counter: int = Field(ge=0)
    signed: Signed
    sha256: str


def read(path: Path) -> Signed | None:
    """Return the newest whole copy in the file, None when there is none."""
    newest = max(_copies(path), key=lambda copy: copy.counter, default=None)
    return None if newest is None else newest.signed


def write(path: Path, signed: Signed) -> None:
    """Write *signed* over the older copy, durable on return.

    Raises:
        StorageError: the file cannot be written; the state before stands.
    """
    counter = max((copy.counter for copy in _copies(path)), default=-1) + 1
    body = {"counter": counter, "signed": signed.model_dump(mode="json")}
    line = canonical({**body, "sha256": digest(body)}).ljust(COPY_BYTES - 1) + b"\n"
    if len(line) != COPY_BYTES:
        raise StorageError(f"{path}: a state of {len(line)} bytes does not fit; is the device's name that long?")
    try:
        is_new = not path.exists()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if is_new:
                # Room for both copies at once, so that a disk which is full later still takes the second.
                os.pwrite(handle, b" " * (2 * COPY_BYTES), 0)
            os.pwrite(handle, line, counter % 2 * COPY_BYTES)
            os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _copies(path: Path) -> list[_Copy]:
    try:
        with path.open("rb") as file:
            raw = file.read(2 * COPY_BYTES)
    except OSError:
        return []
    found = []
    for start in (0, COPY_BYTES):
        try:
            copy = _Copy.model_validate_json(raw[start : start + COPY_BYTES])
        except ValidationError:
            continue
        if digest(copy.model_dump(mode="json", exclude={"sha256"})) == copy.sha256:
            found.append(copy)
    return found
