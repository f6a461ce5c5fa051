"""The records that are rightly not there: pruned with their roots kept, or lost with a damaged file.

Covers: what a later epoch says of an earlier one counts only where that record was itself verified, so that nobody
excuses a hole with a line of his own.
Does not cover: whether a record of the same epoch that says so is signed; `verify` tells, once it has read it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.pruning import Pruned, over_roots
from appliance.ledger import checking
from appliance.ledger.segments import Hole, Table, current_epoch
from appliance.ledger.verdict import INSIDE_LOST, INSIDE_PRUNED
from appliance.storage.retention import LANDMARKS
from appliance.storage.tree import WIDTH

END: Final = 2**62
"""Past the last record of any ledger."""


class Absent(NamedTuple):
    """What is said of records that are not there."""

    pruned: tuple[Hole, ...] = ()
    lost: tuple[Hole, ...] = ()
    said_by: int = 0
    """The record of this ledger that says what was pruned, 0 where none does."""

    fault: str = ""
    """Why what it says cannot be true."""

    doubt: str = ""
    """What other epochs say that counts for nothing, and why it does not."""

    def explains(self, hole: Hole) -> bool:
        """Tell whether every record of *hole* is accounted for."""
        first = hole.first
        while first <= hole.last:
            over = [known.last for known in (*self.pruned, *self.lost) if known.first <= first <= known.last]
            if not over:
                return False
            first = max(over) + 1
        return True

    def is_pruned(self, n: int) -> bool:
        """Tell whether segment *n* is said to be gone."""
        return any(run.first <= n * WIDTH + 1 <= run.last for run in self.pruned)

    def cannot_hold(self, size: int) -> str:
        """Say why a checkpoint over *size* records can be held against nothing, and what can."""
        run = next((run for run in self.pruned if run.first <= size <= run.last), None)
        if run is None:
            return INSIDE_LOST.format(size=size)
        upto = -(-size // WIDTH) * WIDTH
        return INSIDE_PRUNED.format(size=size, first=upto - WIDTH + 1, last=upto, upto=upto)


def of(connection: sqlite3.Connection, table: Table, why_not: Callable[[Table, int], str | None]) -> Absent:
    """Read what the newest records about pruning and salvage say of the ledger in *table*.

    Args:
        why_not: says why a record of another epoch counts for nothing, None where it was verified. A record of this
            epoch is verified with the others.
    """
    said_by, pruned = 0, None
    for seq, body in _newest(connection, table, "pruned"):
        said_by, pruned = seq, _pruned(body)
        if pruned is None:
            return Absent(said_by=seq, fault=f"record {seq} does not say in its form what was pruned")
        roots = _roots(connection, table.epoch, pruned.segments)
        if roots is None or over_roots(roots) != pruned.roots:
            reason = f"the roots kept for pruned records are not those that record {seq} saw"
            return Absent(_holes(pruned.segments), said_by=seq, fault=reason)
    holes = _holes(pruned.segments) if pruned is not None else ()
    lost: tuple[Hole, ...] = ()
    doubts = []
    for other in _others(connection, table):
        for seq, went, gone in _said_of(connection, other, table.epoch):
            doubt = why_not(other, seq)
            if doubt is None:
                holes, lost = (*holes, *went), (*lost, *gone)
            else:
                doubts.append(f"record {seq} of epoch {other.epoch} says that some are gone, but {doubt}")
    return Absent(holes, lost, said_by, doubt="; ".join(doubts[:3]))


def _others(connection: sqlite3.Connection, table: Table) -> Iterator[Table]:
    """Return the epochs that may say something of an earlier one: only what came later can."""
    if table.is_current:
        return
    yield table._replace(epoch=current_epoch(connection, table.path), is_current=True)
    sql = "select distinct epoch from past where epoch <> ? and kind in ('pruned', 'salvaged') limit 100"
    for (epoch,) in connection.execute(sql, (table.epoch,)).fetchall():
        yield table._replace(epoch=str(epoch, "utf-8", "replace"))


def _said_of(
    connection: sqlite3.Connection, other: Table, epoch: str
) -> Iterator[tuple[int, tuple[Hole, ...], tuple[Hole, ...]]]:
    for seq, body in _newest(connection, other, "pruned"):
        later = _pruned(body)
        if later is not None and later.earlier.get(epoch):
            yield seq, _holes(later.earlier[epoch]), ()
    for seq, body in list(_all(connection, other, "salvaged")):
        if lost := _lost(body, epoch):
            yield seq, (), tuple(lost)


def _newest(connection: sqlite3.Connection, table: Table, kind: str) -> Iterator[tuple[int, bytes]]:
    return iter(list(_all(connection, table, kind))[-1:])


def _all(connection: sqlite3.Connection, table: Table, kind: str) -> Iterator[tuple[int, bytes]]:
    yield from connection.execute(
        table.select("seq, body", f"{LANDMARKS} and kind = :kind order by seq"), {"epoch": table.epoch, "kind": kind}
    )


def _pruned(body: bytes) -> Pruned | None:
    try:
        return Pruned.model_validate(checking.facts(body), strict=False)
    except (ValueError, KeyError, TypeError, ValidationError):
        return None


def _lost(body: bytes, epoch: str) -> list[Hole]:
    """Read which records of *epoch* a `salvaged` record says a damaged file no longer had; after the last, all."""
    try:
        facts: Any = checking.facts(body)
        kept = facts.get("records")
        if facts.get("epoch") != epoch or not isinstance(kept, dict):
            return []
        return [*(Hole(int(first), int(last)) for first, last in kept["missing"]), Hole(int(kept["last"]) + 1, END)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _roots(connection: sqlite3.Connection, epoch: str, runs: Iterable[tuple[int, int]]) -> list[bytes] | None:
    found: list[bytes] = []
    for first, last in runs:
        rows = connection.execute(
            "select hash from tree where epoch = ? and level = 1 and n between ? and ? order by n", (epoch, first, last)
        ).fetchall()
        if len(rows) != last - first + 1:
            return None
        found += [row[0] for row in rows]
    return found


def _holes(runs: Iterable[tuple[int, int]]) -> tuple[Hole, ...]:
    return tuple(Hole(first * WIDTH + 1, (last + 1) * WIDTH) for first, last in runs)
