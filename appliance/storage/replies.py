"""What a controller is owed: one row per remote command, kept until the answer has left and long after.

A second delivery of the same command finds its row and gets the same answer; nothing is done again, also after a
restart.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.storage.database import Database


class Owed(NamedTuple):
    """An answer that a controller waits for, or had."""

    request_id: str
    topic: str
    correlation: str
    digest: str
    """Of the command as it was signed: the same correlation with other words is not the same command."""

    response: JsonObject
    final: bool


class Progress(NamedTuple):
    """How far a command's request has come in the inbox."""

    owed: Owed
    inbox_status: str | None
    """None when the row is no longer there."""

    outcome: JsonObject | None
    waits_for: JsonObject | None


def find(db: Database, request_id: str) -> Owed | None:
    """Return what is owed for *request_id*, whether it was sent or not."""
    row = db.row("select * from replies where request_id = ?", (request_id,))
    return None if row is None else _owed(row)


def open_for(
    db: Database,
    request_id: str,
    *,
    topic: str,
    correlation: str,
    digest: str,
    not_before: datetime | None,
    response: JsonObject,
    final: bool = False,
) -> None:
    """Begin to owe an answer; part of the transaction that keeps the request.

    Args:
        not_before: for answers that are spread; None for one that may leave at once, whatever the wall clock does.
    """
    db.execute(
        "insert into replies (request_id, topic, correlation, digest, not_before, response, sent, final)"
        " values (?, ?, ?, ?, ?, ?, 0, ?)",
        (
            request_id,
            topic,
            correlation,
            digest,
            None if not_before is None else not_before.isoformat(),
            canonical(response).decode(),
            int(final),
        ),
    )


def update(db: Database, request_id: str, response: JsonObject, *, final: bool) -> None:
    """Put a newer answer in place of the one before; it is to be sent."""
    db.execute(
        "update replies set response = ?, final = ?, sent = 0 where request_id = ?",
        (canonical(response).decode(), int(final), request_id),
    )


def again(db: Database, request_id: str) -> None:
    """Send the answer once more: the controller asked again."""
    db.execute("update replies set sent = 0 where request_id = ?", (request_id,))


def unsent(db: Database, now: datetime, *, limit: int) -> list[Owed]:
    """Return answers that are due and that no broker has taken yet, oldest first."""
    rows = db.rows(
        "select * from replies where sent = 0 and (not_before is null or not_before <= ?) order by replies.seq limit ?",
        (now.isoformat(), limit),
    )
    return [_owed(r) for r in rows]


def sent(db: Database, owed: Owed) -> None:
    """Note that the broker took *owed*; a newer answer in its place stays to be sent."""
    db.execute(
        "update replies set sent = 1 where request_id = ? and response = ?",
        (owed.request_id, canonical(owed.response).decode()),
    )


def open_ones(db: Database, *, limit: int) -> list[Progress]:
    """Return commands without a final answer, with where their request stands; an update answers for itself."""
    rows = db.rows(
        "select replies.*, inbox.status as inbox_status, inbox.outcome as outcome, inbox.parked as parked"
        " from replies left join inbox on inbox.request_id = replies.request_id"
        " where final = 0 and replies.request_id <> coalesce((select request_id from updates), '')"
        " order by replies.seq limit ?",
        (limit,),
    )
    return [
        Progress(
            _owed(r),
            r["inbox_status"],
            None if r["outcome"] is None else json.loads(r["outcome"]),
            None if r["parked"] is None else json.loads(r["parked"]),
        )
        for r in rows
    ]


def prune(db: Database, *, keep_n: int) -> int:
    """Forget final, sent answers beyond the newest *keep_n*; the counters still refuse a replay.

    Returns:
        How many were forgotten.
    """
    with db.atomic() as connection:
        return connection.execute(
            "delete from replies where final = 1 and sent = 1 and request_id not in"
            " (select request_id from replies order by seq desc limit ?)",
            (keep_n,),
        ).rowcount


def _owed(row: object) -> Owed:
    r: dict[str, object] = dict(row)  # type: ignore[call-overload]
    return Owed(
        str(r["request_id"]),
        str(r["topic"]),
        str(r["correlation"]),
        str(r["digest"]),
        json.loads(str(r["response"])),
        bool(r["final"]),
    )
