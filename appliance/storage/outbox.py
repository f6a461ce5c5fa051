"""What leaves: two streams, kept until the controller itself has acknowledged them.

`evt` is a table of its own, and a row's existence is its status. `audit` is the ledger: its rows stay, and a high-water
mark says how far the controller has them. A broker's PUBACK changes nothing here.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.storage.database import Database

Stream = Literal["audit", "evt"]


class Outgoing(NamedTuple):
    """A row that the controller does not have yet."""

    seq: int
    envelope_id: str
    kind: str
    at: str
    body: JsonObject
    personal: JsonObject | None = None
    """Salts and values behind a record's commitments; `agent.sharing` decides whether they leave."""

    leaf: str = ""
    """A record's leaf in the tree, hexadecimal."""


class Mark(NamedTuple):
    """How far a stream has come."""

    sent: int
    acked: int
    newest: int


def enqueue(db: Database, *, envelope_id: str, kind: str, at: datetime, body: JsonObject) -> None:
    """Keep an event until it is acknowledged; the same id twice is one event."""
    db.execute(
        # Above what was acknowledged, because acknowledged rows are gone and a number is never used twice.
        "insert into outbox (seq, envelope_id, kind, at, body) values ((select 1 + max(acked,"
        " (select coalesce(max(seq), 0) from outbox)) from streams where stream = 'evt'), ?, ?, ?, ?)"
        " on conflict (envelope_id) do nothing",
        (envelope_id, kind, at.isoformat(), canonical(body).decode()),
    )


def waiting(db: Database, stream: Stream, *, after: int = 0, limit: int) -> list[Outgoing]:
    """Return what is not acknowledged and newer than *after*, oldest first."""
    after = max(after, mark(db, stream).acked)
    if stream == "evt":
        rows = db.rows("select * from outbox where seq > ? order by seq limit ?", (after, limit))
        return [Outgoing(r["seq"], r["envelope_id"], r["kind"], r["at"], json.loads(r["body"])) for r in rows]
    rows = db.rows(
        "select seq, kind, at, body, personal, leaf from audit where seq > ? order by seq limit ?", (after, limit)
    )
    # The body travels as the text that was hashed: the receiver grows the same tree from it.
    return [
        Outgoing(
            r["seq"],
            f"audit-{r['seq']}",
            r["kind"],
            r["at"],
            {"body": r["body"]},
            None if r["personal"] is None else json.loads(r["personal"]),
            bytes(r["leaf"]).hex(),
        )
        for r in rows
    ]


def mark(db: Database, stream: Stream) -> Mark:
    """Return how far *stream* was sent and acknowledged, and its newest number."""
    row = db.row("select sent, acked from streams where stream = ?", (stream,))
    assert row is not None  # both streams are made by the first migration
    if stream == "audit":
        newest = db.row("select coalesce(max(seq), 0) as n from audit")
    else:
        newest = db.row("select max(?, (select coalesce(max(seq), 0) from outbox)) as n", (row["acked"],))
    return Mark(row["sent"], row["acked"], 0 if newest is None else newest["n"])


def sent(db: Database, stream: Stream, upto: int) -> None:
    """Remember that everything up to *upto* has been handed to the broker at least once."""
    db.execute("update streams set sent = max(sent, ?) where stream = ?", (upto, stream))


def acknowledge(db: Database, stream: Stream, upto: int) -> int:
    """Accept the controller's high-water mark, never beyond what was sent.

    Returns:
        The mark now in force.
    """
    with db.atomic() as connection:
        connection.execute("update streams set acked = max(acked, min(?, sent)) where stream = ?", (upto, stream))
        acked = int(connection.execute("select acked from streams where stream = ?", (stream,)).fetchone()["acked"])
        if stream == "evt":
            connection.execute("delete from outbox where seq <= ?", (acked,))
        return acked


def oldest_at(db: Database) -> str | None:
    """Return when the oldest event that the controller does not have was written."""
    row = db.row("select at from outbox order by seq limit 1")
    return None if row is None else row["at"]
