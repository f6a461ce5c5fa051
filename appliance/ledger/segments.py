"""The rows of a ledger to the hashes over them, a segment of 256 at a time, in as many processes as there are cores.

Each process looks at the file as it is by then, because several cannot share a snapshot. So what they find wrong may be
newer than the caller's: segments that were pruned meanwhile. `again` looks at one in the caller's own snapshot.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts import tree
from appliance.errors import StorageError
from appliance.ledger import checking
from appliance.ledger.checking import RawRow
from appliance.storage import database
from appliance.storage.tree import WIDTH

CHUNK_N: Final = 16
"""Segments handed to a process at once: 4,096 records, about a tenth of a second."""

PARALLEL_FROM_N: Final = 50_000
"""Records below which starting processes costs more than it saves."""

Runs = tuple[tuple[int, bytes], ...]


class Table(NamedTuple):
    """Where the records of one epoch lie."""

    path: Path
    epoch: str
    is_current: bool

    def select(self, columns: str, condition: str) -> str:
        """Return the query for *columns* of its records; the parameter `:epoch` is its epoch."""
        source = "audit where true" if self.is_current else "past where epoch = :epoch"
        return f"select {columns} from {source} and {condition}"  # noqa: S608 -- our own texts, never a caller's


class Hole(NamedTuple):
    """Records that are not there."""

    first: int
    last: int


class Segment(NamedTuple):
    """What a segment's rows give."""

    n: int
    rows_n: int
    runs: Runs
    """The complete runs of leaves from its beginning to the first hole, largest first."""

    partial: dict[int, Runs]
    """The same at each size that was asked for, as far as no hole is before it."""

    holes: tuple[Hole, ...]
    erased: tuple[int, ...] = ()
    """Records whose personal values are gone, some or all."""

    bad_seq: int | None = None
    """The first record that is wrong by itself; nothing after it was looked at."""

    reason: str = ""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file for reading, every text as its bytes."""
    connection = database.open_reader(path)
    connection.row_factory = None
    connection.text_factory = bytes
    return connection


def current_epoch(connection: sqlite3.Connection, path: Path) -> str:
    """Return the epoch that the database at *path* is in.

    Raises:
        StorageError: it is not the database of an appliance.
    """
    try:
        row = connection.execute("select value from meta where key = 'epoch'").fetchone()
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{path} is not the database of an appliance: {error}") from error
    if row is None:
        raise StorageError(f"{path} is not the database of an appliance: it names no epoch")
    if not isinstance(row[0], bytes):
        raise StorageError(f"{path} is not the database of an appliance: its epoch is no text")
    return str(row[0], "utf-8", "replace")


def summaries(
    table: Table, size: int, at_sizes: Sequence[int], *, parallel_from_n: int = PARALLEL_FROM_N
) -> Iterator[Segment]:
    """Check every record from 1 to *size* by itself and return the hashes, in order.

    Args:
        at_sizes: sizes at which somebody stated a root, rising.
    """
    chunks_n = -(-size // (CHUNK_N * WIDTH))
    if size < parallel_from_n:
        connection = connect(table.path)
        try:
            for n in range(chunks_n):
                yield from _chunk(connection, table, n, size, _within(at_sizes, n))
        finally:
            connection.close()
        return
    processes = max(2, os.cpu_count() or 1)
    # A fresh process for each worker: a fork would take over whatever threads and connections the caller has.
    context = multiprocessing.get_context("spawn")
    pending: deque[Future[list[Segment]]] = deque()
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            for n in range(chunks_n):
                pending.append(pool.submit(_in_process, table, n, size, _within(at_sizes, n)))
                if len(pending) > 2 * processes:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def again(connection: sqlite3.Connection, table: Table, n: int, size: int, at_sizes: Collection[int]) -> Segment:
    """Return segment *n* as *connection* sees it."""
    first, last = n * WIDTH + 1, min((n + 1) * WIDTH, size)
    rows = connection.execute(
        table.select(checking.COLUMNS, "seq between :first and :last order by seq"),
        {"epoch": table.epoch, "first": first, "last": last},
    )
    return _segment(n, map(RawRow._make, rows), last, at_sizes)


def _within(at_sizes: Sequence[int], chunk: int) -> frozenset[int]:
    first = chunk * CHUNK_N * WIDTH
    return frozenset(size for size in at_sizes if first < size <= first + CHUNK_N * WIDTH)


def _in_process(table: Table, chunk: int, size: int, at_sizes: frozenset[int]) -> list[Segment]:
    connection = connect(table.path)
    try:
        return list(_chunk(connection, table, chunk, size, at_sizes))
    finally:
        connection.close()


def _chunk(
    connection: sqlite3.Connection, table: Table, chunk: int, size: int, at_sizes: frozenset[int]
) -> Iterator[Segment]:
    for n in range(chunk * CHUNK_N, (chunk + 1) * CHUNK_N):
        if n * WIDTH >= size:
            return
        yield again(connection, table, n, size, at_sizes)


def _segment(n: int, rows: Iterator[RawRow], last: int, at_sizes: Collection[int]) -> Segment:
    leaves: list[bytes] = []
    holes: list[Hole] = []
    erased: list[int] = []
    expected, rows_n, bad_seq, reason = n * WIDTH + 1, 0, None, ""
    for row in rows:
        looked = checking.looked_at(row)
        if looked.fault is not None:
            bad_seq, reason = int(row.seq), looked.fault
            break
        if row.seq < expected:
            bad_seq, reason = row.seq, "it is there twice"
            break
        if row.seq != expected:
            holes.append(Hole(expected, row.seq - 1))
        if looked.is_erased:
            erased.append(row.seq)
        rows_n += 1
        expected = row.seq + 1
        if not holes:
            leaves.append(row.leaf)
    else:
        if expected <= last:
            holes.append(Hole(expected, last))
    sizes = [size for size in at_sizes if 0 < size - n * WIDTH <= len(leaves)]
    partial = {size: _runs(leaves[: size - n * WIDTH]) for size in sizes}
    return Segment(n, rows_n, _runs(leaves), partial, tuple(holes), tuple(erased), bad_seq, reason)


def _runs(leaves: Sequence[bytes]) -> Runs:
    return tuple(
        (height, tree.folded(leaves[k << height : (k + 1) << height])) for height, k in tree.peaks(len(leaves))
    )
