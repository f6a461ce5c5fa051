"""The rows of a damaged table that SQLite can still reach: a scan that jumps over what cannot be read.

A scan ends at the first page that cannot be read. The rows after it can be reached all the same, by asking for row
numbers further on: one, two, four, eight ... until an intact page answers; then backwards to the near side of the gap.

Covers: tables with row numbers.
Does not cover: rows between two bad pages, and pages that no intact path leads to; `carving` reads those.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

Row = tuple[object, ...]

_JUMPS_N: Final = 40
"""The last of them goes a million million rows further: beyond every number that we give."""

_LAST_ROW: Final = 2**62


class Gap(NamedTuple):
    """Row numbers between which something cannot be read; both ends included."""

    first: int
    last: int


def rows(connection: sqlite3.Connection, table: str, columns: str, gaps: list[Gap]) -> Iterator[Row]:
    """Yield every row of *table* that can be reached, in no order.

    Args:
        columns: what to read; the first of them is the row number.
        gaps: receives what stayed unreadable; nothing for a table that is whole.
    """
    key = columns.partition(",")[0]
    span = f"select {columns} from {table} not indexed where {key} >= ? and {key} <= ? order by {key}"  # noqa: S608 -- our own names
    first = -_LAST_ROW
    while True:
        upward = _Scan(first - 1)
        yield from upward.read(connection, span, first, _LAST_ROW)
        if upward.whole:
            return
        beyond = _next_readable(connection, span, upward.at + 1)
        last = _LAST_ROW if beyond is None else beyond - 1
        downward = _Scan(last + 1)
        yield from downward.read(connection, f"{span} desc", upward.at + 1, last)
        if not downward.whole:
            gaps.append(Gap(upward.at + 1, downward.at - 1))
        if beyond is None:
            return
        first = beyond


class _Scan:
    """One walk over row numbers, and how far it came."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.whole = False

    def read(self, connection: sqlite3.Connection, sql: str, first: int, last: int) -> Iterator[Row]:
        try:
            for row in connection.execute(sql, (first, last)):
                if not isinstance(row[0], int) or not first <= row[0] <= last:
                    return  # a page of another table lies in this one's place
                self.at = row[0]
                yield tuple(row)
        except sqlite3.DatabaseError:
            return
        self.whole = True


def _next_readable(connection: sqlite3.Connection, span: str, first: int) -> int | None:
    """Return the number of a row after an unreadable one, if any of the jumps lands on an intact page."""
    for n in range(_JUMPS_N):
        try:
            row = connection.execute(f"{span} limit 1", (first + 2**n, _LAST_ROW)).fetchone()
        except sqlite3.DatabaseError:
            continue
        if row is None:
            return None
        if isinstance(row[0], int) and row[0] >= first:
            return row[0]
    return None
