"""Durable decisions against plain sqlite3 doing the same fsyncs, bytes per decision, and what sharing an fsync brings.

    python tests/benchmarks/bench_durability.py [--turns 500] [--runs 3] [--submits 1000] [--folder FOLDER]

A decision is the real one: a tool call goes through inbox, grounding, policy, ledger, act, ledger, in the daemon's own
parts; only the socket is left out. Baseline, in turns with it in the same process: sqlite3 alone makes as many durable
transactions, which together insert as many bytes as the turn's rows hold. Bytes are what the kernel counts for this
process (`write_bytes` of /proc/self/io), so FOLDER must be on a real disk.
"""

from __future__ import annotations

import argparse
import secrets
import sqlite3
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from appliance import settings
from appliance.contracts.home import Home
from appliance.contracts.request import Call, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.daemon import Daemon
from appliance.storage import database, inbox
from appliance.storage.database import Database

COMMITS_N = 3
"""Of a turn: received, decided, settled."""


def written() -> int:
    """Return what the kernel has written for this process so far."""
    return int(psutil.Process().io_counters().write_bytes)


def request(n: int) -> Request:
    """Return a call as a local client makes it."""
    arguments = {"room": "kitchen", "level_pct": n % 100 + 1}
    return Request(
        request_id=RequestId(f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"),
        received_at=datetime.now(UTC),
        origin=Origin(kind=OriginKind.OPERATOR, peer="uid:0 pid:1"),
        body=Call(call=ToolCall(tool="set_light_level", literals=arguments)),
    )


class Turns:
    """The daemon's own parts, without its socket and its threads."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.daemon = Daemon(Home(root), settings.load(root))
        self.db = self.daemon.parts.db
        self.queue = inbox.Queue(self.db)
        self.daemon.parts.lifecycle.fire("ready")
        self.run(50)  # what every turn touches is there

    def run(self, n: int) -> tuple[float, float]:
        """Carry *n* calls to their outcome; return decisions a second, and bytes for each."""
        before, began_s = written(), time.perf_counter()
        for i in range(n):
            inbox.submit(self.db, request(i))
            taken = self.queue.next()
            assert taken is not None
            assert self.daemon.parts.turn.handle(taken).status == "done"
        return n / (time.perf_counter() - began_s), (written() - before) / n

    def row_bytes(self) -> int:
        """Return what the rows of one turn hold."""
        row = self.db.row(
            "select (select avg(length(body) + length(coalesce(personal, '')) + 32) * 2 from audit"
            " where kind in ('decided', 'settled')) +"
            " (select avg(length(body) + length(coalesce(outcome, ''))) from inbox) as n"
        )
        assert row is not None
        return int(row["n"])


class Plain:
    """sqlite3 with the same durability, and nothing else."""

    def __init__(self, path: Path, row_bytes: int, page_bytes: int) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute(f"pragma page_size = {page_bytes}")
        self.connection.execute("pragma journal_mode = wal").fetchone()
        self.connection.execute("pragma synchronous = full")
        self.connection.execute("create table plain (seq integer primary key, body text)")
        self.body = "x" * (row_bytes // COMMITS_N)

    def run(self, n: int) -> tuple[float, float]:
        """Make *n* times as many commits as a turn has; return how many such a second, and bytes for each."""
        before, began_s = written(), time.perf_counter()
        for _ in range(n * COMMITS_N):
            self.connection.execute("begin immediate")
            self.connection.execute("insert into plain (body) values (?)", (self.body,))
            self.connection.execute("commit")
        return n / (time.perf_counter() - began_s), (written() - before) / n


def submits_per_s(path: Path, threads_n: int, submits_n: int, group_n: int) -> tuple[float, float]:
    """Submit from *threads_n* threads at once; return submits a second, and fsyncs for each submit."""
    db = database.open_database(path).db
    db = Database(path, db.connection, group_n=group_n)
    commits_n = 0

    def count(sql: str) -> None:
        nonlocal commits_n
        commits_n += sql.upper() == "COMMIT"

    db.connection.set_trace_callback(count)
    each_n = submits_n // threads_n
    threads = [
        threading.Thread(target=lambda: [inbox.submit(db, request(i)) for i in range(each_n)]) for _ in range(threads_n)
    ]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began_s
    db.close()
    return each_n * threads_n / took_s, commits_n / (each_n * threads_n)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--submits", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=Path())
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as scratch:
        folder = Path(scratch)
        turns = Turns(folder / "home")
        row_bytes = turns.row_bytes()
        plain = Plain(folder / "plain.db", row_bytes, database.PAGE_BYTES)
        plain_4k = Plain(folder / "plain-4k.db", row_bytes, 4096)
        ours, theirs, theirs_4k = [], [], []
        for _ in range(chosen.runs):  # in turns, so that a slow moment of the machine meets all of them
            ours.append(turns.run(chosen.turns))
            theirs.append(plain.run(chosen.turns))
            theirs_4k.append(plain_4k.run(chosen.turns))
        print(
            f"a turn: {COMMITS_N} durable transactions, {row_bytes:,} bytes in its rows; median of {chosen.runs} runs"
        )
        print(f"{'':<34}{'per second':>12}{'bytes each':>12}")
        for name, runs in (
            ("the appliance's decisions", ours),
            (f"plain sqlite3, pages of {database.PAGE_BYTES}", theirs),
            ("plain sqlite3, pages of 4096", theirs_4k),
        ):
            per_s, each = (statistics.median(figures) for figures in zip(*runs, strict=True))
            print(f"{name:<34}{per_s:>12.1f}{each:>12,.0f}")
        ratios = [a[0] / b[0] for a, b in zip(ours, theirs_4k, strict=True)]
        print(f"ratio to plain sqlite3 (4096)     {statistics.median(ratios):>12.2f}")
        print(f"\n{'submits a second':<18}{'alone':>10}{'shared':>10}{'ratio':>8}{'fsyncs each, shared':>22}")
        for threads_n in (1, 8, 32):
            alone, _ = submits_per_s(folder / f"alone-{threads_n}.db", threads_n, chosen.submits, 1)
            shared, fsyncs = submits_per_s(
                folder / f"shared-{threads_n}.db", threads_n, chosen.submits, database.GROUP_N
            )
            ratio = shared / alone
            print(f"{threads_n:>3} threads       {alone:>10.0f}{shared:>10.0f}{ratio:>8.2f}{fsyncs:>22.3f}")
        for connection in (plain.connection, plain_4k.connection):
            connection.close()
        turns.db.close()


if __name__ == "__main__":
    main()
