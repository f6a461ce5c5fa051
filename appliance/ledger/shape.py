"""Can the tables of a file be walked at all? Asked before anything is read from them that may be anybody's making.

Covers: a view in the place of a table (it may have no end, or say something else at each look), a primary key that was
taken away, numbers that are none, roots of levels that no ledger reaches, a number of records that cannot be.
Does not cover: whether the records are what was written; `verify` tells that.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.ledger.segments import Table
from appliance.storage.tree import WIDTH

ABSENT_MOST_N: Final = 50_000_000
"""Records that may be gone without a root in the file that speaks of them: more than a device writes in its life."""

_LEVELS_N: Final = 6
"""Of roots: enough for 256 to the sixth records."""

_KEYS: Final = {
    "audit": (b"seq",),
    "past": (b"epoch", b"seq"),
    "tree": (b"epoch", b"level", b"n"),
    "checkpoints": (b"epoch", b"size"),
    "meta": (b"key",),
    "holds": (b"hold_id",),
}
_ROWS: Final = {
    "tree": f"typeof(level) = 'integer' and typeof(n) = 'integer' and typeof(hash) = 'blob' and length(hash) = 32"
    f" and level between 1 and {_LEVELS_N} and n >= 0",
    "checkpoints": "typeof(size) = 'integer' and typeof(note) = 'text' and size >= 0",
}


def fault(connection: sqlite3.Connection) -> str | None:
    """Say which table is none, or has rows that none of its kind has; asks nothing that may take long."""
    for table, key in _KEYS.items():
        kind = connection.execute("select type from sqlite_master where name = ?", (table,)).fetchone()
        if kind is None:
            return f"the table {table} is missing"
        if kind[0] != b"table":
            return f"{table} is a {kind[0].decode(errors='replace')} and no table: it shows what somebody wants it to"
        columns = connection.execute(f"pragma table_xinfo({table})").fetchall()
        if tuple(c[1] for c in sorted(columns, key=lambda c: int(c[5])) if c[5]) != key:
            return f"the table {table} has not the primary key {', '.join(map(bytes.decode, key))}: rows may be double"
        if computed := next((c[1] for c in columns if c[6]), None):
            return f"the table {table} has a column {computed.decode(errors='replace')[:40]!r} that is computed"
    for table, condition in _ROWS.items():
        if connection.execute(f"select 1 from {table} where not ({condition}) limit 1").fetchone() is not None:  # noqa: S608 -- our own texts
            return f"the table {table} has a row that the device did not write: what it holds is of another kind"
    return None


def too_long(connection: sqlite3.Connection, table: Table, size: object, rows_n: int) -> str | None:
    """Say why there cannot be *size* records, of which *rows_n* are here."""
    kept_n = connection.execute("select count(*) from tree where epoch = ? and level = 1", (table.epoch,)).fetchone()[0]
    if not isinstance(size, int):
        return "the number of its newest record is none"
    if size > rows_n + kept_n * WIDTH + ABSENT_MOST_N:
        return f"there is a record {size:,}, and {rows_n:,} records are here: the others are missing"
    return None
