"""How long a page of what workflows did takes, beside the plain rows of that page; `python bench_runs.py --steps N`.

Makes a ledger in which every second record is a step of a workflow, in the software's own forms: three workflows, one
of them rare, forty runs, a denial each hundred steps, an approval each fifty. Reads pages as the command line does.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from appliance.contracts import tree
from appliance.contracts.audit import Moment
from appliance.contracts.canonical import canonical
from appliance.contracts.workflow import Step, Weighed
from appliance.ledger import run_history
from appliance.ledger.run_history import Wanted
from appliance.storage import database, views

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
PAGE_N = 50
RUNS_N = 40
RARE_EACH = 1_000
SEQ, RUN, AT = 987_654_321, "@run", "@at"
"""Marks; a million records are written by putting text in their place, which is quick."""


def look(n: int) -> tuple[str, str]:
    """Return of which workflow and of which kind step number *n* is."""
    workflow = "gate" if n % RARE_EACH == 0 else "shop" if n % 3 else "oven"
    return workflow, "denied" if n % 100 == 0 else "approved" if n % 50 == 0 else "moved"


@cache
def step(workflow: str, kind: str) -> str:
    """Return the record of a step as this software writes it, marks in the place of what differs from step to step."""
    at = Moment(at=BEGAN, monotonic_s=1.0, boot=1, clock="trusted")
    who = {"person": "mara", "role": "approver"}
    said = {"kind": "said", "event": "open_up", "who": who}
    found = Weighed(what="states.closed.go[0]", said="true", text="fridge_c < 8", values={"fridge_c": 4.5})
    facts = Step.model_validate(
        {
            "kind": kind, "run_id": f"{workflow}-{RUN}", "workflow": workflow, "version": 1, "seq": SEQ, "at": at,
            "event": {"kind": "approved", "of": "gate-1:7", "who": who, "yes": True} if kind == "approved" else said,
            "before": "closed", "after": "open", "way": "states.closed.go[0]", "cause": "say open_up if fridge_c < 8",
            "weighed": (found,), "context_version": 7,
        }
    )  # fmt: skip
    return record("run", facts.to_json())


def record(kind: str, facts: object) -> str:
    """Return the body of a record, marks in the place of its number and time."""
    body = {
        "format": 2, "seq": SEQ, "kind": kind, "request_id": None, "at": AT, "monotonic_s": 1.0, "boot": 1,
        "clock": "trusted", "facts": facts, "personal": {},
    }  # fmt: skip
    return canonical(body).decode()


def bodies(steps_n: int) -> Iterator[tuple[object, ...]]:
    """Make rows of `audit`: a step, another record, a step, another record."""
    other = record("settled", {"decided": 1, "status": "done", "calls": [], "latency": {"total_ms": 31.4}})
    for seq in range(1, 2 * steps_n + 1):
        at, n = (BEGAN + timedelta(seconds=seq)).isoformat(), (seq + 1) // 2
        text = step(*look(n)).replace(RUN, f"{n * RUNS_N // (steps_n + 1):04d}") if seq % 2 else other
        body = text.replace(str(SEQ), str(seq)).replace(AT, at).encode()
        yield seq, "run" if seq % 2 else "settled", None, at, tree.leaf_hash(body), body.decode(), None


def make(path: Path, steps_n: int) -> None:
    """Write a ledger of *steps_n* steps, and as many other records, to *path*."""
    db = database.open_database(path, epoch="0123456789abcdef").db
    db.connection.execute("pragma synchronous = off")
    db.connection.execute("begin")
    db.connection.executemany("insert into audit values (?, ?, ?, ?, ?, ?, ?)", bodies(steps_n))
    db.connection.execute("commit")
    views.apply(db.connection)
    db.close()


def pages(steps_n: int, chance: random.Random) -> Iterator[tuple[str, run_history.View, Wanted]]:
    """Yield name of the page, the view, and what is wanted of it."""
    middle = chance.randrange(steps_n // 2, steps_n * 3 // 2)
    run = f"shop-{chance.randrange(RUNS_N):04d}"
    yield "newest", "workflow_steps", Wanted(limit=PAGE_N)
    yield "middle", "workflow_steps", Wanted(before=middle, limit=PAGE_N)
    yield "from the middle on", "workflow_steps", Wanted(after=middle, limit=PAGE_N)
    yield "of a workflow", "workflow_steps", Wanted(workflow="shop", before=middle, limit=PAGE_N)
    yield "of a rare workflow", "workflow_steps", Wanted(workflow="gate", before=middle, limit=PAGE_N)
    yield "of a run", "workflow_steps", Wanted(run_id=run, limit=PAGE_N)
    yield "denials, newest", "workflow_denials", Wanted(limit=PAGE_N)
    yield "denials, middle", "workflow_denials", Wanted(before=middle, limit=PAGE_N)
    yield "approvals, middle", "workflow_approvals", Wanted(before=middle, limit=PAGE_N)


def plain(reader: sqlite3.Connection, wanted: Wanted, steps_n: int) -> None:
    """Read as many rows of the ledger at the same place, as they lie."""
    if wanted.after is not None:
        reader.execute("select * from audit where seq > ? order by seq limit ?", (wanted.after, PAGE_N)).fetchall()
        return
    below = wanted.before or 2 * steps_n + 1
    reader.execute("select * from audit where seq < ? order by seq desc limit ?", (below, PAGE_N)).fetchall()


def took_ms(what: Callable[[], object]) -> float:
    """Return the milliseconds that *what* takes."""
    begun = time.perf_counter()
    what()
    return (time.perf_counter() - begun) * 1000


def index_bytes(path: Path) -> int:
    """Return the bytes that the indices of steps, denials and approvals take."""
    reader = database.open_reader(path)
    found = reader.execute(
        "select sum(pgsize) from dbstat where name like 'audit_steps%' or name in ('audit_denials', 'audit_approvals')"
    ).fetchone()[0]
    reader.close()
    return int(found)


def main(argv: list[str]) -> int:
    """Print a table: p50 and p95 of each page, of the plain rows, and their ratio; 1 where a page misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--target-ms", type=float, default=50.0)
    parser.add_argument("--keep", type=Path, help="make the ledger here, and use it again the next time")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = given.keep or Path(folder) / "ledger.db"
        if not path.exists():
            make(path, given.steps)
        reader = database.open_reader(path)
        chance = random.Random(4)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for _ in range(given.runs):
            for name, view, wanted in pages(given.steps, chance):
                times = found.setdefault(name, ([], []))
                times[1].append(took_ms(lambda wanted=wanted: plain(reader, wanted, given.steps)))
                times[0].append(took_ms(lambda view=view, wanted=wanted: run_history.page(reader, view, wanted)))
        reader.close()
        per_step = index_bytes(path) / given.steps
    print(
        f"{given.steps:,} steps among {2 * given.steps:,} records, {given.runs} runs, pages of {PAGE_N}; milliseconds"
    )
    print(f"{'page':<20}{'p50':>8}{'p95':>8}{'rows p50':>10}{'rows p95':>10}{'ratio':>8}")
    slow = []
    for name, (of_page, of_rows) in found.items():
        p95, plain_p95 = (statistics.quantiles(times, n=20)[18] for times in (of_page, of_rows))
        p50, plain_p50 = statistics.median(of_page), statistics.median(of_rows)
        print(f"{name:<20}{p50:>8.2f}{p95:>8.2f}{plain_p50:>10.2f}{plain_p95:>10.2f}{p50 / plain_p50:>8.1f}")
        if p95 > given.target_ms:
            slow.append(name)
    print(f"indices: {per_step:.0f} bytes a step")
    if slow:
        print(f"slower than {given.target_ms:g} ms: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
