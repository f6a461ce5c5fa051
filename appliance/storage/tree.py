"""The ledger's tree as rows: a root for every complete run of 256 records, and of 65,536, and so on.

A run of 256 is a segment: its records may be pruned, its root stays, and the rest still verifies. Between the runs the
leaves stand in the records themselves, so that growing costs one small row every 256 records.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.contracts import tree
from appliance.contracts.tree import Subtree

WIDTH_BITS: Final = 8
WIDTH: Final = 1 << WIDTH_BITS
"""Records in a segment, and segments in the run above it."""


def grow(connection: sqlite3.Connection, size: int) -> None:
    """Write the roots of the runs that record number *size* completes; part of the transaction that appends it."""
    level, n = 1, size
    while n % WIDTH == 0 and n:
        n //= WIDTH
        hashed = tree.folded(_hashes(connection, current(connection), level - 1, (n - 1) * WIDTH, WIDTH))
        connection.execute("insert into tree values (?, ?, ?, ?)", (current(connection), level, n - 1, hashed))
        level += 1


def subtrees(connection: sqlite3.Connection, epoch: str | None = None) -> Subtree:
    """Return the subtrees of *epoch*, the current one when absent; for `contracts.tree`.

    The returned function raises LookupError where a segment was pruned and the wanted subtree is smaller than it.
    """
    of = epoch or current(connection)

    def subtree(height: int, n: int) -> bytes:
        level, rest = divmod(height, WIDTH_BITS)
        if rest == 0 and level:
            return _hashes(connection, of, level, n, 1)[0]
        return tree.folded(_hashes(connection, of, level, n << rest, 1 << rest))

    return subtree


def root(connection: sqlite3.Connection, size: int, epoch: str | None = None) -> bytes:
    """Return the root over the first *size* records.

    Raises:
        LookupError: there are fewer, or a hash that is needed is missing.
    """
    return tree.root(size, subtrees(connection, epoch))


def current(connection: sqlite3.Connection) -> str:
    """Return the identity of this database's ledger; a new, restored or salvaged one has a new identity."""
    return str(connection.execute("select value from meta where key = 'epoch'").fetchone()[0])


def _hashes(connection: sqlite3.Connection, epoch: str, level: int, first: int, n: int) -> list[bytes]:
    if level:
        sql = "select hash from tree where epoch = ? and level = ? and n >= ? and n < ? order by n"
        rows = connection.execute(sql, (epoch, level, first, first + n)).fetchall()
    elif epoch == current(connection):
        sql = "select leaf from audit where seq > ? and seq <= ? order by seq"
        rows = connection.execute(sql, (first, first + n)).fetchall()
    else:
        sql = "select leaf from past where epoch = ? and seq > ? and seq <= ? order by seq"
        rows = connection.execute(sql, (epoch, first, first + n)).fetchall()
    if len(rows) != n:
        what = "records" if level == 0 else f"roots over {WIDTH**level:,} records"
        raise LookupError(f"{n - len(rows)} of {n} {what} from number {first * WIDTH**level + 1} are not here")
    return [row[0] for row in rows]
