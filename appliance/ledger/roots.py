"""The roots that the file keeps, to be held against those that the records give."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from appliance.contracts import tree
from appliance.ledger.segments import Hole
from appliance.storage.tree import WIDTH


def in_order(connection: sqlite3.Connection, epoch: str) -> Iterator[bytes | None]:
    """Return the roots over 256 records in order, None where one is missing, to the last that is kept."""
    expected = 0
    for n, hashed in connection.execute("select n, hash from tree where epoch = ? and level = 1 order by n", (epoch,)):
        while expected < n:
            expected += 1
            yield None
        expected += 1
        yield hashed


def first_wrong(connection: sqlite3.Connection, epoch: str, over_segments: Sequence[bytes]) -> Hole | None:
    """Compare the roots over 65,536 records and more, which are kept to be quick, with those over 256.

    Returns:
        Over which records the first wrong one is kept.
    """
    sql = "select level, n, hash from tree where epoch = ? and level > 1 order by level, n"
    for level, n, hashed in connection.execute(sql, (epoch,)):
        width = int(WIDTH ** (level - 1))  # `shape.fault` has bounded the level
        under = over_segments[n * width : (n + 1) * width]
        if len(under) != width or tree.folded(under) != hashed:
            return Hole(n * width * WIDTH + 1, (n + 1) * width * WIDTH)
    return None
