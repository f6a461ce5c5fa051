"""How fast old records are pruned and words erased, and how that compares with a plain `delete` of the same rows.

    python tests/benchmarks/bench_prune.py [--rows 30000] [--runs 3] [--file FOLDER]

Baseline: on a copy of the same file the same segments are deleted with plain sqlite3, one durable transaction each,
with the same pages and the same `secure_delete`. Pruning also picks the segment, writes down that it went, and keeps
its root.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import ledgers

from appliance.contracts.audit import Moment
from appliance.storage import audit, database, redaction, retention, tree
from appliance.storage.database import Database
from appliance.storage.redaction import Reach
from appliance.storage.retention import Gone, Limits
from appliance.storage.tree import WIDTH

KEPT_N = 8
"""Segments at the end that are left in any case, so that there is something to prune beside."""


class Took(NamedTuple):
    """What one kind of step came to."""

    each_s: list[float]
    records_n: int
    written_bytes: int

    def __str__(self) -> str:
        median_ms, longest_ms = statistics.median(self.each_s) * 1000, max(self.each_s) * 1000
        return (
            f"{len(self.each_s):6} steps  median {median_ms:7.1f} ms  longest {longest_ms:7.1f} ms"
            f"  {self.rate:9,.0f} records/s  {self.written_bytes / self.records_n:6,.0f} bytes written a record"
        )

    @property
    def rate(self) -> float:
        """Records a second, over all steps."""
        return self.records_n / sum(self.each_s)


def moment(after_s: float) -> Moment:
    """Return a moment so long after the ledger began."""
    return Moment(at=ledgers.BEGAN + timedelta(seconds=after_s), monotonic_s=after_s, boot=1, clock="trusted")


def written_bytes() -> int:
    """Return what this process has given to the disk so far, 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def timed(step: Callable[[], int]) -> Took:
    """Take steps until one does nothing; each returns how many records it did something to."""
    each_s: list[float] = []
    records_n, before = 0, written_bytes()
    while True:
        began_s = time.perf_counter()
        done_n = step()
        if not done_n:
            return Took(each_s, records_n, written_bytes() - before)
        each_s.append(time.perf_counter() - began_s)
        records_n += done_n


def pruned(db: Database, segments_n: int, after_s: float) -> Took:
    """Prune so many segments as the device does; a quota of nothing wants all of them gone."""
    left = [None] * segments_n
    limits = Limits(quota_bytes=0, horizon=None, acked=None, with_past=False)

    def step() -> int:
        if not left:
            return 0
        left.pop()
        found = retention.step(db, limits, moment=moment(after_s))
        assert isinstance(found, Gone), found
        return found.records_n

    return timed(step)


def plainly_deleted(path: Path, segments_n: int) -> Took:
    """Delete the same records of the same segments with plain sqlite3."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = wal", "synchronous = full", "secure_delete = on"):
        connection.execute(f"pragma {pragma}").fetchall()
    connection.execute(f"pragma wal_autocheckpoint = {database.LOG_PAGES}").fetchall()
    wanted = iter(range(1, segments_n + 1))

    def step() -> int:
        n = next(wanted, None)
        if n is None:
            return 0
        return connection.execute("delete from audit where seq > ? and seq <= ?", (n * WIDTH, (n + 1) * WIDTH)).rowcount

    try:
        return timed(step)
    finally:
        connection.close()


def erased(db: Database, upto: datetime, after_s: float) -> Took:
    """Erase the words of everything written before *upto*, as age does."""
    reach = Reach()

    def step() -> int:
        nonlocal reach
        rows, ended = redaction.older(db, upto, reach)
        if ended == reach:
            return 0
        redaction.erase(
            db, rows, fields=(), by="device", why="age", reason="", moment=moment(after_s), reach=ended
        )  # fmt: skip
        reach = ended
        return len(rows)

    return timed(step)


def one_run(made: Path, folder: Path, rows_n: int) -> dict[str, Took]:
    """Measure everything once, each on a fresh copy of the ledger."""
    segments_n = rows_n // WIDTH - KEPT_N - 1  # the first one stays: it has the epoch's first record
    found: dict[str, Took] = {}
    for words in ("with words", "erased"):
        path = Path(shutil.copy(made, folder / "run.db"))
        db = database.open_database(path).db
        root = tree.root(db.connection, rows_n)
        if words == "erased":
            upto = ledgers.BEGAN + timedelta(seconds=(segments_n + 1) * WIDTH + 1)
            found["erase"] = erased(db, upto, rows_n + 1.0)
        assert db.cut_log()  # all of it is in the file now: a copy of that is the whole
        baseline = Path(shutil.copy(path, folder / "plain.db"))
        found[f"prune, {words}"] = pruned(db, segments_n, rows_n + 2.0)
        assert tree.root(db.connection, rows_n) == root  # what went has left its roots
        assert audit.size(db.connection) > rows_n
        db.close()
        found[f"delete, {words}"] = plainly_deleted(baseline, segments_n)
        for each in (path, baseline):
            each.unlink()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--file", type=Path, help="folder to make the ledger in")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.file or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / "made.db"
        ledgers.make(made, chosen.rows)
        print(f"{chosen.rows:,} records, {made.stat().st_size / 2**20:,.0f} MB; medians of {chosen.runs} runs")
        runs = [one_run(made, folder, chosen.rows) for _ in range(chosen.runs)]
        made.unlink()
    for name in runs[0]:
        print(f"{name:<19}", sorted((run[name] for run in runs), key=lambda took: took.rate)[len(runs) // 2])
    for words in ("with words", "erased"):
        ratio = statistics.median(
            statistics.median(run[f"prune, {words}"].each_s) / statistics.median(run[f"delete, {words}"].each_s)
            for run in runs
        )
        print(f"ratio, {words:<12} a pruned segment takes {ratio:.2f} times the plain delete")


if __name__ == "__main__":
    main()
