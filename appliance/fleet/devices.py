"""What the controller knows of each device, and whether it is really there."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final, Literal, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.fleet.home import FleetHome

SILENT_AFTER_S: Final = 900.0
"""Three periods of the state: a device that says `ready` and then nothing for this long is not called ready."""

Presence = Literal["online", "silent", "offline", "never seen"]


class Device(NamedTuple):
    """A device as of the last thing it said."""

    device: str
    presence: Presence
    state: str
    boot: int
    time: str
    epoch: str
    seen_at: str
    software: str
    bundle: str
    """Name and version of the model bundle that decides there; empty where none does."""

    bundle_sha256: str
    tools_n: int
    audit_upto: int
    signed_upto: int
    """Up to where the device's signature and the records that are here agree."""

    evt_upto: int
    gaps_n: int
    faults: tuple[str, ...]

    @property
    def bundle_word(self) -> str:
        """The bundle that decides, with the beginning of its hash."""
        return f"{self.bundle} {self.bundle_sha256[:8]}".strip()

    @property
    def state_word(self) -> str:
        """The state in a word for people."""
        return state_word(self.state)

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {**self._asdict(), "faults": list(self.faults)}


def devices(home: FleetHome, now: datetime) -> list[Device]:
    """Return every enrolled device, by name."""
    return [_device(home, row, now) for row in home.db.query("select * from devices order by device")]


def _device(home: FleetHome, row: dict[str, object], now: datetime) -> Device:
    name, epoch = str(row["device"]), str(row["epoch"] or "")
    marks = {
        r["stream"]: int(r["upto"])
        for r in home.db.query("select stream, upto from streams where device = ? and epoch = ?", [name, epoch])
    }
    signed = next(
        home.db.query(
            "select coalesce(max(size), 0) as n from checkpoints where device = ? and epoch = ? and checked = 1",
            [name, epoch],
        )
    )["n"]
    gaps = next(home.db.query("select coalesce(sum(last - first + 1), 0) as n from gaps where device = ?", [name]))["n"]
    faults = tuple(r["what"] for r in home.db.query("select what from faults where device = ? order by what", [name]))
    desc = json.loads(str(row["desc"])) if row["desc"] else {}
    bundle = desc.get("bundle", {})
    return Device(
        device=name,
        presence=presence(str(row["state"] or ""), str(row["seen_at"] or ""), now),
        state=str(row["state"] or ""),
        boot=int(str(row["boot"] or 0)),
        time=str(row["time"] or ""),
        epoch=epoch,
        seen_at=str(row["seen_at"] or ""),
        software=str(desc.get("software", "")),
        bundle=f"{bundle.get('name', '')} {bundle.get('version', '')}".strip(),
        bundle_sha256=str(bundle.get("sha256", "")),
        tools_n=len(desc.get("tools", ())),
        audit_upto=marks.get("audit", 0),
        signed_upto=int(signed),
        evt_upto=marks.get("evt", 0),
        gaps_n=int(gaps),
        faults=faults,
    )


def state_word(state: str) -> str:
    """Write a state for people: where there are locks, an emergency stop is not called `locked`."""
    return "stopped" if state == "locked" else state


def presence(state: str, seen_at: str, now: datetime) -> Presence:
    """Tell whether a device that last said *state* at *seen_at* is there."""
    if not state:
        return "never seen"
    if state in ("lost", "disconnected"):
        return "offline"
    age_s = (now - datetime.fromisoformat(seen_at)).total_seconds() if seen_at else SILENT_AFTER_S
    return "online" if age_s < SILENT_AFTER_S else "silent"
