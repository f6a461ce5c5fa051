"""What looks at rollouts, counting, finding a device and pruning cost a controller of many devices; no network.

    python tests/benchmarks/bench_rollouts.py [--devices 10000] [--postgresql FILE]

Rows as that many devices leave them (descriptions with 26 tools, two streams each, answers); one rollout over all of
them in two rings. Printed are seconds of this process's CPU, and by the clock. Nothing is compared with a baseline:
each figure stands beside what it is a part of (a look may take a fifth of the time, see `fleet/acting.py`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.contracts.envelope import Batch, Item
from appliance.fleet import (
    counting,
    desired,
    ingest,
    retention,
    rollout_driving,
    rollout_rings,
    rollout_rows,
    selecting,
    watching,
)
from appliance.fleet.home import FleetHome, KeepSettings, PostgresqlSettings, make
from appliance.fleet.rollout import Rollout

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ANSWERS_N = 10
"""Of each device, from before."""

FILE = {
    "rollout": "bench",
    "what": {"commands": [{"kind": "ping"}]},
    "rings": [{"name": "half", "percent": 50, "soak": "1h"}, {"name": "rest", "percent": 100, "soak": "1h"}],
    "expect": {"failures": 0.5, "unwell": 0.5},
}


def timed(what: str, work: Callable[[], object]) -> None:
    """Do *work* once and print what it took."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    print(f"{what:<72} {cpu_s * 1000:9.1f} ms CPU  {wall_s * 1000:9.1f} ms")


def names(devices_n: int) -> list[str]:
    """Return the devices' names, in order."""
    return [f"d{n:05}" for n in range(devices_n)]


def fill(home: FleetHome, devices_n: int) -> None:
    """Write what so many devices leave behind."""
    tool = {"name": "tool", "description": "x" * 200, "schema": {"type": "object"}}
    desc = json.dumps({"software": "0.1", "bundle": {}, "tools": [tool] * 26})
    at = NOW.isoformat()
    with home.writing():
        home.db.add(
            "devices",
            ("device", "site", "public_key", "enrolled_at", "state", "seen_at", "epoch", "description", "time"),
            ((d, "site", "aa" * 32, at, "ready", at, "e", desc, "trusted") for d in names(devices_n)),
        )
        home.db.add(
            "answers",
            ("device", "correlation", "life", "status", "code", "text", "result", "at", "received_at"),
            (
                (d, f"{n:032x}", "executed", 200, "ok", "", "{}", at, (NOW - timedelta(hours=n + 1)).isoformat())
                for d in names(devices_n)
                for n in range(ANSWERS_N)
            ),
        )
    for first in range(0, devices_n, 100):
        some = names(devices_n)[first : first + 100]
        ingest.store_batches(home, [_batch(d, 0) for d in some], NOW - timedelta(hours=2))


def _batch(device: str, after: int, n: int = 10) -> Batch:
    body = {"status": "done", "software": "0.1", "bundle_sha256": "b"}
    items = tuple(
        Item(seq=k, id=f"i{k}", kind="turn", at=NOW, body=dict(body)) for k in range(after + 1, after + n + 1)
    )
    return Batch(device=device, epoch="e", stream="evt", after=after, floor=0, items=items)


def measure(home: FleetHome, devices_n: int) -> None:
    """Print what each costs."""
    rollout = Rollout.model_validate_json(json.dumps(FILE))
    timed("plan the rings of all", lambda: rollout_rings.rings(home, rollout, NOW))
    rings = rollout_rings.rings(home, rollout, NOW)
    rollout_rows.begin(home, rollout, rings, now=NOW, who="bench")
    timed("one look that asks 100", lambda: rollout_driving.look(home, "bench", NOW))
    home.db.execute("update rollout_members set state = 'asked', asked_at = ?", [NOW.isoformat()])
    timed(f"one look while {devices_n:,} are asked", lambda: rollout_driving.look(home, "bench", NOW))
    with home.writing():
        home.db.execute("update rollouts set ring = 1")
        home.db.execute("update rollout_members set state = 'done', ended_at = ?", [NOW.isoformat()])
    rollout_driving.look(home, "bench", NOW)
    timed(f"one look while {devices_n:,} soak", lambda: rollout_driving.look(home, "bench", NOW))
    late = NOW + timedelta(minutes=20)
    timed("the figures of a ring that is silent", lambda: rollout_rows.figures(home, "bench", 1, late))
    timed("is all added up (nothing is)", lambda: rollout_rows.uncounted(home, "bench", 1, NOW))
    timed("one portion counted (200 streams, 2,000 records)", lambda: counting.count(home, NOW))
    timed(f"all {10 * devices_n:,} records counted", lambda: _all_counted(home))
    timed("nothing new to count", lambda: counting.count(home, NOW))
    timed("find one device", lambda: selecting.chosen(home, selecting.parse("d00001"), NOW))
    timed("find all devices", lambda: selecting.chosen(home, selecting.parse("all"), NOW))
    timed("one look of `fleet watch`", watching.Watching(home, NOW + timedelta(seconds=1)).look)
    timed("what leaves to be configured (nothing)", lambda: desired.leaving(home, 20))
    timed("whom to tell again", lambda: desired.tell_again(home, NOW))
    home.use_retention(KeepSettings(days=36_500))
    timed("pruning, the first time", lambda: retention.prune(home, NOW))
    timed("pruning when nothing is old", lambda: retention.prune(home, NOW))
    home.use_retention(KeepSettings(bytes=1_000_000))
    timed("one portion pruned (40 streams)", lambda: retention.prune(home, NOW))


def _all_counted(home: FleetHome) -> None:
    while counting.count(home, NOW):
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--postgresql", type=Path, help="a file with one line: where the server is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        to = None if options.postgresql is None else PostgresqlSettings(conninfo_file=str(options.postgresql.resolve()))
        home = make(Path(folder) / "controller", site="site", postgresql=to)
        try:
            fill(home, options.devices)
            measure(home, options.devices)
        finally:
            home.close()


if __name__ == "__main__":
    main()
