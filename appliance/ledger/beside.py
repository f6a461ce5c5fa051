"""What does not break a ledger and wants to be asked about: words that are gone, holds that do not agree, how it began.

Covers: personal values that no `redacted` record names, holds that the table and the ledger tell differently, the
predecessor that the first record cites.
Does not cover: words erased in a ledger of which later records were pruned; what named them may have gone with these.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from appliance.errors import WireError
from appliance.ledger import checking
from appliance.ledger.absent import Absent
from appliance.ledger.segments import Table
from appliance.ledger.verdict import RUNS_MOST, Began
from appliance.storage.retention import LANDMARKS
from appliance.trust import notes

Run = tuple[int, int]


def joined(runs: list[Run], seqs: Iterable[int]) -> None:
    """Add rising numbers to *runs*, neighbours joined."""
    for seq in seqs:
        if runs and runs[-1][1] >= seq - 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], seq))
        else:
            runs.append((seq, seq))


def rows_between(holes: Iterable[Run], first: int, last: int) -> list[Run]:
    """Return the runs of records that are there.

    >>> rows_between([(3, 4)], 1, 6)
    [(1, 2), (5, 6)]
    """
    here = []
    for hole_first, hole_last in holes:
        if hole_first > first:
            here.append((first, hole_first - 1))
        first = hole_last + 1
    return [*here, (first, last)] if first <= last else here


def within(seq: int, runs: Iterable[Run]) -> bool:
    """Tell whether record *seq* lies in one of *runs*."""
    return any(first <= seq <= last for first, last in runs)


def unnamed(
    connection: sqlite3.Connection, table: Table, erased: Sequence[Run], gone: Absent, signed_size: int
) -> tuple[Run, ...]:
    """Return those of the *erased* records that no `redacted` record of the file names.

    Args:
        signed_size: a later `redacted` record of this epoch is anybody's; 0 where nothing is signed.
    """
    named = sorted(_named(connection, table, signed_size))
    last_gone = max((hole.first for hole in (*gone.pruned, *gone.lost)), default=0)
    left: list[Run] = []
    at = 0
    for first, last in erased:
        seq = max(first, last_gone + 1)
        while at < len(named) and named[at][1] < seq:
            at += 1
        look = at
        while seq <= last and len(left) < RUNS_MOST:
            if look < len(named) and named[look][0] <= last:
                if seq < named[look][0]:
                    left.append((seq, named[look][0] - 1))
                seq, look = max(seq, named[look][1] + 1), look + 1
            else:
                left.append((seq, last))
                break
    return tuple(left)


def disagreeing_holds(connection: sqlite3.Connection, gone: Absent) -> tuple[str, ...]:
    """Say of which holds the table tells something else than the records of the ledger."""
    written: dict[Any, tuple[Any, Any, bool]] = {}
    for _, facts in _landmarks(connection, "hold"):
        written[facts.get("hold_id")] = (facts.get("epoch"), facts.get("records"), bool(facts.get("held")))
    said = []
    sql = "select hold_id, epoch, first, last, released_at from holds order by hold_id"
    for hold_id, epoch, first, last, released_at in connection.execute(sql).fetchall():
        entry = written.pop(hold_id, None)
        if entry is None:
            if not gone.pruned:
                said.append(f"hold {hold_id} is in the table, and no record of the ledger says who placed it")
            continue
        its_epoch, records, is_held = entry
        if (str(its_epoch).encode(), records) != (epoch, [[first, last]]):
            said.append(f"hold {hold_id} is over other records in the table than its record in the ledger says")
        if is_held and released_at is not None:
            said.append(f"hold {hold_id} is released in the table, and no record of the ledger says so")
        if not is_held and released_at is None:
            said.append(f"hold {hold_id} was released by a record of the ledger, and stands in the table")
    said += [f"hold {hold_id} was placed by a record of the ledger, and is not in the table" for hold_id in written]
    return tuple(line[:300] for line in said[:RUNS_MOST])


def began(connection: sqlite3.Connection, table: Table) -> Began | None:
    """Read how the epoch began; what cannot be read is said to be nothing."""
    row = connection.execute(table.select("body", "seq = 1 and kind = 'epoch'"), {"epoch": table.epoch}).fetchone()
    if row is None:
        return None
    try:
        facts = checking.facts(row[0])
    except ValueError:
        return None
    before: Any = facts.get("predecessor") if isinstance(facts.get("predecessor"), dict) else {}
    epoch, origin, size = _text(before.get("epoch")), _text(before.get("origin")), before.get("size")
    try:
        cited = notes.parse_checkpoint(notes.parse(before["checkpoint"].encode()).text)
        origin, size = cited.origin, cited.size
    except (KeyError, AttributeError, ValueError, WireError):
        pass  # nothing was signed before; what the record says itself stands
    here = connection.execute("select 1 from past where epoch = ? limit 1", (epoch,)).fetchone()
    return Began(
        reason=_text(facts.get("reason")),
        predecessor_epoch=epoch,
        predecessor_origin=origin,
        predecessor_size=size if isinstance(size, int) and size >= 0 else 0,
        predecessor_here=here is not None,
    )


def stated_time(connection: sqlite3.Connection, table: Table, seq: int) -> str:
    """Return the time of record *seq* as it stands there."""
    row = connection.execute(table.select("at", "seq = :seq"), {"epoch": table.epoch, "seq": seq}).fetchone()
    return row[0].decode(errors="replace") if row is not None and isinstance(row[0], bytes) else ""


def _named(connection: sqlite3.Connection, table: Table, signed_size: int) -> Iterator[Run]:
    for (is_current, epoch, seq), facts in _landmarks(connection, "redacted"):
        is_own = is_current if table.is_current else epoch == table.epoch.encode()
        records: Any = facts.get("records")
        runs = records.get(table.epoch) if isinstance(records, dict) else None
        if (is_own and signed_size and seq > signed_size) or not isinstance(runs, list):
            continue
        for run in runs:
            if isinstance(run, list) and len(run) == 2 and all(isinstance(end, int) for end in run):
                yield run[0], run[1]


def _landmarks(connection: sqlite3.Connection, kind: str) -> Iterator[tuple[tuple[int, Any, Any], dict[str, Any]]]:
    """Return every record of *kind* of every epoch that can be read, those of the current one last."""
    sql = (
        f"select 0, epoch, seq, body from past where {LANDMARKS} and kind = :kind"  # noqa: S608 -- our own text
        f" union all select 1, null, seq, body from (select seq, body from audit where {LANDMARKS} and kind = :kind"
        " order by seq)"
    )
    for is_current, epoch, seq, body in connection.execute(sql, {"kind": kind}).fetchall():
        try:
            yield (is_current, epoch, seq), checking.facts(body)
        except ValueError:
            continue  # whoever checks the records says so


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
