"""Legal holds: runs of records that are neither pruned nor redacted until somebody lets them go.

Covers: the hold and its record in the ledger, in one transaction; holds of earlier epochs; overlapping holds (each
counts for itself).
Does not cover: who may place one; the socket's folder decides who reaches the daemon.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.selection import Selection
from appliance.storage import audit, database
from appliance.storage.database import Database

MOST_ACTIVE_N: Final = 1000
"""Pruning looks at every active hold; a person who needs more wants one over a longer run."""


class Hold(NamedTuple):
    """A hold as it was placed."""

    hold_id: int
    epoch: str
    first: int
    last: int
    reason: str
    by: str
    at: str
    released_at: str | None


def find(db: Database, wanted: Selection) -> tuple[str, int, int] | str:
    """Return the epoch and the first and last number of what *wanted* means now, or why it means nothing."""
    if (fault := wanted.fault()) is not None:
        return fault
    current = database.epoch(db)
    epoch = wanted.epoch or current
    table, where, values = _table(current, epoch)
    if wanted.request_id is not None:
        if _is_open(db, wanted.request_id):
            return f"{wanted.request_id} is still under way; hold it when it is settled"
        row = db.row(
            f"select min(seq) as first, max(seq) as last from {table} where {where} and request_id = ?",  # noqa: S608 -- our own names
            (*values, wanted.request_id),
        )
    elif wanted.after is not None or wanted.before is not None:
        above = wanted.after or 0
        below = wanted.before if wanted.before is not None else 2**62
        row = db.row(
            f"select min(seq) as first, max(seq) as last from {table} where {where} and seq > ? and seq < ?",  # noqa: S608 -- our own names
            (*values, above, below),
        )
    else:
        since = wanted.since.isoformat() if wanted.since is not None else None
        until = wanted.until.isoformat() if wanted.until is not None else None
        row = db.row(
            f"select min(seq) as first, max(seq) as last from {table} where {where}"  # noqa: S608 -- our own names
            " and (? is null or julianday(at) >= julianday(?)) and (? is null or julianday(at) <= julianday(?))",
            (*values, since, since, until, until),
        )
    if row is None or row["first"] is None:
        return "there is no such record; `appliance audit show` lists what is here"
    return epoch, int(row["first"]), int(row["last"])


def place(db: Database, epoch: str, first: int, last: int, *, reason: str, by: str, moment: Moment) -> int | str:
    """Hold records *first* to *last*, and write that down.

    Returns:
        The hold's number, or why there is none.
    """
    with db.atomic() as connection:
        if connection.execute("select count(*) from holds where released_at is null").fetchone()[0] >= MOST_ACTIVE_N:
            return f"there are {MOST_ACTIVE_N:,} holds; release some, or hold a longer run at once"
        hold_id = connection.execute(
            "insert into holds (epoch, first, last, reason, by, at) values (?, ?, ?, ?, ?, ?)",
            (epoch, first, last, reason, by, moment.at.isoformat()),
        ).lastrowid
        assert hold_id is not None  # a row was inserted
        _note(
            db, moment, reason, {"hold_id": hold_id, "held": True, "epoch": epoch, "records": [[first, last]], "by": by}
        )
    return hold_id


def release(db: Database, hold_id: int, *, reason: str, by: str, moment: Moment) -> Hold | None:
    """Let go of a hold, and write that down; the record of it stays.

    Returns:
        What was held, None where nothing was.
    """
    with db.atomic() as connection:
        found = next((h for h in active(connection) if h.hold_id == hold_id), None)
        if found is None:
            return None
        connection.execute("update holds set released_at = ? where hold_id = ?", (moment.at.isoformat(), hold_id))
        records = [[found.first, found.last]]
        _note(
            db, moment, reason, {"hold_id": hold_id, "held": False, "epoch": found.epoch, "records": records, "by": by}
        )
    return found


def active(connection: sqlite3.Connection) -> list[Hold]:
    """Return the holds in force, oldest first."""
    return [h for h in every(connection) if h.released_at is None]


def every(connection: sqlite3.Connection) -> list[Hold]:
    """Return all holds that ever were, oldest first."""
    columns = ", ".join(Hold._fields)
    return [Hold(*row) for row in connection.execute(f"select {columns} from holds order by hold_id")]  # noqa: S608 -- our own names


def over(held: list[Hold], epoch: str, first: int, last: int) -> Hold | None:
    """Return a hold of *held* that touches records *first* to *last*."""
    return next((h for h in held if h.epoch == epoch and h.first <= last and h.last >= first), None)


def _note(db: Database, moment: Moment, reason: str, facts: dict[str, object]) -> None:
    # The reason is a person's words: it stays on the device, and no age erases it while the ledger has the record.
    record = AuditRecord.model_validate(
        {"kind": "hold", "moment": moment, "facts": facts, "personal": {"reason": reason}}
    )
    audit.append(db, record)


def _table(current: str, epoch: str) -> tuple[str, str, tuple[str, ...]]:
    return ("audit", "1", ()) if epoch == current else ("past", "epoch = ?", (epoch,))


def _is_open(db: Database, request_id: str) -> bool:
    return db.row("select 1 from inbox where request_id = ? and status <> 'done'", (request_id,)) is not None
