"""A rollout and the devices that are there to rings: which device is told when."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime

from appliance.errors import UsageError
from appliance.fleet import selecting
from appliance.fleet.home import FleetHome
from appliance.fleet.rollout import Rollout


def rings(home: FleetHome, rollout: Rollout, now: datetime) -> list[list[str]]:
    """Return the devices of each ring, by name; what no ring names is not told.

    Raises:
        UsageError: a device that is named is not enrolled here, or a ring has no device.
    """
    among = [one.device for one in selecting.chosen(home, selecting.parse(rollout.among), now)]
    ordered = sorted(among, key=lambda device: place(rollout.rollout, device))
    taken: set[str] = set()
    found = []
    for ring in rollout.rings:
        if ring.percent is not None:
            meant = ordered[: math.ceil(round(len(ordered) * ring.percent / 100, 9))]
        else:
            assert ring.where is not None  # one of the two is said
            named = {one.device for one in selecting.chosen(home, selecting.parse(ring.where), now)}
            meant = [device for device in ordered if device in named]
        new = sorted(set(meant) - taken)
        if not new:
            raise UsageError(
                f"ring {ring.name!r} has no device of its own: {len(among)} are among {rollout.among!r},"
                f" {len(taken)} of them in earlier rings"
            )
        taken |= set(new)
        found.append(new)
    return found


def place(rollout: str, device: str) -> bytes:
    """Return where *device* stands in the order of this rollout: the same each time, another in each rollout."""
    return hashlib.sha256(f"{rollout}/{device}".encode()).digest()
