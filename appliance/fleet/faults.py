"""What was wrong with what came: one row for each device and kind, however often it comes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from appliance.fleet.home import FleetHome, iso
from appliance.fleet.store import storable

STRANGERS: Final = ""
"""The device of a fault that belongs to none that is enrolled; one row for all of them, or their names would fill the
table."""


STRANGERS_N: Final = 100
"""That are shown; a name that was forgotten leaves its own."""


class Seen(NamedTuple):
    """A kind of fault, as often as it was seen."""

    text: str
    """Of the last one."""

    times: int


class Counted:
    """Faults in memory until somebody commits: a flood of them is one row and one write."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}

    def add(self, device: str, what: str, text: str) -> None:
        """Count one."""
        before = self._seen.get((device, what))
        self._seen[device, what] = Seen(text, 1 if before is None else before.times + 1)

    def store(self, home: FleetHome, now: datetime) -> None:
        """Write them down; part of the caller's transaction."""
        store(home, self._seen, now)


def store(home: FleetHome, seen: Mapping[tuple[str, str], Seen], now: datetime) -> None:
    """Add *seen* to what is known, by device and kind."""
    # In order, so that two collectors wait for each other and not in a circle.
    for (device, what), (text, times) in sorted(seen.items()):
        home.db.execute(
            "insert into faults (device, what, text, first_at, last_at, times) values (?, ?, ?, ?, ?, ?)"
            " on conflict (device, what) do update set text = excluded.text,"
            " last_at = excluded.last_at, times = faults.times + excluded.times",
            [storable(device, 128), what, storable(text, 500), iso(now), iso(now), times],
        )


class OfStranger(NamedTuple):
    """What was wrong under a name that is not enrolled; no name where it had none, or where many had it."""

    device: str
    what: str
    text: str
    times: int
    last_at: str


def of_strangers(home: FleetHome) -> list[OfStranger]:
    """Return what no enrolled device is to blame for, by name; of a device that was forgotten too."""
    rows = home.db.rows(
        "select device, what, text, times, last_at from faults where device not in (select device from devices)"
        " order by device, what limit ?",
        [STRANGERS_N],
    )
    return [OfStranger(**row) for row in rows]


def store_fault(home: FleetHome, device: str, what: str, text: str, now: datetime) -> None:
    """Remember that something was wrong."""
    with home.writing():
        store(home, {(device, what): Seen(text, 1)}, now)
