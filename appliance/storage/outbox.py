"""What leaves: two streams, kept until the controller itself has acknowledged them.

`evt` is a table of its own, and a row's existence is its status. `audit` is the ledger: its rows stay, and a high-water
mark says how far the controller has them. A broker's PUBACK changes nothing here.

Covers: more events than there is room for (the oldest go, and a record of the ledger says which); an acknowledgement of
another history with the same numbers, as after a copied card (nothing is freed). Does not cover: how many are too many;
`agent.rationing` decides.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Final, Literal, NamedTuple

from appliance.contracts import receipts
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.storage import audit
from appliance.storage.database import Database

Stream = Literal["audit", "evt"]

Scarce = Literal["rows", "bytes", "age", "quota"]
"""Why events are dropped: one of the stream's own limits, or the ledger needs the room."""

_WEIGHED: Final[dict[Stream, str]] = {
    "audit": "select seq, length(cast(body as blob)) + coalesce(length(cast(personal as blob)), 0) as n from audit",
    "evt": "select seq, length(cast(body as blob)) as n from outbox",
}


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


class Weight(NamedTuple):
    """Neighbouring rows of a stream, together."""

    upto: int
    rows_n: int
    bytes_n: int
    newest_at: str


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


def weigh(db: Database, stream: Stream, *, after: int, limit: int) -> Weight | None:
    """Return what the next *limit* rows after *after* weigh; None when there are none."""
    row = db.row(
        f"select max(seq) as upto, count(*) as n, sum(n) as bytes from ({_WEIGHED[stream]} where seq > ?"  # noqa: S608 -- our own words
        " order by seq limit ?)",
        (after, limit),
    )
    if row is None or not row["n"]:
        return None
    table = "audit" if stream == "audit" else "outbox"
    newest = db.row(f"select at from {table} where seq = ?", (row["upto"],))  # noqa: S608 -- our own names
    return Weight(row["upto"], row["n"], row["bytes"], "" if newest is None else newest["at"])


def drop_oldest(db: Database, *, limit: int, upto: int | None = None, why: Scarce, moment: Moment) -> int:
    """Drop the oldest events that no controller has taken, and write into the ledger which; it has what they report.

    Args:
        limit: at most so many at once.
        upto: none that is newer than this one; None: no such bound.

    Returns:
        How many went; the newest stays, its number must not be given out twice.
    """
    with db.atomic() as connection:
        row = connection.execute(
            "select min(seq) as first, max(seq) as last, count(*) as n from (select seq from outbox"
            " where seq < (select max(seq) from outbox) and seq <= coalesce(?, seq) order by seq limit ?)",
            (upto, limit),
        ).fetchone()
        if not row["n"]:
            return 0
        sent = connection.execute("select sent from streams where stream = 'evt'").fetchone()["sent"]
        connection.execute("delete from outbox where seq <= ?", (row["last"],))
        facts: JsonObject = {
            "stream": "evt",
            "first": row["first"],
            "last": row["last"],
            "events_n": row["n"],
            "why": why,
            # Of these a controller may have had some, whose acknowledgement never came back.
            "handed_over": min(sent, row["last"]) if sent >= row["first"] else 0,
        }
        audit.append(db, AuditRecord(kind="gap", moment=moment, facts=facts))
    return int(row["n"])


def waiting(db: Database, stream: Stream, *, after: int = 0, limit: int, bytes_n: int = 2**24) -> list[Outgoing]:
    """Return what is not acknowledged and newer than *after*, oldest first; about *bytes_n*, one at least."""
    after = max(after, mark(db, stream).acked)
    upto, taken = after, 0
    for row in db.rows(f"{_WEIGHED[stream]} where seq > ? order by seq limit ?", (after, limit)):
        if taken and taken + row["n"] > bytes_n:
            break
        upto, taken = row["seq"], taken + row["n"]
    if stream == "evt":
        rows = db.rows("select * from outbox where seq > ? and seq <= ? order by seq", (after, upto))
        return [Outgoing(r["seq"], r["envelope_id"], r["kind"], r["at"], json.loads(r["body"])) for r in rows]
    rows = db.rows(
        "select seq, kind, at, body, personal, leaf from audit where seq > ? and seq <= ? order by seq", (after, upto)
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


def acknowledge(db: Database, stream: Stream, upto: int, of: str = "") -> int | None:
    """Accept the controller's high-water mark, never beyond what was sent.

    Args:
        upto: everything up to this number is with the controller.
        of: the name of that record there (`contracts.receipts`); empty: by its number alone.

    Returns:
        The mark now in force; None: the controller means another history than this one, and nothing was freed.
    """
    with db.atomic() as connection:
        if of and not _is_ours(connection, stream, upto, of):
            return None
        connection.execute("update streams set acked = max(acked, min(?, sent)) where stream = ?", (upto, stream))
        acked = int(connection.execute("select acked from streams where stream = ?", (stream,)).fetchone()["acked"])
        if stream == "evt":
            connection.execute("delete from outbox where seq <= ?", (acked,))
        return acked


def _is_ours(connection: sqlite3.Connection, stream: Stream, upto: int, of: str) -> bool:
    mark = connection.execute("select sent, acked from streams where stream = ?", (stream,)).fetchone()
    if upto <= mark["acked"]:
        return True  # known already: it changes nothing
    if upto > mark["sent"]:
        return False
    if stream == "audit":
        row = connection.execute("select leaf from audit where seq = ?", (upto,)).fetchone()
        return row is not None and receipts.of_record(bytes(row["leaf"])) == of
    row = connection.execute("select envelope_id, kind, at from outbox where seq = ?", (upto,)).fetchone()
    if row is None:
        return True  # it was dropped, and everything before it: there is nothing to free
    # Which of the two names left the device depends on what was shared then.
    at = datetime.fromisoformat(row["at"])
    return of in {receipts.of_event(upto, name, row["kind"], at) for name in (row["envelope_id"], f"evt-{upto}")}


def oldest_at(db: Database) -> str | None:
    """Return when the oldest event that the controller does not have was written."""
    row = db.row("select at from outbox order by seq limit 1")
    return None if row is None else row["at"]
