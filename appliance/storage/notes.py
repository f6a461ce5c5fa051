"""Notes that people left, by number."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from appliance.storage.database import Database

MAX_ROWS_N: Final = 1000


class Note(NamedTuple):
    """A note as it was left."""

    note_id: int
    written_at: datetime
    text: str


def add(db: Database, text: str, at: datetime) -> int | None:
    """Keep a note.

    Returns:
        Its number, or None when there are `MAX_ROWS_N` already.
    """
    with db.atomic() as connection:
        if connection.execute("select count(*) from notes").fetchone()[0] >= MAX_ROWS_N:
            return None
        return connection.execute(
            "insert into notes (written_at, text) values (?, ?)", (at.isoformat(), text)
        ).lastrowid


def find(db: Database, note_id: int) -> Note | None:
    """Return the note with this number."""
    row = db.row("select * from notes where note_id = ?", (note_id,))
    return None if row is None else Note(row["note_id"], datetime.fromisoformat(row["written_at"]), row["text"])


def newest(db: Database, *, limit: int) -> list[Note]:
    """Return the newest notes, newest first."""
    rows = db.rows("select * from notes order by note_id desc limit ?", (limit,))
    return [Note(row["note_id"], datetime.fromisoformat(row["written_at"]), row["text"]) for row in rows]


def remove(db: Database, note_id: int) -> bool:
    """Delete a note.

    Returns:
        Whether it was there.
    """
    return db.execute("delete from notes where note_id = ?", (note_id,)).rowcount == 1
