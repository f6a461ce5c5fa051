"""A database to a copy of it, and a copy back to a database that may go on: in a new epoch.

A copy is older than what it replaces: numbers given out since, acts performed since and answers sent since are not in
it. So what could be done or sent a second time is left out (`past`), and the ledger begins anew and cites what went
before.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import StorageError
from appliance.storage import audit, checkpoints, database, past
from appliance.storage.past import Cited

_COPY_PAGES_N: Final = 2048
"""A megabyte at a time, so that the daemon's commits wait for milliseconds."""


class Copied(NamedTuple):
    """What a copy holds."""

    epoch: str
    seq: int
    head: str
    """Root of its ledger's tree, hexadecimal."""


def copy(source: Path, target: Path) -> Copied:
    """Copy the database at *source*, consistent also while a daemon writes to it.

    Raises:
        StorageError: there is none, it is damaged, or *target* cannot be written.
    """
    reader = database.open_reader(source)
    try:
        writer = sqlite3.connect(target)
        try:
            reader.backup(writer, pages=_COPY_PAGES_N)
            # A copy in a bag of files has no companions: no write-ahead log.
            writer.execute("pragma journal_mode = delete").fetchone()
        finally:
            writer.close()
    except sqlite3.Error as error:
        raise StorageError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        reader.close()
    return look(target)


def look(path: Path) -> Copied:
    """Read what the database at *path* is, after checking its pages.

    Raises:
        StorageError: it is damaged, or not one of ours.
    """
    reader = database.open_reader(path)
    try:
        verdict = reader.execute("pragma integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StorageError(f"{path.name} is damaged: {verdict}")
        seq, head = audit.head(reader)
        row = reader.execute("select value from meta where key = 'epoch'").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path.name} is not a database of this appliance: {error}") from error
    finally:
        reader.close()
    if row is None:
        raise StorageError(f"{path.name} is not a database of this appliance: it names no epoch")
    return Copied(str(row["value"]), seq, head)


def begin_epoch(path: Path, now: datetime) -> str:
    """Turn the copy at *path* into a database that a home may go on with: in a new epoch that cites the copy's last.

    Returns:
        The new epoch.

    Raises:
        StorageError: the copy cannot be opened.
    """
    before = look(path)
    opened = database.open_database(path)
    if opened.set_aside is not None:
        raise StorageError(f"{path} is damaged; use another backup")
    db = opened.db
    try:
        with db.reading() as connection:
            newest = checkpoints.latest(connection)
        predecessor: JsonObject = {
            "epoch": before.epoch,
            "size": before.seq,
            "root": before.head,
            "checkpoint": None if newest is None else newest.note,
        }
        return past.end_epoch(db, now, Cited("restored", predecessor))
    finally:
        db.close()
