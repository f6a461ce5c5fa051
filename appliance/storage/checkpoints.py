"""The checkpoints that the device has signed: the newest, and one for each run of 256 records before it."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import NamedTuple

from appliance.storage import tree
from appliance.storage.database import Database


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it was given out."""

    epoch: str
    size: int
    at: str
    note: str
    """The signed note, whole."""


def add(db: Database, size: int, at: datetime, note: str) -> None:
    """Keep a checkpoint of the current epoch; older ones of the same run of 256 records give way to it.

    So there is never more than one for 256 records, and a fault can still be narrowed down to one such run.
    """
    run_begins = (size - 1) // tree.WIDTH * tree.WIDTH
    with db.atomic() as connection:
        epoch = tree.current(connection)
        connection.execute(
            "delete from checkpoints where epoch = ? and size > ? and size <= ?", (epoch, run_begins, size)
        )
        connection.execute("insert into checkpoints values (?, ?, ?, ?)", (epoch, size, at.isoformat(), note))


def latest(connection: sqlite3.Connection, epoch: str | None = None) -> SignedCheckpoint | None:
    """Return the newest checkpoint of *epoch*, the current one when absent."""
    row = connection.execute(
        "select epoch, size, at, note from checkpoints where epoch = ? order by size desc limit 1",
        (epoch or tree.current(connection),),
    ).fetchone()
    return None if row is None else SignedCheckpoint(*row)


def history(connection: sqlite3.Connection, epoch: str | None = None) -> list[SignedCheckpoint]:
    """Return every checkpoint of *epoch* that is still kept, smallest first."""
    rows = connection.execute(
        "select epoch, size, at, note from checkpoints where epoch = ? order by size",
        (epoch or tree.current(connection),),
    )
    return [SignedCheckpoint(*row) for row in rows]
