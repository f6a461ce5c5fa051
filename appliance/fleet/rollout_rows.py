"""A rollout's rows: what was declared, how far it is, every device, every decision."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.record import JsonObject
from appliance.errors import StorageError, UsageError
from appliance.fleet import devices
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.rollout import Rollout
from appliance.fleet.rollout_judging import Figures
from appliance.fleet.rollout_states import State
from appliance.fleet.store import Row, rows_of

NOBODY: Final = -1
"""No ring is excused."""

_SAID_N: Final = 5
_SUMMED: Final = ("requests", "refused", "failed", "decided", "corrected")
_WELLNESS: Final = f"d.device, d.state, d.seen_at, d.silent_after_s, {devices.HEARD_AT} as heard_at"


class Standing(NamedTuple):
    """A rollout as its row has it."""

    rollout: str
    state: State
    ring: int
    declared: Rollout
    begun_at: datetime
    soak_at: datetime | None
    excused: int

    @property
    def name(self) -> str:
        """The name of the ring that it is in."""
        return self.declared.rings[self.ring].name


class Decision(NamedTuple):
    """Something that was decided about a rollout, by whom and why."""

    n: int
    at: str
    what: str
    state: str
    ring: int
    who: str
    reason: str
    figures: JsonObject

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return dict(self._asdict())


def begin(home: FleetHome, rollout: Rollout, rings: list[list[str]], *, now: datetime, who: str) -> None:
    """Write down a rollout; nothing has left yet.

    Raises:
        UsageError: its name was used.
    """
    with home.writing():
        if home.db.row("select 1 as one from rollouts where rollout = ?", [rollout.rollout]) is not None:
            raise UsageError(f"there was a rollout {rollout.rollout!r} already; give this one a name of its own")
        home.db.execute(
            "insert into rollouts (rollout, state, ring, declared, begun_at, excused) values (?, ?, 0, ?, ?, ?)",
            [rollout.rollout, State.ASKING.value, rollout.model_dump_json(), iso(now), NOBODY],
        )
        home.db.add(
            "rollout_members",
            ("rollout", "device", "ring", "state", "step"),
            ((rollout.rollout, device, n, "waiting", 0) for n, ring in enumerate(rings) for device in ring),
        )
        sizes = ", ".join(f"{ring.name} {len(of)}" for ring, of in zip(rollout.rings, rings, strict=True))
        decided(home, rollout.rollout, "begin", State.ASKING, 0, who=who, reason=f"rings: {sizes}", now=now)


def locked(home: FleetHome, rollout: str, now: datetime) -> Standing:
    """Return a rollout, and keep every other program from deciding about it until the transaction ends.

    Raises:
        UsageError: there is none of that name.
    """
    if not home.db.execute("update rollouts set looked_at = ? where rollout = ?", [iso(now), rollout]):
        known = ", ".join(row["rollout"] for row in home.db.rows("select rollout from rollouts order by begun_at"))
        raise UsageError(f"no rollout {rollout!r}; there are: {known or 'none'}")
    return standing(home, rollout)


def standing(home: FleetHome, rollout: str) -> Standing:
    """Return a rollout as it is.

    Raises:
        UsageError: there is none of that name.
    """
    row = home.db.row("select * from rollouts where rollout = ?", [rollout])
    if row is None:
        raise UsageError(f"no rollout {rollout!r}; `fleet rollout status` lists them")
    return _standing(row)


def every(home: FleetHome) -> list[Standing]:
    """Return all rollouts, the newest first."""
    return [_standing(row) for row in home.db.rows("select * from rollouts order by begun_at desc, rollout")]


def live(home: FleetHome, unlooked_since: datetime, resting_since: datetime) -> list[str]:
    """Return the names of those that may go on, and at which nobody has looked since.

    Args:
        resting_since: the same for those that wait for a person.
    """
    rows = home.db.rows(
        "select rollout from rollouts where looked_at is null"
        " or (state in ('asking', 'soaking', 'returning') and looked_at <= ?)"
        " or (state in ('paused', 'halted') and looked_at <= ?) order by begun_at, rollout",
        [iso(unlooked_since), iso(resting_since)],
    )
    return [row["rollout"] for row in rows]


def move(home: FleetHome, rollout: str, state: State, ring: int, soak_at: datetime | None, excused: int) -> None:
    """Write down how far it is now."""
    home.db.execute(
        "update rollouts set state = ?, ring = ?, soak_at = ?, excused = ? where rollout = ?",
        [state.value, ring, None if soak_at is None else iso(soak_at), excused, rollout],
    )


def decided(
    home: FleetHome,
    rollout: str,
    what: str,
    state: State,
    ring: int,
    *,
    who: str,
    reason: str,
    now: datetime,
    figures: Figures | None = None,
) -> None:
    """Write down a decision; part of the transaction that carries it out."""
    facts = {} if figures is None else figures.facts()
    row = home.db.row("select coalesce(max(n), 0) + 1 as n from rollout_decisions where rollout = ?", [rollout])
    assert row is not None
    home.db.execute(
        "insert into rollout_decisions (rollout, n, at, what, state, ring, who, reason, figures)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [rollout, int(row["n"]), iso(now), what, state.value, ring, who[:100], reason[:1000], json.dumps(facts)],
    )


def history(home: FleetHome, rollout: str) -> list[Decision]:
    """Return every decision about a rollout, in order."""
    rows = home.db.rows("select * from rollout_decisions where rollout = ? order by n", [rollout])
    return [
        Decision(
            *(int(row["n"]), row["at"], row["what"], row["state"]),
            *(int(row["ring"]), row["who"], row["reason"], json.loads(row["figures"])),
        )
        for row in rows
    ]


def members(home: FleetHome, rollout: str, *states: str, ring: int | None = None, limit: int = -1) -> list[Row]:
    """Return devices of a rollout, in the order of their names."""
    marks = ", ".join("?" * len(states))
    only = "" if ring is None else " and ring = ?"
    at_most = "" if limit < 0 else " limit ?"
    return home.db.rows(
        f"select * from rollout_members where rollout = ? and state in ({marks}){only} order by device{at_most}",  # noqa: S608 -- only marks
        [rollout, *states, *([] if ring is None else [ring]), *([] if limit < 0 else [limit])],
    )


def figures(home: FleetHome, rollout: str, ring: int, now: datetime) -> Figures:
    """Count what came of one ring so far."""
    sums = ", ".join(f"sum({column}) as {column}" for column in _SUMMED)
    rows = home.db.rows(
        f"select state, count(*) as n, {sums} from rollout_members where rollout = ? and ring = ? group by state",  # noqa: S608 -- our own columns
        [rollout, ring],
    )
    by = Counter({row["state"]: int(row["n"]) for row in rows})
    total = {column: sum(int(row[column]) for row in rows) for column in _SUMMED}
    said = home.db.rows(
        "select case when text = '' then code else text end as said, count(*) as n from rollout_members"
        " where rollout = ? and ring = ? and state in ('refused', 'failed') group by 1 order by 2 desc, 1 limit ?",
        [rollout, ring, _SAID_N],
    )
    return Figures(
        devices=by.total(),
        waiting=by["waiting"],
        asked=by["asked"] + by["returning"],
        done=by["done"],
        refused=by["refused"],
        failed=by["failed"],
        unreached=by["unreached"],
        returned=by["returned"],
        not_returned=by["not returned"],
        unwell=tuple(_unwell(home, rollout, ring, now)),
        requests=total["requests"],
        requests_refused=total["refused"],
        requests_failed=total["failed"],
        decided=total["decided"],
        corrected=total["corrected"],
        said=tuple(f"{row['said']} ({row['n']} times)" if row["n"] > 1 else row["said"] for row in said),
    )


def uncounted(home: FleetHome, rollout: str, ring: int, until: datetime) -> int:
    """Return of how many devices that did it, up to *ring*, something is not added up that had come by *until*."""
    row = home.db.row(
        "select count(distinct m.device) as n from rollout_members m join streams s on s.device = m.device"
        " left join counted c on c.device = s.device and c.epoch = s.epoch and c.stream = s.stream"
        " where m.rollout = ? and m.state = 'done' and m.ring <= ? and s.upto > coalesce(c.upto, 0)"
        " and (select r.received_at from records r where r.device = s.device and r.epoch = s.epoch"
        " and r.stream = s.stream and r.seq > coalesce(c.upto, 0) order by r.seq limit 1) <= ?",
        [rollout, ring, iso(until)],
    )
    return 0 if row is None else int(row["n"])


def late(home: FleetHome, rollout: str, asked_before: datetime) -> list[Row]:
    """Return the devices of a rollout that were asked before then and have not answered."""
    return home.db.rows(
        "select device, state from rollout_members where rollout = ? and state in ('asked', 'returning')"
        " and asked_at <= ? order by device",
        [rollout, iso(asked_before)],
    )


def ailments(home: FleetHome, names: list[str], now: datetime) -> dict[str, str]:
    """Return what is wrong with devices now, as far as their last words and their silence say."""
    sql = f"select {_WELLNESS} from devices d where d.device in ({{}})"  # noqa: S608 -- our own words
    return {row["device"]: wrong for row in rows_of(home.db, sql, names) if (wrong := devices.ailment(row, now))}


def _unwell(home: FleetHome, rollout: str, ring: int, now: datetime) -> list[str]:
    doubtful = home.db.rows(
        # Only those that may be unwell; `ailment` says which are.
        f"select m.known, m.alarms, m.device as member, {_WELLNESS} from rollout_members m"  # noqa: S608 -- our own words
        " left join devices d on d.device = m.device where m.rollout = ? and m.ring = ? and m.state = 'done'"
        " and (m.alarms <> '' or d.state not in ('ready', 'updating') or d.seen_at < ?)",
        [rollout, ring, iso(now - timedelta(seconds=devices.SILENT_AFTER_S))],
    )
    told: dict[str, list[str]] = {}
    alarms: dict[str, str] = {}
    for row in doubtful:
        wrong = devices.ailment(row, now) if row["device"] is not None else ""
        # What was so before does not come from this.
        if wrong and wrong != row["known"]:
            told.setdefault(row["member"], []).append(wrong)
        if row["alarms"]:
            alarms[row["member"]] = row["alarms"]
    for row in home.db.rows(
        "select f.device, f.what from rollout_members m join faults f on f.device = m.device"
        " where m.rollout = ? and m.ring = ? and m.state = 'done' and f.first_at > m.ended_at"
        " order by f.device, f.what",
        [rollout, ring],
    ):
        told.setdefault(row["device"], []).append(row["what"])
    for device, said in alarms.items():
        told.setdefault(device, []).append(said)
    return [f"{device} {', '.join(said)}" for device, said in sorted(told.items())]


def _standing(row: Row) -> Standing:
    try:
        declared = Rollout.model_validate_json(row["declared"])
    except ValidationError as error:
        raise StorageError(f"rollout {row['rollout']}: its row is of another version of this software") from error
    return Standing(
        rollout=row["rollout"],
        state=State(row["state"]),
        ring=int(row["ring"]),
        declared=declared,
        begun_at=datetime.fromisoformat(row["begun_at"]),
        soak_at=None if row["soak_at"] is None else datetime.fromisoformat(row["soak_at"]),
        excused=int(row["excused"]),
    )
