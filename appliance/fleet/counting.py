"""Collected records to counts: of each version, and of each device that a rollout has just changed.

Each record is counted once: the mark of its stream moves in the transaction that adds it up. Devices take turns: one
transaction takes a little of each of the next ones that have something new, in the order of their names, and the one
after it goes on from there. So no device waits for another one for longer than a round, however much that one sends.

Covers: records that retention removed before they were counted (they are skipped), several programs that count at once
(the row of the turn is the lock), bodies of another form (they count as nothing), bodies that nothing can be made of
(the same, and a fault). Does not cover: a device that shares only counts, whose corrections stay with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.fleet import faults
from appliance.fleet.home import FleetHome
from appliance.fleet.store import NOT_UNDERSTOOD, Row, Values, rows_of, storable

STREAMS_N: Final = 200
"""Streams for one transaction."""

PORTION_N: Final = 2_000
"""Records for one transaction, shared between its streams: the collector waits for a fraction of a second."""

COLUMNS: Final = ("requests", "done", "refused", "failed", "decided", "corrected")

NOT_COUNTED: Final = "not_counted"

_TURN: Final = "counting"
"""Of `meta`: the device whose turn was last."""

_VERSION_CHARS: Final = 64
_ENDS: Final = {"done": "done", "refused": "refused", "failed": "failed", "indeterminate": "failed"}
_DECISIONS: Final = frozenset({"decided", "settled"})
"""Of a request that waited for a person, the record after it counts, not `parked`."""

_ALARMS: Final = {"salvaged": "its database was damaged", "emergency": "an emergency stop"}

_NEW: Final = (
    "select s.device, s.epoch, s.stream, s.upto, coalesce(c.upto, 0) as counted from streams s left join counted c"
    " on c.device = s.device and c.epoch = s.epoch and c.stream = s.stream"
    " where s.upto > coalesce(c.upto, 0) and s.device {} ? order by s.device, s.epoch, s.stream limit ?"
)


class Told(NamedTuple):
    """What one record says that is counted."""

    bundle: str = ""
    software: str = ""
    counts: tuple[str, ...] = ()
    alarm: str = ""


class _Member(NamedTuple):
    """A device that a rollout has changed, and what its records said since."""

    rollout: str
    ended_at: datetime
    known: frozenset[str]
    """Alarms."""

    counts: Counter[str]
    alarms: set[str]


class _Sums(NamedTuple):
    """What the new records of one device's stream come to."""

    device: str
    by_version: dict[tuple[str, str, str], Counter[str]]
    """By bundle, software and day."""

    members: list[_Member]


def count(home: FleetHome, now: datetime) -> bool:
    """Add up a portion of what has come since the last time.

    Returns:
        Whether there is more.
    """
    if not home.db.rows(_NEW.format(">"), ["", 1]):
        return False  # most of the time: nobody else is kept from writing
    with home.writing():
        # Taken before anything is read: another program that counts waits here, and finds the marks moved.
        turn = home.db.row(
            "insert into meta (key, value) values (?, '') on conflict (key) do update set value = meta.value"
            " returning value",
            [_TURN],
        )
        last = "" if turn is None else str(turn["value"])
        streams = home.db.rows(_NEW.format(">"), [last, STREAMS_N])
        if len(streams) < STREAMS_N:
            streams += home.db.rows(_NEW.format("<="), [last, STREAMS_N - len(streams)])
        share = PORTION_N // max(1, len(streams))
        marks, sums, more = [], [], len(streams) == STREAMS_N
        members = _members(home, sorted({stream["device"] for stream in streams}))
        for stream in streams:
            rows = _records(home, stream, share)
            cut = len(rows) == share
            more = more or cut
            marks.append((*_place(stream), int(rows[-1]["seq"]) if cut else int(stream["upto"])))
            sums += _summed(home, stream, rows, members.get(stream["device"], []), now)
        _write(home, sums, now)
        _mark(home, marks)
        if streams:
            home.db.execute("update meta set value = ? where key = ?", [streams[-1]["device"], _TURN])
    return more


def told(stream: str, kind: str, body: JsonObject) -> Told:
    """Return what a record says."""
    if stream == "evt":
        end = _ENDS.get(str(body.get("status"))) if kind == "turn" else None
        return Told() if end is None else Told(*_versions(body, "bundle_sha256"), ("requests", end))
    facts = _facts(body)
    if kind == "bundle" and facts.get("event") == "sent back":
        return Told(alarm="a bundle was sent back")
    if kind in _ALARMS and facts.get("latched") is not False:
        return Told(alarm=_ALARMS[kind])
    if kind in _DECISIONS and "comes_to" in facts:
        versions = facts.get("versions")
        named = _versions(versions if isinstance(versions, dict) else {}, "bundle_sha256")
        return Told(*named, ("decided", "corrected") if _is_correction(facts) else ("decided",))
    return Told()


def _records(home: FleetHome, stream: Row, limit: int) -> list[Row]:
    return home.db.rows(
        "select seq, kind, at, received_at, body from records where device = ? and epoch = ? and stream = ?"
        # Not above: a colleague may have committed more since the mark was read.
        " and seq > ? and seq <= ? order by seq limit ?",
        [*_place(stream), stream["counted"], stream["upto"], limit],
    )


def _members(home: FleetHome, devices: list[str]) -> dict[str, list[Row]]:
    """Return the devices that rollouts have changed and still judge; a halted one may be resumed."""
    found: dict[str, list[Row]] = {}
    for row in rows_of(
        home.db,
        "select rollout, device, ended_at, alarms from rollout_members where device in ({}) and ended_at is not null"
        " and rollout in (select rollout from rollouts where state in ('asking', 'soaking', 'paused', 'halted'))",
        devices,
    ):
        found.setdefault(row["device"], []).append(row)
    return found


def _summed(home: FleetHome, stream: Row, rows: list[Row], members: list[Row], now: datetime) -> list[_Sums]:
    try:
        return [_added(stream["device"], stream["stream"], rows, members)]
    except NOT_UNDERSTOOD as error:
        if len(rows) > 1:
            # The others of this device shall count all the same: it might hide them behind this one.
            return [found for row in rows for found in _summed(home, stream, [row], members, now)]
        _give_up(home, stream["device"], error, now)
        return []


def _added(device: str, stream: str, rows: list[Row], members: list[Row]) -> _Sums:
    by_version: dict[tuple[str, str, str], Counter[str]] = {}
    since = [
        _Member(
            rollout=row["rollout"],
            ended_at=datetime.fromisoformat(row["ended_at"]),
            known=frozenset(filter(None, row["alarms"].split("; "))),
            counts=Counter(),
            alarms=set(),
        )
        for row in members
    ]
    for row, said in _said(rows, stream):
        at = _moment(row)
        if said.counts:
            place = (said.bundle, said.software, at.date().isoformat())
            by_version.setdefault(place, Counter()).update(said.counts)
        for member in since:
            if at >= member.ended_at:
                member.counts.update(said.counts)
                member.alarms.update([said.alarm] if said.alarm else [])
    return _Sums(device, by_version, [one for one in since if one.counts or one.alarms - one.known])


def _write(home: FleetHome, sums: list[_Sums], now: datetime) -> None:
    try:
        with home.writing():
            _tally(home, sums)
            _add_to_members(home, sums)
    except NOT_UNDERSTOOD as error:
        if len(sums) > 1:
            # One of them is such that no row can hold it; the others shall not suffer.
            for one in sums:
                _write(home, [one], now)
            return
        _give_up(home, sums[0].device, error, now)


def _give_up(home: FleetHome, device: str, error: Exception, now: datetime) -> None:
    faults.store_fault(home, device, NOT_COUNTED, f"{type(error).__name__}: {error}", now)


def _tally(home: FleetHome, sums: Iterable[_Sums]) -> None:
    found: dict[tuple[str, str, str, str], Counter[str]] = {}
    for one in sums:
        for version, counts in one.by_version.items():
            found.setdefault((one.device, *version), Counter()).update(counts)
    if not found:
        return
    row = f"({', '.join('?' * (4 + len(COLUMNS)))})"
    adding = ", ".join(f"{c} = tallies.{c} + excluded.{c}" for c in COLUMNS)
    home.db.execute(
        f"insert into tallies (device, bundle, software, day, {', '.join(COLUMNS)})"  # noqa: S608 -- our own columns
        f" values {', '.join([row] * len(found))} on conflict (device, bundle, software, day) do update set {adding}",
        [value for place, counts in sorted(found.items()) for value in (*place, *(counts[c] for c in COLUMNS))],
    )


def _add_to_members(home: FleetHome, sums: Iterable[_Sums]) -> None:
    # A device has several streams: their alarms come together here.
    alarms: dict[tuple[str, str], frozenset[str]] = {}
    for one in sums:
        for member in one.members:
            place = (member.rollout, one.device)
            alarms[place] = alarms.get(place, member.known) | member.alarms
            home.db.execute(
                f"update rollout_members set {', '.join(f'{c} = {c} + ?' for c in COLUMNS)}, alarms = ?"  # noqa: S608 -- our own columns
                " where rollout = ? and device = ?",
                [*(member.counts[c] for c in COLUMNS), "; ".join(sorted(alarms[place])), *place],
            )


def _mark(home: FleetHome, marks: Sequence[Values]) -> None:
    if marks:
        home.db.execute(
            "insert into counted (device, epoch, stream, upto)"  # noqa: S608 -- only marks
            f" values {', '.join(['(?, ?, ?, ?)'] * len(marks))}"
            " on conflict (device, epoch, stream) do update set upto = excluded.upto",
            [value for mark in marks for value in mark],
        )


def _place(stream: Row) -> tuple[str, str, str]:
    return stream["device"], stream["epoch"], stream["stream"]


def _said(rows: list[Row], stream: str) -> Iterator[tuple[Row, Told]]:
    for row in rows:
        body = _object(row["body"])
        yield row, told(stream, str(row["kind"]), body)


def _moment(row: Row) -> datetime:
    """When it was, by the device's clock; a device that does not know the time is in 1970."""
    found = datetime.fromisoformat(row["at"] or row["received_at"])
    return found if found.tzinfo is not None else datetime.fromisoformat(row["received_at"])


def _facts(body: JsonObject) -> JsonObject:
    """Return the facts of a ledger's record; nothing of one that shows only its leaf."""
    text = body.get("body")
    facts = _object(text).get("facts") if isinstance(text, str) else None
    return facts if isinstance(facts, dict) else {}


def _versions(facts: JsonObject, bundle: str) -> tuple[str, str]:
    return storable(facts.get(bundle) or "", _VERSION_CHARS), storable(facts.get("software") or "", _VERSION_CHARS)


def _is_correction(facts: JsonObject) -> bool:
    """Tell whether a person took an act back, or had to put an argument right."""
    approval = facts.get("approval")
    return bool(facts.get("undoes")) or (isinstance(approval, dict) and bool(approval.get("edited")))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
