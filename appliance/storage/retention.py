"""Old records to free pages, a sealed segment at a time, oldest first; the roots stay, so that the rest still verifies.

A segment is 256 records; it is sealed when a signed checkpoint covers all of it. Whole segments stay while something in
them is still needed: the epoch's first record, a change of the device's key, the configuration that the oldest records
were decided under, a hold in force, a request that waits for a person.

Covers: a power cut at any point (a segment and the record of its going are one transaction), a clock that is wrong (the
caller hands in a horizon, or none), records that a controller does not have (never pruned).
Does not cover: when it happens; `agent.retaining` decides.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.pruning import Pruned, Run, joined, over_roots
from appliance.contracts.tree import folded
from appliance.storage import audit, holds, outbox, tree
from appliance.storage.database import Database
from appliance.storage.holds import Hold
from appliance.storage.tree import WIDTH

LANDMARKS: Final = "kind in ('epoch', 'configured', 'pruned', 'redacted', 'hold', 'key_rotated', 'salvaged')"
"""Records that are looked for by kind; an index has only these, so that a decision does not pay for it."""

EVENTS_AT_ONCE_N: Final = 500
"""Reports in one transaction that drops some."""

Why = Literal["age", "quota"]
Stop = Literal["young", "unsealed", "unacknowledged", "held", "empty"]


class Limits(NamedTuple):
    """What may go."""

    quota_bytes: int
    horizon: datetime | None
    """Records that are older may go; None: nothing goes by age."""

    acked: int | None
    """Up to where a controller has the ledger; None on a device that has none."""

    with_past: bool
    """Whether earlier epochs may go: nobody will ever acknowledge those."""


class Gone(NamedTuple):
    """A segment that was pruned."""

    epoch: str
    n: int
    records_n: int
    why: Why


class Segment(NamedTuple):
    """A segment that may go now, and why."""

    epoch: str
    n: int
    why: Why


def step(db: Database, limits: Limits, *, moment: Moment, by: str = "device") -> Gone | Stop:
    """Prune the oldest segment that may go, in one transaction with the record that says so.

    Returns:
        What went, or what stands in the way of the next.

    Raises:
        StorageError: no room to write it down; nothing went.
    """
    with db.atomic() as connection:
        found = candidate(connection, limits)
        if not isinstance(found, Segment):
            return found
        return _remove(db, connection, found, moment, by)


def candidate(connection: sqlite3.Connection, limits: Limits) -> Segment | Stop:
    """Return the oldest segment that may go, or what stands in the way."""
    is_over = used_bytes(connection) > limits.quota_bytes
    if not is_over and limits.horizon is None:
        return "young"
    held = holds.active(connection)
    stop: Stop = "young"
    if limits.with_past:
        for epoch in _earlier(connection):
            found = _in_past(connection, epoch, held, is_over=is_over, horizon=limits.horizon)
            if isinstance(found, Segment):
                return found
            stop = found
    found = _in_current(connection, limits, held, is_over=is_over)
    return stop if found == "young" and stop == "held" else found


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the database that hold something; freed pages are used again and do not count."""
    pages = (
        connection.execute("pragma page_count").fetchone()[0]
        - connection.execute("pragma freelist_count").fetchone()[0]
    )
    return int(pages) * int(connection.execute("pragma page_size").fetchone()[0])


def gone(connection: sqlite3.Connection) -> Pruned | None:
    """Return what the newest `pruned` record says, None where nothing ever went."""
    row = connection.execute(
        f"select body from audit where {LANDMARKS} and kind = 'pruned' order by seq desc limit 1"  # noqa: S608 -- our own text
    ).fetchone()
    return None if row is None else Pruned.model_validate(json.loads(row["body"])["facts"], strict=False)


def sealed_n(connection: sqlite3.Connection, epoch: str) -> int:
    """Return how many segments of *epoch* are complete and under a signed checkpoint."""
    row = connection.execute("select max(size) as size from checkpoints where epoch = ?", (epoch,)).fetchone()
    return int(row["size"] or 0) // WIDTH


def drop_events(db: Database, *, moment: Moment) -> int:
    """Drop the oldest reports that no controller has taken, and write down which; the ledger has what they report.

    Returns:
        How many went; the newest stays, its number must not be given out twice.
    """
    return outbox.drop_oldest(db, limit=EVENTS_AT_ONCE_N, why="quota", moment=moment)


def written_by(connection: sqlite3.Connection, table: str, epoch: str, first: int, last: int) -> datetime | None:
    """Return a time by which records *first* to *last* had all been written, None where no clock says.

    A record whose clock was not trusted says nothing of its time; the first later one that was says `by then`.
    """
    where, values = ("1", ()) if table == "audit" else ("epoch = ?", (epoch,))
    trusted = "iif(json_valid(body), json_extract(body, '$.clock'), null) = 'trusted'"
    row = connection.execute(
        f"select max(at) as at from {table} where {where} and seq between ? and ? and {trusted}",  # noqa: S608 -- our own names
        (*values, first, last),
    ).fetchone()
    if row["at"] is None:
        row = connection.execute(
            f"select at from {table} where {where} and seq > ? and {trusted} order by seq limit 1",  # noqa: S608 -- our own names
            (*values, last),
        ).fetchone()
    return None if row is None or row["at"] is None else datetime.fromisoformat(row["at"])


def _in_current(connection: sqlite3.Connection, limits: Limits, held: list[Hold], *, is_over: bool) -> Segment | Stop:
    epoch = tree.current(connection)
    sealed = sealed_n(connection, epoch)
    kept: Stop = "young"
    after = 0
    while True:
        row = connection.execute("select min(seq) as seq from audit where seq > ?", (after,)).fetchone()
        if row["seq"] is None:
            return "empty"
        n = (row["seq"] - 1) // WIDTH
        first, after = n * WIDTH + 1, (n + 1) * WIDTH
        if n >= sealed:
            return kept if kept == "held" else "unsealed"
        if (hold := holds.over(held, epoch, first, after)) is not None:
            kept = "held"
            after = max(after, (hold.last - 1) // WIDTH * WIDTH)  # a long hold is one step, its last segment another
            continue
        if _is_needed(connection, held, first, after):
            continue
        if limits.acked is not None and after > limits.acked:
            return "unacknowledged"
        if is_over:
            return Segment(epoch, n, "quota")
        by = written_by(connection, "audit", epoch, first, after)
        if by is not None and limits.horizon is not None and by < limits.horizon:
            return Segment(epoch, n, "age")
        return kept


def _is_needed(connection: sqlite3.Connection, held: list[Hold], first: int, last: int) -> bool:
    """Tell whether something in the segment still explains what is outside it."""
    if first == 1:
        return True  # the epoch's first record: origin of every checkpoint
    following = connection.execute("select min(seq) as seq from audit where seq > ?", (last,)).fetchone()["seq"]
    landmarks = connection.execute(
        f"select seq, kind, body from audit where {LANDMARKS} and seq between ? and ?",  # noqa: S608 -- our own text
        (first, last),
    ).fetchall()
    for landmark in landmarks:
        if landmark["kind"] == "key_rotated":
            return True
        if landmark["kind"] == "hold" and json.loads(landmark["body"])["facts"]["hold_id"] in {h.hold_id for h in held}:
            return True
        if landmark["kind"] == "configured" and following is not None:
            newest = connection.execute(
                f"select max(seq) as seq from audit where {LANDMARKS} and kind = 'configured' and seq <= ?",  # noqa: S608 -- our own text
                (following,),
            ).fetchone()["seq"]
            if newest == landmark["seq"]:
                return True
    waits = connection.execute(
        "select 1 from audit where seq between ? and ? and request_id in (select request_id from inbox"
        " where status in ('taken', 'parked') or (status = 'done' and"
        " json_extract(outcome, '$.status') = 'indeterminate')) limit 1",
        (first, last),
    ).fetchone()
    return waits is not None


def _earlier(connection: sqlite3.Connection) -> list[str]:
    """Return the earlier epochs that have records here, in the order in which they ended."""
    epochs: list[str] = []
    while True:
        marks = ", ".join("?" * len(epochs))
        row = connection.execute(
            f"select epoch from past where epoch not in ({marks}) order by rowid limit 1",  # noqa: S608 -- question marks
            epochs,
        ).fetchone()
        if row is None:
            return epochs
        epochs.append(str(row["epoch"]))


def _in_past(
    connection: sqlite3.Connection, epoch: str, held: list[Hold], *, is_over: bool, horizon: datetime | None
) -> Segment | Stop:
    """Return what may go of an epoch that has ended: it needs no checkpoint any more, it will not grow."""
    after, kept = 0, False
    while True:
        row = connection.execute(
            "select min(seq) as seq from past where epoch = ? and seq > ?", (epoch, after)
        ).fetchone()
        if row["seq"] is None:
            return "held" if kept else "young"
        n = (row["seq"] - 1) // WIDTH
        first, after = n * WIDTH + 1, (n + 1) * WIDTH
        if holds.over(held, epoch, first, after) is not None:
            kept = True
            continue
        if is_over:
            return Segment(epoch, n, "quota")
        by = written_by(connection, "past", epoch, first, after)
        if by is not None and horizon is not None and by < horizon:
            return Segment(epoch, n, "age")
        return "held" if kept else "young"


def _remove(db: Database, connection: sqlite3.Connection, segment: Segment, moment: Moment, by: str) -> Gone:
    current = tree.current(connection)
    before = gone(connection)
    segments = before.segments if before is not None else ()
    earlier: dict[str, tuple[Run, ...]] = dict(before.earlier) if before is not None else {}
    first, last = segment.n * WIDTH + 1, (segment.n + 1) * WIDTH
    if segment.epoch == current:
        table, where, values = "audit", "1", ()
        segments = joined(segments, segment.n)
    else:
        table, where, values = "past", "epoch = ?", (segment.epoch,)  # type: ignore[assignment]
        earlier[segment.epoch] = joined(earlier.get(segment.epoch, ()), segment.n)
        _keep_root(connection, segment)
    selected = f"from {table} where {where} and seq between ? and ?"
    counted = connection.execute(
        f"select count(*) as n, count(personal) as words {selected}", (*values, first, last)
    ).fetchone()
    facts = Pruned(
        why=segment.why,
        by=by,
        records_n=counted["n"],
        segments=segments,
        roots=over_roots(_roots(connection, current, segments)),
        earlier=earlier,
    )
    # First the record, then the rows: the newest record's number is the ledger's size.
    audit.append(db, AuditRecord(kind="pruned", moment=moment, facts=facts.model_dump(mode="json")))
    if counted["words"] == 0:
        # Nothing personal is left in these rows: their pages need not be overwritten, which halves what is written.
        connection.execute("pragma secure_delete = fast").fetchone()
    try:
        connection.execute(f"delete {selected}", (*values, first, last))
    finally:
        connection.execute("pragma secure_delete = on").fetchone()
    # A checkpoint inside a pruned segment can be held against nothing any more; the newest of an epoch stays.
    connection.execute(
        "delete from checkpoints where epoch = ?1 and size >= ?2 and size < ?3"
        " and size < (select max(size) from checkpoints where epoch = ?1)",
        (segment.epoch, first, last),
    )
    return Gone(segment.epoch, segment.n, int(counted["n"]), segment.why)


def _keep_root(connection: sqlite3.Connection, segment: Segment) -> None:
    """Write the root of an earlier epoch's segment if it is whole and the root was lost (a salvaged file)."""
    rows = connection.execute(
        "select leaf from past where epoch = ? and seq between ? and ? order by seq",
        (segment.epoch, segment.n * WIDTH + 1, (segment.n + 1) * WIDTH),
    ).fetchall()
    if len(rows) == WIDTH:
        root = folded([bytes(row["leaf"]) for row in rows])
        connection.execute("insert or ignore into tree values (?, 1, ?, ?)", (segment.epoch, segment.n, root))


def _roots(connection: sqlite3.Connection, epoch: str, segments: tuple[Run, ...]) -> list[bytes]:
    roots: list[bytes] = []
    for first, last in segments:
        rows: list[Any] = connection.execute(
            "select hash from tree where epoch = ? and level = 1 and n between ? and ? order by n", (epoch, first, last)
        ).fetchall()
        roots += [bytes(row["hash"]) for row in rows]
    return roots
