"""What a controller is owed: one row per remote command, kept until the answer has left and long after.

A second delivery of the same command finds its row and gets the same answer; nothing is done again, also after a
restart. A command that is no request of the inbox lies in `errands` until it is done.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import MAX_SPREAD_S
from appliance.contracts.record import JsonObject
from appliance.storage.database import Database

BULK: Final = "data"
"""Name in a result of what is large and can be had again."""


class Owed(NamedTuple):
    """An answer that a controller waits for, or had."""

    request_id: str
    topic: str
    correlation: str
    digest: str
    """Of the command as it was signed: the same correlation with other words is not the same command."""

    response: JsonObject
    final: bool
    not_before: datetime | None = None
    """When it may leave; only answers to a command for a whole site wait."""


class Errand(NamedTuple):
    """A command that is done beside the turns, and is owed."""

    request_id: str
    expires_at: datetime | None
    command: JsonObject


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


def update(
    db: Database, request_id: str, response: JsonObject, *, final: bool, not_before: datetime | None = None
) -> None:
    """Put a newer answer in place of the one before; it is to be sent."""
    db.execute(
        "update replies set response = ?, final = ?, sent = 0, not_before = ? where request_id = ?",
        (
            canonical(response).decode(),
            int(final),
            None if not_before is None else not_before.isoformat(),
            request_id,
        ),
    )


def owe_errand(db: Database, request_id: str, command: JsonObject, expires_at: datetime | None) -> None:
    """Keep *command* until it is done; part of the transaction that opens its answer."""
    db.execute(
        "insert into errands (request_id, expires_at, command) values (?, ?, ?)",
        (request_id, None if expires_at is None else expires_at.isoformat(), canonical(command).decode()),
    )


def next_errand(db: Database) -> Errand | None:
    """Return the oldest errand; it stays the oldest until it is done."""
    row = db.row("select request_id, expires_at, command from errands order by seq limit 1")
    if row is None:
        return None
    until = None if row["expires_at"] is None else datetime.fromisoformat(row["expires_at"])
    return Errand(str(row["request_id"]), until, json.loads(row["command"]))


def errand_done(db: Database, request_id: str) -> None:
    """Forget an errand, in the transaction of its final answer."""
    db.execute("delete from errands where request_id = ?", (request_id,))


def again(db: Database, request_id: str) -> None:
    """Send the answer once more: the controller asked again."""
    db.execute("update replies set sent = 0 where request_id = ?", (request_id,))


def unsent(db: Database, now: datetime, *, limit: int) -> list[Owed]:
    """Return answers that are due and that no broker has taken yet, oldest first."""
    # What seems to wait for longer than any answer does was put off before the clock was set back.
    furthest = now + timedelta(seconds=MAX_SPREAD_S)
    rows = db.rows(
        "select * from replies where sent = 0 and (not_before is null or not_before <= ? or not_before > ?)"
        " order by replies.seq limit ?",
        (now.isoformat(), furthest.isoformat(), limit),
    )
    return [_owed(r) for r in rows]


def sent(db: Database, owed: Owed) -> None:
    """Note that the broker took *owed*; a newer answer in its place stays to be sent."""
    said = canonical(owed.response).decode()
    result = owed.response.get("result")
    kept = said
    if isinstance(result, dict) and BULK in result:
        # A part of a file is not kept twice; whoever wants it again asks for it again.
        slim = {name: value for name, value in result.items() if name != BULK}
        kept = canonical({**owed.response, "result": slim}).decode()
    db.execute(
        "update replies set sent = 1, response = ? where request_id = ? and response = ?",
        (kept, owed.request_id, said),
    )


def moved(db: Database, *, limit: int) -> list[Progress]:
    """Return commands whose request stands elsewhere than their answer says, oldest first; never a final one.

    One that waits, in the queue or for a person, and has said so is not among them: it keeps no other one back.
    Errands and updates answer for themselves.
    """
    # A row too many does no harm, whoever reads it compares again; one too few would never be answered.
    rows = db.rows(
        "select replies.*, inbox.status as inbox_status, inbox.outcome as outcome, inbox.parked as parked"
        " from replies left join inbox on inbox.request_id = replies.request_id"
        " where final = 0 and replies.request_id <> coalesce((select request_id from updates), '')"
        " and not exists (select 1 from errands where errands.request_id = replies.request_id)"
        " and case inbox.status when 'queued' then 0"
        " when 'taken' then json_extract(response, '$.code') is not 'accepted'"
        " when 'parked' then json_extract(response, '$.code') is not json_extract(parked, '$.outcome.status')"
        " or json_extract(response, '$.text') is not substr(coalesce(nullif(json_extract(parked, '$.outcome.reason'),"
        " ''), json_extract(parked, '$.outcome.question'), ''), 1, 2000)"
        " else 1 end order by replies.seq limit ?",
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


def newest(db: Database, *, limit: int) -> list[Owed]:
    """Return the newest answers, sent or not, oldest first."""
    rows = db.rows("select * from (select * from replies order by seq desc limit ?) order by seq", (limit,))
    return [_owed(r) for r in rows]


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
        None if r["not_before"] is None else datetime.fromisoformat(str(r["not_before"])),
    )
