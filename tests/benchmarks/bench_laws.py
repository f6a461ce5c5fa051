"""What laws cost a decision, end to end.

    python tests/benchmarks/bench_laws.py [--turns 300] [--runs 3] [--folder FOLDER]

A decision is the real one (inbox, grounding, gate, ledger, act, ledger) in the daemon's own parts; only the socket is
left out. The baseline, in turns with the others in the same process, is the same device without a law. Printed are
medians of the runs: judging (the gate and every rule), the whole decision, decisions a second and bytes written. Bytes
are what the kernel counts for this process, so FOLDER must be on a real disk.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from appliance import settings
from appliance.contracts.home import Home
from appliance.contracts.request import Call, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.daemon import Daemon
from appliance.policy.workflow import templates
from appliance.storage import audit, inbox

RULES = """workflow: {name}
version: 1
initial: always
safe: always
governs: ["family:lighting"]
measures:
  warm: {{sensor: bedroom temperature, type: number, unit: "°C", stale_after: 1min}}
states:
  always:
    tools: ["family:lighting"]
    swap: true
rules:
  not_too_often:
    tools: ["family:lighting"]
    limit: {{calls: 1000, per: 1s}}
  not_in_a_fire:
    tools: ["family:lighting"]
    needs: warm < 60
"""


class Device:
    """A daemon's own parts, without its socket and its threads."""

    def __init__(self, root: Path, laws: dict[str, str]) -> None:
        (root / "laws").mkdir(parents=True)
        for name, text in laws.items():
            (root / "laws" / name).write_text(text)
        self.daemon = Daemon(Home(root), settings.load(root))
        self.db = self.daemon.parts.db
        self.queue = inbox.Queue(self.db)
        self.daemon.enforce()
        self.daemon.parts.lifecycle.fire("ready")
        self.run(30)

    def run(self, n: int) -> dict[str, float]:
        """Carry *n* calls to their outcome."""
        before, begun_s = int(psutil.Process().io_counters().write_bytes), time.perf_counter()
        size = self._size()
        for i in range(n):
            inbox.submit(self.db, call(i))
            taken = self.queue.next()
            assert taken is not None
            outcome = self.daemon.parts.turn.handle(taken)
            assert outcome.status == "done", outcome
        taken_s = time.perf_counter() - begun_s
        rows = self.db.rows(
            "select json_extract(body, '$.facts.latency.judging_ms') as ms, length(body) as bytes from audit"
            " where kind = 'decided' and seq > ?",
            (size,),
        )
        return {
            "judging_ms": statistics.median(row["ms"] for row in rows),
            "decision_ms": taken_s / n * 1000,
            "per_s": n / taken_s,
            "decided_bytes": statistics.median(row["bytes"] for row in rows),
            "written_bytes": (int(psutil.Process().io_counters().write_bytes) - before) / n,
        }

    def _size(self) -> int:
        with self.db.reading() as connection:
            return audit.size(connection)


def call(n: int) -> Request:
    """Return a call as a local client makes it."""
    return Request(
        request_id=RequestId(f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"),
        received_at=datetime.now(UTC),
        origin=Origin(kind=OriginKind.OPERATOR, peer="uid:0 pid:1"),
        body=Call(call=ToolCall(tool="set_light_level", literals={"room": "kitchen", "level_pct": n % 100 + 1})),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.folder is not None and not chosen.folder.is_dir():
        parser.error(f"--folder: there is no folder {chosen.folder}")
    night = templates.text("night")
    sets = {
        "no law": {},
        "one law of two rules": {"a.yaml": RULES.format(name="a")},
        "three laws": {"a.yaml": RULES.format(name="a"), "b.yaml": RULES.format(name="b"), "night.yaml": night},
    }
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        devices = {name: Device(Path(folder) / str(n), laws) for n, (name, laws) in enumerate(sets.items())}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in devices}
        for _ in range(chosen.runs):
            for name, device in devices.items():
                found[name].append(device.run(chosen.turns))
        base = _medians(found["no law"])
        print(f"{'':<22}{'judging':>10}{'decision':>10}{'per s':>8}{'decided':>10}{'written':>12}")
        for name, runs in found.items():
            here = _medians(runs)
            print(
                f"{name:<22}{here['judging_ms']:>7.2f} ms{here['decision_ms']:>7.2f} ms{here['per_s']:>8.1f}"
                f"{here['decided_bytes']:>8.0f} B{here['written_bytes'] / 1000:>9.1f} kB"
                f"   x{here['decision_ms'] / base['decision_ms']:.2f}"
            )


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


if __name__ == "__main__":
    main()
