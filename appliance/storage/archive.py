"""A database to a copy of it, and a copy back to a database that may go on: in a new epoch.

A copy is older than what it replaces: numbers given out since, acts performed since and answers sent since are not in
it. So what could be done or sent a second time is left out, and the ledger begins anew and cites what went before.
"""

from __future__ import annotations

import secrets
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from appliance.errors import StorageError
from appliance.storage import audit, database, meta, schedules
from appliance.storage.schedules import ScheduledKind

_COPY_PAGES_N: Final = 256
"""A megabyte at a time, so that the daemon's commits wait for milliseconds."""


class Copied(NamedTuple):
    """What a copy holds."""

    epoch: str
    seq: int
    head: str
    """Hash of the newest ledger record in it."""


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


def begin_epoch(path: Path, home: Path, now: datetime) -> str:
    """Turn the copy at *path* into a database that *home* may go on with; its first record will cite the copy's last.

    Kept: notes, schedules still to come, settled requests. Left out: requests that were under way, notices that were
    due before *now*, undo, everything that waited for a controller.

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
    epoch = secrets.token_hex(8)
    try:
        with db.atomic() as connection:
            connection.execute("delete from audit")
            connection.execute("delete from inbox where status <> 'done'")
            for row in schedules.waiting(db):
                if row.kind is not ScheduledKind.WEEKLY and row.due_at <= now:
                    schedules.remove(db, row.schedule_id)
            connection.execute("delete from undo")
            connection.execute("delete from outbox")
            connection.execute("delete from replies")
            connection.execute("update streams set sent = 0, acked = 0")
            meta.put(db, "epoch", epoch)
    finally:
        db.close()
    meta.remember_head(home, before.epoch, before.seq, before.head, 0)
    return epoch
