"""Numbers that only grow, kept outside the database as well: with an old or a new database nothing old counts again.

Covers: a database that was lost, exchanged or brought back from a copy (what is here is raised in it), this file lost
(it is written again from the database), a power cut while it is written.
Does not cover: both lost at once; then `read` says None, and who is asked must not act on what comes from afar.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from appliance.contracts.record import Record
from appliance.storage import twofold

COPY_BYTES: Final = 32 * 1024
MOST_WINDOWS_N: Final = 256
MOST_BUNDLES_N: Final = 128


class Floors(Record):
    """What this device has seen."""

    grant: str = ""
    """Digest of the enrolment that it goes with."""

    counters: dict[str, int] = Field(default_factory=dict)
    """The highest of each window of a controller's key."""

    desired: int = 0
    """Version of the newest configuration that was accepted."""

    revoked: tuple[str, ...] = ()
    """Keys that are never listened to again."""

    bundles: dict[str, int] = Field(default_factory=dict)
    """By name the release below which none is taken."""

    def raised(self, other: Floors) -> Floors:
        """Return the higher of each number, for the grant of *other*."""
        return Floors(
            grant=other.grant,
            counters=_higher(self.counters, other.counters, MOST_WINDOWS_N),
            desired=max(self.desired, other.desired),
            revoked=tuple(sorted({*self.revoked, *other.revoked})),
            bundles=_higher(self.bundles, other.bundles, MOST_BUNDLES_N),
        )


def read(path: Path) -> Floors | None:
    """Return what *path* holds; None when it is lost."""
    found = twofold.read(path, COPY_BYTES)
    try:
        return None if found is None else Floors.model_validate(found, strict=False)
    except ValidationError:
        return None


def write(path: Path, floors: Floors) -> None:
    """Keep *floors*, durable on return.

    Raises:
        StorageError: it cannot be written; what was kept before stands.
    """
    twofold.write(path, floors.model_dump(mode="json"), COPY_BYTES)


def begin(path: Path, grant: str) -> None:
    """Begin to count for a new grant; what is here already stays, so that no older command counts by it.

    Raises:
        StorageError: it cannot be written.
    """
    write(path, (read(path) or Floors()).raised(Floors(grant=grant)))


def _higher(one: dict[str, int], other: dict[str, int], most_n: int) -> dict[str, int]:
    names = {*one, *other}
    found = {name: max(one.get(name, 0), other.get(name, 0)) for name in sorted(names)}
    return dict(list(found.items())[:most_n])
