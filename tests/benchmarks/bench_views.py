"""How long a page of each view takes, beside the plain rows of the same page; `python tests/benchmarks/bench_views.py`.

Makes a ledger of as many records as asked for (a decision and its outcome each, a stop and a start now and then), with
the software's own forms, and reads pages at its end, in its middle, of one request and of one day.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.contracts import decision, tree
from appliance.contracts.canonical import canonical
from appliance.contracts.request import OriginKind
from appliance.storage import database, views

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
APART_S = 86.4
"""Between two records: 500 decisions a day."""

PAGE_N = 50
DAY = (
    "with day as (select min(first_seq) as first, max(last_seq) as last from segments"
    " where to_at >= :day and from_at < :next) "
)
RULES = ("emergency-stop", "recordable", "disabled-tools", "roles", "risk", "confidence")


def bodies(records_n: int) -> Iterator[tuple[object, ...]]:
    """Make rows of `audit`: decided, settled, decided, settled ..., and each thousandth a start of the device."""
    decided_once, settled_once = decided(), settled()
    for seq in range(1, records_n + 1):
        at = (BEGAN + timedelta(seconds=seq * APART_S)).isoformat()
        request_id = f"{(seq - 1) // 2:032x}"
        personal: dict[str, object] = {}
        facts: dict[str, object]
        if seq % 1000 in {0, 999}:
            kind, request_id, facts = ("emergency", None, {"latched": seq % 2 == 1, "peer": "uid:1000"})
        elif seq % 2:
            kind, facts = "decided", {**decided_once, "received_at": at}
            personal = {"text": "dim the kitchen lights to 30 percent please"}
        else:
            kind, facts = "settled", {**settled_once, "decided": seq - 1}
            personal = {"reason": "The kitchen lights are at 30 %."}
        kept = {name: {"salt": "5a" * 16, "value": value} for name, value in personal.items()}
        body = canonical(
            {
                "format": 2, "seq": seq, "kind": kind, "request_id": request_id, "at": at, "monotonic_s": seq * APART_S,
                "boot": 7, "clock": "trusted", "facts": facts, "personal": dict.fromkeys(personal, "c" * 64),
            }
        )  # fmt: skip
        yield seq, kind, request_id, at, tree.leaf_hash(body), body.decode(), json.dumps(kept) if kept else None


def decided() -> dict[str, object]:
    """Return the facts of a decision as this software writes them."""
    rule = decision.Rule(said="pass", values={"locked": False})
    call = decision.CallFacts(
        tool="set_light_level", call_id="0123456789abcdef.0", arguments={"room": "kitchen", "level_pct": 30},
        spans={"room": ((8, 15),), "level_pct": ((26, 28),)}, confidence=0.9821,
        verdict=decision.RuleVerdict(verdict="allow", rule="default"), rules=dict.fromkeys(RULES, rule),
    )  # fmt: skip
    return decision.Decided(
        operation="invoke_agent", model="pointer-small 1.0.0",
        origin=decision.Asker(kind=OriginKind.OPERATOR, peer="uid:1000 pid:4711"), asked_as="ask",
        received_at=BEGAN, context=decision.Context(now=BEGAN),
        configured="d" * 64, state="idle",
        guards=decision.Guards(locked=False, recordable=True, confirmed=False, permitted=True),
        proposal=decision.ProposalFacts(
            abstain=0.01, candidates=tuple((f"tool_number_{n}", 0.5 / (n + 1)) for n in range(8)), input_tokens=31
        ),
        calls=(call,), comes_to="act", latency=decision.Latency(reading_ms=21.0, total_ms=24.0),
        versions=decision.VersionFacts(software="0.1.0", bundle_sha256="b" * 64, runtime="litert 2.3.0"),
    ).to_json()  # fmt: skip


def settled() -> dict[str, object]:
    """Return the facts of an outcome as this software writes them."""
    result = decision.CallResult(
        tool="set_light_level", call_id="0123456789abcdef.0", state="done", postcondition="held", latency_ms=3.0
    )
    latency = decision.Latency(reading_ms=21.0, acting_ms=3.0, total_ms=31.4)
    return decision.Settled(decided=1, status="done", calls=(result,), latency=latency).to_json()


def make(path: Path, records_n: int) -> None:
    """Write a ledger of *records_n* records to *path*."""
    db = database.open_database(path, epoch="0123456789abcdef").db
    db.connection.execute("pragma synchronous = off")
    db.connection.execute("begin")
    db.connection.executemany("insert into audit values (?, ?, ?, ?, ?, ?, ?)", bodies(records_n))
    db.connection.execute("commit")
    views.apply(db.connection)
    db.close()


def pages(records_n: int, chance: random.Random) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Yield name of the page, what follows `from decisions`, what follows `from audit`, parameters."""
    middle = chance.randrange(records_n // 4, records_n * 3 // 4)
    day = (BEGAN + timedelta(days=chance.randrange(1, max(2, int(records_n * APART_S // 86_400) - 1)))).date()
    span = {"day": day.isoformat(), "next": (day + timedelta(days=1)).isoformat()}
    bounds = "seq between (select first from day) and (select last from day)"
    newest = f"order by seq desc limit {PAGE_N}"
    yield "newest page", newest, newest, {}
    below = f"where seq < :seq order by seq desc limit {PAGE_N}"
    yield "middle page", below, below, {"seq": middle}
    request = "where request_id = :id"
    yield "one request", request, request, {"id": f"{middle // 2:032x}"}
    first = f"where {bounds} and {{at}} >= :day and {{at}} < :next order by seq limit {PAGE_N}"
    yield "page of a day", first.format(at="settled_at"), first.format(at="at"), span
    whole = f"where {bounds} and {{at}} >= :day and {{at}} < :next order by seq"
    yield "whole day", whole.format(at="settled_at"), whole.format(at="at"), span


def measured(reader: sqlite3.Connection, sql: str, parameters: dict[str, object]) -> float:
    """Return the milliseconds that reading all of *sql* takes."""
    begun = time.perf_counter()
    reader.execute(sql, parameters).fetchall()
    return (time.perf_counter() - begun) * 1000


def main(argv: list[str]) -> int:
    """Print a table: p50 and p95 of each page, of the plain rows, and their ratio; 1 where a page misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--target-ms", type=float, default=50.0)
    parser.add_argument("--keep", type=Path, help="make the ledger here, and use it again the next time")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = given.keep or Path(folder) / "ledger.db"
        if not path.exists():
            make(path, given.records)
        reader = database.open_reader(path)
        chance = random.Random(4)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for _ in range(given.runs):
            for name, view, plain, parameters in pages(given.records, chance):
                times = found.setdefault(name, ([], []))
                day = DAY if "day" in parameters else ""
                times[1].append(measured(reader, f"{day}select * from audit {plain}", parameters))
                times[0].append(measured(reader, f"{day}select * from decisions {view}", parameters))
        reader.close()
    print(f"{given.records:,} records, {given.runs} runs, pages of {PAGE_N}; milliseconds")
    print(f"{'page':<16}{'view p50':>10}{'view p95':>10}{'rows p50':>10}{'rows p95':>10}{'ratio':>8}")
    slow = []
    for name, (of_view, of_rows) in found.items():
        p95 = statistics.quantiles(of_view, n=20)[18]
        plain_p95 = statistics.quantiles(of_rows, n=20)[18]
        p50, plain_p50 = statistics.median(of_view), statistics.median(of_rows)
        print(f"{name:<16}{p50:>10.1f}{p95:>10.1f}{plain_p50:>10.1f}{plain_p95:>10.1f}{p50 / plain_p50:>8.1f}")
        if p95 > given.target_ms and name != "whole day":
            slow.append(name)
    if slow:
        print(f"slower than {given.target_ms:g} ms: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
