"""What enters: a request is durable before anyone is told that it was received."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Request, RequestId
from appliance.errors import StorageError
from appliance.storage.database import Database


class Parked(NamedTuple):
    """A request that waits for a person."""

    request: Request
    waits_for: JsonObject
    expires_at: datetime


def submit(db: Database, request: Request) -> bool:
    """Commit *request*; a second submission of the same id changes nothing.

    Returns:
        Whether it was new.
    """
    # What has its usual value is not written: a third of the row, which is written three times.
    slim = request.model_dump(mode="json", exclude_defaults=True)
    slim["body"]["kind"] = request.body.kind
    body = canonical(slim).decode()
    with db.atomic() as connection:
        cursor = connection.execute(
            "insert into inbox (request_id, received_at, status, body) values (?, ?, 'queued', ?)"
            " on conflict (request_id) do nothing",
            (request.request_id, request.received_at.isoformat(), body),
        )
        return cursor.rowcount == 1


OWED: Final = "law-"
"""How the ids of acts that laws owe begin; they go first, so that what a state does when it is entered is done before
anything that was asked for earlier is judged in it."""


class Queue:
    """The requests that nobody has begun, oldest first; acts of laws before all others.

    Remembers up to where none is left, so that the order needs no index: an index of the queue would be written twice
    in every turn.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._none_upto = 0

    def next(self, aside: str = "") -> Request | None:
        """Return the oldest request that nobody has begun; it stays the oldest until it is taken, parked or done.

        Args:
            aside: a request that waits for something else, and is passed over.
        """
        row = self._db.row(
            "select min(seq) over () as oldest, request_id, body from inbox where seq > ? and status = 'queued'"
            " order by request_id = ?, request_id glob ? desc, seq limit 1",
            (self._none_upto, aside, f"{OWED}*"),
        )
        if row is not None:
            self._none_upto = row["oldest"] - 1
            return None if row["request_id"] == aside else _request(row["body"])
        settled = self._db.row(
            "select max(seq) as n from inbox where seq > ?1"
            " and not exists (select 1 from inbox where seq > ?1 and status = 'queued')",
            (self._none_upto,),
        )
        if settled is not None and settled["n"] is not None:
            self._none_upto = settled["n"]
        return None


def next_queued(db: Database) -> Request | None:
    """Return the oldest request that nobody has begun; looks at every row that is kept."""
    return Queue(db).next()


def queued(db: Database) -> list[Request]:
    """Return every request that nobody has begun, oldest first."""
    return [_request(r["body"]) for r in db.rows("select body from inbox where status = 'queued' order by seq")]


def find(db: Database, request_id: RequestId) -> Request | None:
    """Return the request called *request_id*, whatever became of it."""
    row = db.row("select body from inbox where request_id = ?", (request_id,))
    return None if row is None else _request(row["body"])


def take(db: Database, request_id: RequestId) -> None:
    """Mark that the decision is made; recovery looks at what is left in this state."""
    db.execute("update inbox set status = 'taken', parked = null where request_id = ?", (request_id,))


def park(db: Database, request_id: RequestId, waits_for: JsonObject, expires_at: datetime) -> None:
    """Keep the request until a person answers or it expires."""
    db.execute(
        "update inbox set status = 'parked', parked = ?, expires_at = ? where request_id = ?",
        (json.dumps(waits_for), expires_at.isoformat(), request_id),
    )


def parked(db: Database, request_id: RequestId) -> Parked | None:
    """Return what *request_id* waits for, if it waits."""
    row = db.row("select body, parked, expires_at from inbox where request_id = ? and status = 'parked'", (request_id,))
    if row is None:
        return None
    return Parked(_request(row["body"]), json.loads(row["parked"]), datetime.fromisoformat(row["expires_at"]))


def waiting(db: Database) -> list[Parked]:
    """Return everything that waits for a person, oldest first."""
    rows = db.rows("select body, parked, expires_at from inbox where status = 'parked' order by seq")
    return [Parked(_request(r["body"]), json.loads(r["parked"]), datetime.fromisoformat(r["expires_at"])) for r in rows]


def done(db: Database, request_id: RequestId, outcome: JsonObject) -> None:
    """Close the request with what its asker is told."""
    db.execute(
        "update inbox set status = 'done', parked = null, outcome = ? where request_id = ?",
        (canonical(outcome).decode(), request_id),
    )


def outcome(db: Database, request_id: RequestId) -> JsonObject | None:
    """Return what the asker of *request_id* was told, if it is settled."""
    row = db.row("select outcome from inbox where request_id = ? and status = 'done'", (request_id,))
    return None if row is None else json.loads(row["outcome"])


def taken(db: Database) -> list[Request]:
    """Return the requests whose decision was made and whose outcome was not recorded."""
    return [_request(r["body"]) for r in db.rows("select body from inbox where status = 'taken' order by seq")]


def indeterminate(db: Database) -> list[JsonObject]:
    """Return the outcomes that a person still has to look into, oldest first."""
    rows = db.rows(
        "select outcome from inbox where status = 'done' and json_extract(outcome, '$.status') = 'indeterminate'"
        " order by seq"
    )
    return [json.loads(r["outcome"]) for r in rows]


def prune(db: Database, *, keep_n: int) -> int:
    """Forget settled requests beyond the newest *keep_n*; the audit keeps their story.

    Returns:
        How many were forgotten.
    """
    with db.atomic() as connection:
        return connection.execute(
            "delete from inbox where status = 'done' and seq <= (select max(seq) from inbox) - ?"
            " and json_extract(outcome, '$.status') <> 'indeterminate'",
            (keep_n,),
        ).rowcount


def _request(body: str) -> Request:
    try:
        return Request.model_validate_json(body)
    except ValidationError as error:
        raise StorageError(f"an inbox row cannot be read: {error}") from error
