"""The numbers of commands: each is used once at every device that it reaches, and no device's word stops another one.

A device keeps two windows of 1,024 numbers of this controller's key, in which commands may overtake each other: one for
what is for it, one for what is for all. So each audience is counted for by itself: what others are sent, or say that
they were sent, moves nothing at a device.

Covers: several programs, devices that are forgotten and enrolled again, a controller that was restored from a backup
(devices say how far they have come), a device that says anything else. Does not cover: a device that says more of what
went to `all` than is so (up to the bound, with a fault that names it): what went to `all` before, and lies on a stick,
is then refused as a replay, and is to be written again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.envelope import MAX_COUNTER
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import UsageError
from appliance.fleet.home import FleetHome

BOUND_N: Final = 1_000_000
"""So far ahead of what went to it a device may be, after a restore."""


class Word(NamedTuple):
    """What a device's word about its counter comes to."""

    highest: int
    """What counts from now on."""

    doubt: str = ""
    """Why somebody should look; empty where all is as it should be."""


def next_number(home: FleetHome, audience: str) -> int:
    """Return a number that no command for *audience* (a device, or `all`) has had.

    Raises:
        UsageError: there is none left.
    """
    with home.writing():
        # Whoever has the audience's row gives its numbers.
        issued = _row(
            home,
            "insert into counters (audience, issued) values (?, 0) on conflict (audience) do update"
            " set issued = counters.issued returning issued as n",
            audience,
        )
        number = max(issued, _said(home, audience)) + 1
        if number > MAX_COUNTER:
            raise UsageError(
                f"{audience}: no number is left for another command of this controller's key; make a controller with a"
                " new key (`fleet init --fleet-home DIR`) and enrol its devices there"
            )
        home.db.execute("update counters set issued = ? where audience = ?", [number, audience])
    return number


def last_number(home: FleetHome, audience: str) -> int:
    """Return the highest number that *audience* may have had, as far as it is known here."""
    return max(_issued(home, audience), _said(home, audience))


def believed(home: FleetHome, device: str, said: int, *, to_all: bool = False) -> Word:
    """Return how much of a device's word about the highest number it has seen counts.

    Args:
        to_all: its word is about what went to `all`, else about what went to itself, for which alone it counts.
    """
    issued = _issued(home, EVERY_DEVICE if to_all else device)
    if said <= issued:
        return Word(said)
    what = "command {} to all" if to_all else "command {}"
    ahead = f"it says that it has had {what.format(said)} of this controller's key; the last known here is {issued}"
    if said > issued + BOUND_N:
        column = "group_counter" if to_all else "counter"
        before = _row(home, f"select {column} as n from devices where device = ?", device)  # noqa: S608 -- our own names
        return Word(before, f"{ahead}: so far ahead no restored controller is, and it is not believed")
    return Word(said, f"{ahead}: a backup of this controller was restored, or somebody else has its key")


def _issued(home: FleetHome, audience: str) -> int:
    return _row(home, "select issued as n from counters where audience = ?", audience)


def _said(home: FleetHome, audience: str) -> int:
    if audience == EVERY_DEVICE:
        return _row(home, "select max(group_counter) as n from devices")
    return _row(home, "select counter as n from devices where device = ?", audience)


def _row(home: FleetHome, sql: str, *values: str) -> int:
    row = home.db.row(sql, values)
    return 0 if row is None or row["n"] is None else int(row["n"])
