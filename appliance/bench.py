"""Measures this machine with the real parts, in a home that is thrown away: no part is replaced, nothing is mocked.

The home is made beside the real one, because its disk is what a decision waits for.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from appliance import __version__, settings
from appliance.agent import model, propose
from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.contracts.local import Hello
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import ToolSpec
from appliance.daemon import Daemon
from appliance.errors import ApplianceError, DaemonUnavailable
from appliance.settings import ModelSettings, Settings
from appliance.transport.local import LocalClient

START_S: Final = 60.0

WORDS: Final = (
    "dim the workshop lights to 30 percent",
    "turn the kitchen lights off",
    "what is the temperature in the bedroom",
    "start the extractor for ten minutes",
    "set a timer for twenty five minutes called bread",
    "could you please make it a bit warmer in here, twenty one and a half degrees would be about right I think",
    "set the office lights to blue",
    "tell me a joke about trains",
)
"""Short, long, with numbers in words, and one that no tool does."""

_TOOLS: Final = tuple(
    ToolSpec.from_schema(name, description, {"type": "object", "properties": properties, "required": list(properties)})
    for name, description, properties in (
        ("set_light_level", "Dim the lights of a room", {"room": {"type": "string"}, "level_pct": {"type": "integer"}}),
        ("set_temperature", "Set the target temperature of the heating", {"degrees_c": {"type": "number"}}),
        ("start_machine", "Run a machine for a while", {"machine": {"type": "string"}, "minutes": {"type": "number"}}),
        ("set_timer", "Start a timer", {"minutes": {"type": "number"}, "name": {"type": "string"}}),
        ("read_sensor", "Read the temperature of a room", {"room": {"type": "string"}}),
    )
)


def measure(home: Home, *, requests_n: int = 200) -> JsonObject:
    """Measure everything and return it, times in milliseconds.

    Raises:
        ApplianceError: the appliance cannot run here; the message says why.
    """
    chosen = settings.load(home.root)
    folder = settings.bundle_folder(chosen, home.root).absolute()
    place = next(path for path in (home.root, *home.root.parents) if path.is_dir() and os.access(path, os.W_OK))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=place) as scratch:
        root = Path(scratch)
        sections = chosen.model_copy(update={"model": chosen.model.model_copy(update={"bundle": str(folder)})})
        alone = _model(sections.model, folder, requests_n)
        whole = _whole(root / "home", sections.model, requests_n)
        commits_n = _commits_per_decision(Home(root / "counted"), sections)
        plain = _plain_per_s(root / "plain.db", commits_n, _BODY_BYTES, requests_n)
    decisions_per_s = whole.pop("decisions_per_s")
    assert isinstance(decisions_per_s, float)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": __version__,
        "machine": _machine(place),
        "requests": requests_n,
        "propose": alone,
        **whole,
        "durability": {
            "decisions_per_s": decisions_per_s,
            "commits_per_decision": commits_n,
            "plain_sqlite_per_s": round(plain, 1),
            "ratio": round(decisions_per_s / plain, 2),
        },
    }


def as_table(measured: JsonObject) -> str:
    """Write the figures for a person: one a line, and what was measured in several ways as a table."""
    lines = []
    for key, value in measured.items():
        if not isinstance(value, dict):
            lines.append(f"{key.replace('_', ' '):<28} {value}")
            continue
        inner = list(value.values())
        if inner and all(isinstance(row, dict) for row in inner):
            columns = list(dict.fromkeys(name for row in inner if isinstance(row, dict) for name in row))
            lines.append(f"{key:<28} " + "".join(f"{name.replace('_', ' '):>12}" for name in columns))
            lines += [
                f"  {name.replace('_', ' '):<26} " + "".join(f"{row.get(column, '')!s:>12}" for column in columns)
                for name, row in value.items()
                if isinstance(row, dict)
            ]
        else:
            lines.append(key)
            lines += [f"  {name.replace('_', ' '):<26} {figure}" for name, figure in value.items()]
    return "\n".join(lines)


_BODY_BYTES: Final = 1500
"""A ledger record of one call, about."""


def _model(chosen: ModelSettings, folder: Path, n: int) -> JsonObject:
    """The model with grounding, five tools, no site and no record."""
    begun = time.perf_counter()
    loaded = model.load(folder, runtime=chosen.runtime, threads_n=chosen.threads)
    load_ms = (time.perf_counter() - begun) * 1000
    now, thresholds = datetime.now(UTC), loaded.bundle.manifest.thresholds
    took = []
    for i in range(n + 1):
        begun = time.perf_counter()
        propose.propose(loaded.decoder, WORDS[i % len(WORDS)], _TOOLS, now, thresholds)
        took.append((time.perf_counter() - begun) * 1000)
    return {
        "runtime": loaded.runtime,
        "threads": chosen.threads,
        "bundle": f"{loaded.bundle.manifest.name} {loaded.bundle.manifest.version}",
        "load_ms": round(load_ms, 1),
        "first_ms": round(took[0], 1),
        **_percentiles(took[1:]),
    }


def _whole(root: Path, chosen: ModelSettings, n: int) -> JsonObject:
    """A daemon of its own: start, first answer, turns over the socket, memory, bytes."""
    _configure(root, chosen)
    with _daemon(root):
        pass  # the first start makes keys and database
    begun = time.perf_counter()
    with _daemon(root) as process:
        ready_ms = (time.perf_counter() - begun) * 1000
        client = Appliance(root)
        client.say(WORDS[0])
        first_answer_ms = (time.perf_counter() - begun) * 1000
        said = [_timed_ms(partial(client.say, WORDS[i % len(WORDS)])) for i in range(n)]
        written, called_s = _written_bytes(process), time.perf_counter()
        called = [_timed_ms(partial(client.call, "set_light_level", _dim(i))) for i in range(n)]
        called_s, written = time.perf_counter() - called_s, _written_bytes(process) - written
        memory = process.memory_full_info()
        rss_mb, uss_mb = memory.rss / 2**20, memory.uss / 2**20
    return {
        "start": {"ready_ms": round(ready_ms), "first_answer_ms": round(first_answer_ms)},
        "turn": {"words": _percentiles(said), "call": _percentiles(called)},
        "memory": {"resident_mb": round(rss_mb, 1), "of_its_own_mb": round(uss_mb, 1)},
        "disk": {"bytes_per_decision": round(written / n), "home_bytes": _size(root)},
        "decisions_per_s": round(n / called_s, 1),
    }


def _dim(i: int) -> JsonObject:
    return {"room": "kitchen", "level_pct": i % 100 + 1}


@contextmanager
def _daemon(root: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "appliance", "--home", str(root), "run"]
    with (root / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                LocalClient(root).request(Hello())
                break
            except DaemonUnavailable:
                if process.poll() is not None or time.monotonic() > until:
                    raise ApplianceError(f"the daemon does not start: {_tail(root / 'daemon.log')}") from None
                time.sleep(0.005)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configure(root: Path, chosen: ModelSettings) -> None:
    root.mkdir(mode=0o750)
    lines = [f"{key} = {_toml(value)}" for key, value in chosen.model_dump().items()]
    (root / settings.FILE_NAME).write_text("\n".join(["[model]", *lines, ""]), encoding="utf-8")


def _toml(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value) + "'"


def _commits_per_decision(home: Home, chosen: Settings) -> int:
    """How many transactions, each with its fsync, one call takes; counted by SQLite itself."""
    home.root.mkdir(mode=0o750)
    daemon = Daemon(home, chosen)
    daemon.start()
    try:
        client = Appliance(home.root)
        client.call("set_light_level", _dim(0))
        statements: list[str] = []
        daemon.parts.db.connection.set_trace_callback(statements.append)
        client.call("set_light_level", _dim(1))
        time.sleep(0.5)  # what a turn leaves to do afterwards belongs to it
        daemon.parts.db.connection.set_trace_callback(None)
    finally:
        daemon.stop()
    return sum(sql.upper() == "COMMIT" for sql in statements)


def _plain_per_s(path: Path, commits_n: int, body_bytes: int, n: int) -> float:
    """The same number of durable transactions by sqlite3 alone, with about the same bytes."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table plain (seq integer primary key, body text)")
    body = "x" * body_bytes
    begun = time.perf_counter()
    for _ in range(n):
        for _ in range(max(commits_n, 1)):
            connection.execute("begin immediate")
            connection.execute("insert into plain (body) values (?)", (body,))
            connection.execute("commit")
    took_s = time.perf_counter() - begun
    connection.close()
    return n / took_s


def _timed_ms(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def _percentiles(took: list[float]) -> JsonObject:
    cuts = statistics.quantiles(took, n=20)
    return {"p50_ms": round(statistics.median(took), 2), "p95_ms": round(cuts[18], 2), "max_ms": round(max(took), 2)}


def _written_bytes(process: psutil.Process) -> int:
    """What the kernel has sent to the disk for *process*, by pages; 0 on a file system in memory."""
    return int(process.io_counters().write_bytes)


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def _machine(place: Path) -> JsonObject:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": round(psutil.virtual_memory().total / 2**20),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": _file_system(place),
        "free_mb": shutil.disk_usage(place).free // 2**20,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model", "Hardware"))]
    return named[-1] if named else platform.machine()


def _file_system(place: Path) -> str:
    mounts = [p for p in psutil.disk_partitions(all=True) if place.absolute().is_relative_to(p.mountpoint)]
    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else ""


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"
