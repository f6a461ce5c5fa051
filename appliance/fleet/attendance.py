"""Which collectors are at work: a lock for each on its machine, a row for each in the database."""

from __future__ import annotations

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import AlreadyRunning
from appliance.fleet.home import FleetHome, iso


class Present(NamedTuple):
    """A collector, as of its last sign of life."""

    collector: str
    began_at: str
    seen_at: str
    records_n: int

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return dict(self._asdict())


def attend(home: FleetHome, collector: str, began_at: datetime, records_n: int, now: datetime) -> None:
    """Write down that *collector* is at work, and what it has stored since it began."""
    home.db.execute(
        "insert into collectors (collector, began_at, seen_at, records_n) values (?, ?, ?, ?)"
        " on conflict (collector) do update set began_at = excluded.began_at, seen_at = excluded.seen_at,"
        " records_n = excluded.records_n",
        [collector, iso(began_at), iso(now), records_n],
    )


def collectors(home: FleetHome) -> list[Present]:
    """Return every collector that was ever at work, by name."""
    rows = home.db.rows("select collector, began_at, seen_at, records_n from collectors order by collector")
    return [Present(**row) for row in rows]


class CollectorLock:
    """At most one collector of a name for a home: two would take each other's session, for ever."""

    def __init__(self, home: Path, share: str | None = None) -> None:
        self._path = home / (f"collector-{share}.lock" if share else "collector.lock")
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: another process has it.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise AlreadyRunning(f"a collector already runs on {self._path.parent}") from None
        self._handle = handle

    def release(self) -> None:
        """Let it go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
