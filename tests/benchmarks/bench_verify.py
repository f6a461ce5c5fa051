"""How fast a ledger is verified, and how that compares with hashing the same bytes.

    python tests/benchmarks/bench_verify.py [--rows 1000000] [--runs 3] [--file FOLDER]

Baseline: one process reads every body with sqlite3 and takes its SHA-256; verifying also checks columns, commitments,
the tree and every signature. Both run in turns in the same process, on the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import ledgers

from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.trust import notes


def plain_s(path: Path) -> float:
    """Return how long it takes to read and hash the bodies."""
    began_s = time.perf_counter()
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    for (body,) in connection.execute("select body from audit order by seq"):
        hashlib.sha256(body).digest()
    connection.close()
    return time.perf_counter() - began_s


def verify_s(path: Path, given: Given) -> float:
    """Return how long it takes to verify, anchored."""
    began_s = time.perf_counter()
    found = verify(path, given)
    took_s = time.perf_counter() - began_s
    assert found.state == "anchored", found
    return took_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--file", type=Path, help="folder to make the ledger in, and to find it in again")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = (chosen.file or Path(folder)) / f"ledger-{chosen.rows}.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        began_s = time.perf_counter()
        key = ledgers.make(path, chosen.rows)
        made_s = time.perf_counter() - began_s
        print(f"{chosen.rows:,} records, {path.stat().st_size / 2**20:,.0f} MB, made in {made_s:.0f} s", flush=True)
        reader = sqlite3.connect(path)
        note = reader.execute("select note from checkpoints order by size desc limit 1").fetchone()[0]
        reader.close()
        given = Given(key=key.public, checkpoint=notes.parse(note.encode()))
        plain, verifying = [], []
        for _ in range(chosen.runs):
            plain.append(plain_s(path))
            verifying.append(verify_s(path, given))
    median_s, base_s = statistics.median(verifying), statistics.median(plain)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    workers_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    for name, seconds, all_of_them in (("verify", median_s, verifying), ("baseline", base_s, plain)):
        each = ", ".join(f"{s:.2f}" for s in all_of_them)
        print(f"{name:<8} median {seconds:6.2f} s  {chosen.rows / seconds:10,.0f} records/s  ({each})")
    print(f"ratio    {median_s / base_s:.2f} times the baseline")
    print(f"memory   {peak_mb:.0f} MB at most, {workers_mb:.0f} MB in the largest worker")


if __name__ == "__main__":
    main()
