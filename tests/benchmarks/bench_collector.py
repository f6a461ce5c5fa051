"""Events a second from signed messages into the controller's database, beside a plain COPY of the same rows.

    python tests/benchmarks/bench_collector.py [--events 20000] [--batch 1 10 100] [--group 20] [--conninfo-file FILE]

Messages are sealed before the clock starts; what is timed is all that a collector does with them once they have
arrived: check the signature, read, look for what is missing or changed, store, commit, every *group* of messages once.
Without --conninfo-file a PostgreSQL of its own is started, with fsync on. CPU is that of this process alone: events per
core-second are events divided by it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Batch, Item
from appliance.fleet import enrolling
from appliance.fleet.collector import Collector
from appliance.fleet.hearing import heard
from appliance.fleet.home import FleetHome, PostgresqlSettings, make
from appliance.transport.messages import Incoming
from appliance.trust import keys
from appliance.trust.signature import sealed

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DEVICES_N = 20
BODY = {
    "request_id": "0b7c9e3a5d1f4e62",
    "status": "done",
    "tool": "set_level",
    "arguments": {"light": "kitchen", "level": 30},
    "reason": "Kitchen lights are at 30 percent.",
    "confidence": 0.93,
    "ms": 12.5,
}


class Took(NamedTuple):
    """Seconds."""

    wall_s: float
    cpu_s: float

    def line(self, what: str, events_n: int) -> str:
        """Return a line of the report."""
        per_core = f"{events_n / self.cpu_s:10,.0f}" if self.cpu_s > 0.001 else f"{'-':>10}"
        return f"  {what:<44} {events_n / self.wall_s:10,.0f} {per_core}"


def timed(work: Callable[[], object]) -> Took:
    """Run *work* once."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def messages(home: FleetHome, folder: Path, stream: str, events_n: int, batch_n: int) -> list[Incoming]:
    """Return sealed batches of all devices, taking turns."""
    found = []
    each_n = events_n // DEVICES_N
    for d in range(DEVICES_N):
        name = f"device-{d}"
        enrolling.enrol_here(home, folder / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
        key = keys.load(folder / name / keys.DEVICE_KEY)
        for first in range(1, each_n + 1, batch_n):
            items = tuple(
                Item(seq=n, id=f"{stream}-{n}", kind="turn", at=NOW, body=body(stream, n))
                for n in range(first, min(first + batch_n, each_n + 1))
            )
            batch = Batch(device=name, epoch="0123456789abcdef", stream=stream, after=first - 1, floor=0, items=items)
            topic = f"edge/v1/bench/{name}/{'evt/turn' if stream == 'evt' else 'audit'}"
            message = Incoming(
                topic, sealed(key, batch), retained=False, correlation=None, response_topic=None, expiry_s=None
            )
            found.append((first, d, message))
    return [message for _, _, message in sorted(found, key=lambda one: one[:2])]


def body(stream: str, n: int) -> dict[str, Any]:
    """Return what an event, or a record of a ledger, looks like."""
    return BODY if stream == "evt" else {"body": json.dumps({"seq": n, "kind": "turn", "facts": BODY})}


def groups(all_of: list[Any], group_n: int) -> Iterator[list[Any]]:
    """Yield what one commit takes."""
    for n in range(0, len(all_of), group_n):
        yield all_of[n : n + group_n]


def measure(
    folder: Path, rows_in: PostgresqlSettings | None, stream: str, events_n: int, batch_n: int, group_n: int
) -> None:
    """Print what one kind of message costs in one database."""
    home = make(folder / "controller", site="bench", postgresql=rows_in)
    home.use_broker(enrolling.broker_at("127.0.0.1:1"))
    arrived = messages(home, folder, stream, events_n, batch_n)
    known = home.device_keys()
    collector = Collector(home, now=lambda: NOW, chance=Random(1))
    where = "SQLite" if rows_in is None else "PostgreSQL"
    print(
        f"{where}, {stream}, {batch_n} a message, {group_n} messages a commit, {len(arrived[0].payload):,} bytes each"
    )
    print(timed(lambda: [heard(one, known.get) for one in arrived]).line("signature checked and read", events_n))

    def collect() -> None:
        for group in groups(arrived, group_n):
            collector._arrived += group
            collector._commit()

    print(timed(collect).line("collected: checked, read, stored, committed", events_n))
    print(timed(collect).line("the same once more: everything known already", events_n))
    rows = home.db.rows("select * from records")
    assert len(rows) == events_n, len(rows)
    columns = list(rows[0])
    if rows_in is not None:
        home.db.execute("create table copied (like records including all)")
        values = [tuple(row.values()) for row in rows]

        def copy() -> None:
            for group in groups(values, group_n * batch_n):
                home.db.add("copied", columns, group)

        print(timed(copy).line("COPY of the same rows, the same commits", events_n))
        home.db.execute("truncate copied")
        print(timed(lambda: home.db.add("copied", columns, values)).line("COPY of the same rows, one commit", events_n))
    collector.close()
    home.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument(
        "--group", type=int, default=20, help="messages for one commit; what a broker hands over at once"
    )
    parser.add_argument("--streams", nargs="+", default=["evt", "audit"])
    parser.add_argument("--conninfo-file", type=Path, help="an empty database for each run; --batch takes one then")
    parser.add_argument("--no-sqlite", action="store_true")
    chosen = parser.parse_args()
    spec = importlib.util.spec_from_file_location(
        "postgresql_rig", Path(__file__).parents[1] / "rigs" / "postgresql_rig.py"
    )
    assert spec is not None
    assert spec.loader is not None
    rig = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rig)
    server = None if chosen.conninfo_file else rig.Postgresql(fsync=True)
    print(f"  {'events a second':<44} {'wall':>10} {'per core':>10}")
    try:
        for stream in chosen.streams:
            for batch_n in chosen.batch:
                with tempfile.TemporaryDirectory() as folder:
                    file = chosen.conninfo_file or server.database(Path(folder))
                    rows_in = PostgresqlSettings(conninfo_file=str(file))
                    measure(Path(folder) / "p", rows_in, stream, chosen.events, batch_n, chosen.group)
                    if not chosen.no_sqlite:
                        measure(Path(folder) / "s", None, stream, chosen.events, batch_n, chosen.group)
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    main()
