"""What the controller knows of each device, and whether it is really there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import UsageError
from appliance.fleet.home import FleetHome
from appliance.fleet.store import Row, rows_of

SILENT_AFTER_S: Final = 900.0
"""A device that says `ready` and then nothing for this long is not called ready: three periods of the state, as long as
nobody has made them longer."""

SILENT_PERIODS_N: Final = 3
_LONGEST_PERIOD_S: Final = 86_400.0
"""As the settings bound it."""

HEARD_AT: Final = "(select max(s.seen_at) from streams s where s.device = d.device)"
"""When anything of a stream came last from device `d`."""

Presence = Literal["online", "silent", "offline", "never seen"]


class Device(NamedTuple):
    """A device as of the last thing it said."""

    device: str
    presence: Presence
    state: str
    boot: int
    session: int
    time: str
    epoch: str
    seen_at: str
    software: str
    tools_n: int
    audit_upto: int
    signed_upto: int
    """Up to where the device's signature and the records that are here agree."""

    evt_upto: int
    gaps_n: int
    faults: tuple[str, ...]
    bundle: str = ""
    """Name of the model bundle that decides there; empty where none does."""

    bundle_version: str = ""
    bundle_sha256: str = ""
    tags: tuple[str, ...] = ()

    @property
    def bundle_word(self) -> str:
        """The bundle that decides, with the beginning of its hash."""
        return " ".join(part for part in (self.bundle, self.bundle_version, self.bundle_sha256[:8]) if part)

    @property
    def state_word(self) -> str:
        """The state in a word for people."""
        return state_word(self.state)

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {**self._asdict(), "faults": list(self.faults), "tags": list(self.tags)}


class LastWords(NamedTuple):
    """What a device said last before now, for whoever asks why it fell silent."""

    states: tuple[JsonObject, ...]
    """Newest first; `lost` is what the broker said for it."""

    records: tuple[JsonObject, ...]
    """The newest of each stream."""

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {"states": list(self.states), "records": list(self.records)}


def devices(home: FleetHome, now: datetime, names: Sequence[str] | None = None) -> list[Device]:
    """Return the enrolled devices that are among *names*, or every one, by name."""

    def found_in(sql: str) -> list[Row]:
        if names is None:
            return home.db.rows(sql.format("select device from devices"))
        return list(rows_of(home.db, sql, sorted(set(names))))

    rows = found_in(
        f"select d.*, {HEARD_AT} as heard_at,"  # noqa: S608 -- our own words
        " (select coalesce(max(c.size), 0) from checkpoints c where c.device = d.device and c.epoch = d.epoch"
        " and c.checked = 1) as signed_upto,"
        # As a float: numbers that a device made up may be more than an integer holds.
        " (select coalesce(sum(cast(g.last - g.first + 1 as double precision)), 0) from gaps g"
        " where g.device = d.device) as gaps_n"
        " from devices d where d.device in ({}) order by d.device"
    )
    marks = {
        (row["device"], row["stream"]): int(row["upto"])
        for row in found_in(
            "select s.device, s.stream, s.upto from streams s join devices d on d.device = s.device"
            " and d.epoch = s.epoch where s.device in ({})"
        )
    }
    faults: dict[str, list[str]] = {}
    for row in found_in("select device, what from faults where device in ({}) order by device, what"):
        faults.setdefault(row["device"], []).append(row["what"])
    tags: dict[str, list[str]] = {}
    for row in found_in("select device, tag from tags where device in ({}) order by device, tag"):
        tags.setdefault(row["device"], []).append(row["tag"])
    found = [_device(row, marks, faults.get(row["device"], []), now) for row in rows]
    return [one._replace(tags=tuple(tags.get(one.device, ()))) for one in found]


def last_words(home: FleetHome, device: str, *, states_n: int = 10) -> LastWords:
    """Return the last states of *device*, and the last record of each of its streams.

    Raises:
        UsageError: it is not enrolled here.
    """
    if home.db.row("select 1 as one from devices where device = ?", [device]) is None:
        raise UsageError(f"no device {device!r} is enrolled here")
    states = home.db.rows(
        "select state, boot, session, epoch, time, at, received_at from states where device = ?"
        " order by received_at desc, boot desc, session desc limit ?",
        [device, states_n],
    )
    records = home.db.rows(
        "select r.stream, r.epoch, r.seq, r.kind, r.at, r.received_at, r.body from records r join streams s"
        " on s.device = r.device and s.epoch = r.epoch and s.stream = r.stream and s.upto = r.seq"
        " where s.device = ? order by r.received_at desc, r.stream",
        [device],
    )
    return LastWords(states=tuple(states), records=tuple({**row, "body": json.loads(row["body"])} for row in records))


def _device(row: Row, marks: dict[tuple[str, str], int], faults: list[str], now: datetime) -> Device:
    name = str(row["device"])
    desc = json.loads(row["description"]) if row["description"] else {}
    bundle = desc.get("bundle") or {}
    return Device(
        device=name,
        presence=presence_of(row, now),
        state=row["state"] or "",
        boot=row["boot"] or 0,
        session=row["session"] or 0,
        time=row["time"] or "",
        epoch=row["epoch"] or "",
        seen_at=max(row["seen_at"] or "", row["heard_at"] or ""),
        software=str(desc.get("software", "")),
        tools_n=len(desc.get("tools", ())),
        audit_upto=marks.get((name, "audit"), 0),
        signed_upto=int(row["signed_upto"]),
        evt_upto=marks.get((name, "evt"), 0),
        gaps_n=int(row["gaps_n"]),
        faults=tuple(faults),
        bundle=str(bundle.get("name", "")),
        bundle_version=str(bundle.get("version", "")),
        bundle_sha256=str(bundle.get("sha256", "")),
    )


def state_word(state: str) -> str:
    """Write a state for people: where there are locks, an emergency stop is not called `locked`."""
    return "stopped" if state == "locked" else state


def presence(state: str, seen_at: str, now: datetime, silent_after_s: float = SILENT_AFTER_S) -> Presence:
    """Tell whether a device that last said *state*, and was last heard at *seen_at*, is there."""
    if not state:
        return "never seen"
    if state in ("lost", "disconnected"):
        return "offline"
    age_s = (now - datetime.fromisoformat(seen_at)).total_seconds() if seen_at else silent_after_s
    return "online" if age_s < silent_after_s else "silent"


def presence_of(row: Row, now: datetime) -> Presence:
    """Tell it of a row with `state`, `seen_at`, `heard_at` and `silent_after_s`."""
    seen_at = max(row["seen_at"] or "", row["heard_at"] or "")
    return presence(row["state"] or "", seen_at, now, float(row["silent_after_s"]))


def ailment(row: Row, now: datetime) -> str:
    """Say what is wrong with the device of such a row; nothing where it is well, or took its leave in order."""
    if row["state"] in ("lost", "degraded", "locked"):
        return state_word(row["state"])
    return "silent" if presence_of(row, now) == "silent" else ""


def silent_after_s(period_s: object) -> int:
    """Return after how long a device is called silent that says how it is every *period_s*, by its own word."""
    if not isinstance(period_s, int | float) or isinstance(period_s, bool):
        return int(SILENT_AFTER_S)
    return int(max(SILENT_AFTER_S, SILENT_PERIODS_N * min(float(period_s), _LONGEST_PERIOD_S)))
