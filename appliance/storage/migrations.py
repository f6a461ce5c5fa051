"""The schema, as a list of steps; docs/reference/schema.md is printed from the result."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from appliance.errors import StorageError

Step = Callable[[sqlite3.Connection], None]


def m001_path(db: sqlite3.Connection) -> None:
    """Inbox, audit, outbox: what enters, what was decided, what leaves."""
    db.execute("create table meta (key text primary key, value text not null) without rowid")
    db.execute(
        "create table inbox ("
        " request_id text primary key,"
        " seq integer not null unique,"  # order of arrival
        " received_at text not null,"
        " status text not null check (status in ('queued', 'taken', 'parked', 'done')),"
        " body text not null,"  # the Request, canonical JSON; words are here only until the row is pruned
        " parked text,"  # what a parked request waits for
        " expires_at text,"
        " outcome text"  # what the asker was told: the same answer for the same id
        ") without rowid"
    )
    db.execute("create index inbox_status on inbox (status, seq)")
    db.execute(
        "create index inbox_indeterminate on inbox (seq)"
        " where status = 'done' and json_extract(outcome, '$.status') = 'indeterminate'"
    )
    db.execute(
        "create table audit ("
        " seq integer primary key,"
        " kind text not null,"
        " request_id text,"
        " at text not null,"
        " body text not null,"  # canonical JSON: exactly the bytes that are hashed
        " personal text,"  # salts and values behind the body's commitments; may be erased
        " hash text not null"
        ")"
    )
    db.execute("create index audit_request on audit (request_id)")
    db.execute(
        "create table outbox ("
        " seq integer primary key autoincrement,"  # never reused, also after the newest row was acknowledged
        " envelope_id text not null unique,"
        " kind text not null,"
        " at text not null,"
        " body text not null"
        ")"
    )
    db.execute(
        "create table streams (stream text primary key, sent integer not null, acked integer not null) without rowid"
    )
    db.execute("insert into streams values ('audit', 0, 0), ('evt', 0, 0)")
    db.execute(
        "create table undo ("
        " seq integer primary key autoincrement,"
        " request_id text not null,"
        " body text not null"  # the ToolCall that takes the act back
        ")"
    )


def m002_replies(db: sqlite3.Connection) -> None:
    """Replies and issuers: what controllers are owed, and which of their counters were used."""
    db.execute(
        "create table replies ("
        " seq integer primary key autoincrement,"
        " request_id text not null unique,"  # of the inbox row; derived from issuer and correlation
        " topic text not null,"
        " correlation text not null,"
        " digest text not null,"  # of the signed command
        " not_before text,"  # answers to a group command are spread
        " response text not null,"  # the newest answer, canonical JSON
        " sent integer not null,"  # whether a broker took that answer
        " final integer not null"
        ")"
    )
    db.execute("create index replies_unsent on replies (seq) where sent = 0")
    db.execute("create index replies_open on replies (seq) where final = 0")
    db.execute(
        "create table issuers ("
        " key_id text primary key,"
        " highest integer not null,"
        " used text not null"  # bit n, hexadecimal: the counter `highest - n` was used; 1,024 of them
        ") without rowid"
    )


def m003_schedules(db: sqlite3.Connection) -> None:
    """Schedules: what fires later; a row is there while it still has to."""
    db.execute(
        "create table schedules ("
        " schedule_id integer primary key autoincrement,"  # never reused: the id of the request it becomes holds it
        " kind text not null check (kind in ('countdown', 'reminder', 'weekly')),"
        " label text not null,"
        " call text not null,"  # the ToolCall, canonical JSON
        " due_at text not null,"  # UTC, one width: ordered as text
        " weekly text,"
        " duration_s real,"
        " due_monotonic_s real,"
        " boot integer"
        ")"
    )
    db.execute("create index schedules_due on schedules (due_at)")


def m004_notes(db: sqlite3.Connection) -> None:
    """Notes that people left."""
    db.execute(
        "create table notes (note_id integer primary key autoincrement, written_at text not null, text text not null)"
    )


STEPS: Final[tuple[Step, ...]] = (m001_path, m002_replies, m003_schedules, m004_notes)


def apply(db: sqlite3.Connection, *, epoch: str) -> None:
    """Bring *db* to the newest schema, each step in its own transaction.

    Raises:
        StorageError: the file was written by newer software.
    """
    version = db.execute("pragma user_version").fetchone()[0]
    if version > len(STEPS):
        raise StorageError(
            f"the database has schema {version}, this software knows {len(STEPS)}; install the newer one"
        )
    for number, step in enumerate(STEPS[version:], start=version + 1):
        db.execute("begin immediate")
        try:
            step(db)
            if number == 1:
                db.execute("insert into meta values ('epoch', ?)", (epoch,))
            db.execute(f"pragma user_version = {number}")
        except BaseException:
            db.rollback()
            raise
        db.commit()
