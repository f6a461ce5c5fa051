"""What a record, a checkpoint and a proof cost on a ledger of 10,000, of 100,000 and of 1,000,000 records.

    python tests/benchmarks/bench_growth.py [--rows 10000 100000 1000000] [--times 200] [--file FOLDER]

Every append and every checkpoint is durable (WAL, synchronous=FULL); the disk's fsync is in them, and is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ledgers

from appliance.agent.checkpointing import Checkpointer
from appliance.agent.clock import SystemClock
from appliance.contracts.audit import AuditRecord
from appliance.ledger import proofs
from appliance.storage import audit, database, tree
from appliance.storage.database import Database
from appliance.storage.signed import Signed
from appliance.trust.keys import SigningKey


def median_ms(act: Callable[[int], object], times_n: int) -> float:
    """Return the median of how long *act* takes."""
    took = []
    for n in range(times_n):
        began_s = time.perf_counter()
        act(n)
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took)


def fsync_ms(folder: Path) -> float:
    """Return what one durable write of a page costs on this disk."""
    handle = os.open(folder / "fsync", os.O_RDWR | os.O_CREAT)

    def write(_n: int) -> None:
        os.pwrite(handle, os.urandom(4096), 0)
        os.fsync(handle)

    try:
        return median_ms(write, 50)
    finally:
        os.close(handle)


def measure(path: Path, key: SigningKey, rows_n: int, times_n: int) -> str:
    """Return a line of the table."""
    db: Database = database.open_database(path).db
    clock = SystemClock(1)
    root = tree.root(db.connection, rows_n).hex()
    state = Signed(epoch=ledgers.EPOCH, origin=ledgers.ORIGIN, size=rows_n, root=root, boot=1)
    checkpointer = Checkpointer(
        db,
        path.parent / "keys" / "signed.jsonl",
        state,
        key=key,
        clock=clock,
        every_n=256,
        every_s=60.0,
        on_refused=lambda reason: print("refused:", reason),
    )

    def append(n: int) -> None:
        record = AuditRecord(kind="note", moment=clock.moment(), facts=ledgers.FACTS | {"n": n}, personal={"text": "x"})
        audit.append(db, record)

    def sign(n: int) -> None:
        append(n)
        assert checkpointer.sign() is not None

    appended_ms = median_ms(append, times_n)
    signed_ms = median_ms(sign, times_n) - appended_ms
    size = audit.size(db.connection)
    proved_ms = median_ms(lambda n: proofs.of_record(db.connection, 1 + n * 7919 % size), times_n)
    hashes_n = len(proofs.of_record(db.connection, 1).hashes)
    checkpointer.stop()
    db.close()
    return f"{rows_n:>10,} {appended_ms:10.2f} {signed_ms:14.2f} {proved_ms:10.2f} {hashes_n:8}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--file", type=Path, help="folder to make the ledgers in")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.file or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"one durable page: {fsync_ms(folder):.2f} ms; medians of {chosen.times}, in milliseconds")
        print(f"{'records':>10} {'append':>10} {'checkpoint':>14} {'proof':>10} {'hashes':>8}")
        for rows_n in chosen.rows:
            path = folder / f"growth-{rows_n}.db"
            print(measure(path, ledgers.make(path, rows_n), rows_n, chosen.times))
            path.unlink()  # it has grown: the next run makes its own


if __name__ == "__main__":
    main()
