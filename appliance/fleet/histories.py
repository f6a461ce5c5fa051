"""Histories that contradict themselves: closed when that is seen, until a person decides.

A device's history is its name and an epoch, both streams of it. Two histories under one name (a card that was copied,
an image that was put back, a ledger that was rewritten) must not be spliced: from then on nothing of it is taken and
nothing acknowledged, so that whoever sends it keeps it. A new epoch of the same device is another history, and open.

Covers: records that come again with other content, of either stream; a person who accepts what the device says now
(what was here stays, under another name); a device that invents histories by the hundred.
Does not cover: which of two histories is the true one.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from appliance.contracts.envelope import Batch, Item
from appliance.errors import UsageError
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.ledgers import FORKED, SET_ASIDE, SET_ASIDES, Fault, leaf_of

MOST_A_DAY_N: Final = 16
"""Histories that a device may begin in a day: each is rows that stay. A device begins one when it lost its database."""

_TABLES: Final = ("streams", "records", "gaps", "nodes", "checkpoints", "epochs", "counted")
_SHORTENED: Final = "oversized_bytes"
"""What is left of an event that was too long for the broker; for another broker it may be whole."""


class Decided(NamedTuple):
    """A person has accepted what a device says now."""

    epoch: str
    kept_as: str
    """The name under which what was here before stays."""

    records_n: int


def closed(home: FleetHome) -> dict[tuple[str, str], str]:
    """Return why nothing is taken of the histories that are closed, by device and epoch; there are few at any time."""
    rows = home.db.rows("select device, epoch, because from closures where accepted_at is null")
    return {(row["device"], row["epoch"]): row["because"] for row in rows}


def close(home: FleetHome, device: str, epoch: str, because: str, now: datetime) -> None:
    """Take nothing of this history any more; part of the caller's transaction."""
    if (device, epoch) not in closed(home):
        home.db.execute(
            "insert into closures (device, epoch, n, at, because) select ?, ?, coalesce(max(n), 0) + 1, ?, ?"
            " from closures where device = ? and epoch = ?",
            [device, epoch, iso(now), because, device, epoch],
        )


def accept(home: FleetHome, device: str, reason: str, now: datetime) -> list[Decided]:
    """Take from now on what *device* says of its closed histories; what is here of them is set aside, and stays.

    The device sends again what nobody acknowledged to it. What was acknowledged is in the one that is set aside.
    The fault is settled with it: what it said, and what was decided, stays in `closures`.

    Raises:
        UsageError: none of its histories is closed.
    """
    with home.writing():
        rows = home.db.rows(
            "select epoch, n from closures where device = ? and accepted_at is null order by epoch", [device]
        )
        if not rows:
            raise UsageError(f"no history of {device!r} is closed: `fleet ledger {device}` shows them")
        home.db.execute("delete from faults where device = ? and what = ?", [device, FORKED])
        return [_set_aside(home, device, str(row["epoch"]), int(row["n"]), reason, now) for row in rows]


def closures(home: FleetHome, device: str) -> list[dict[str, Any]]:
    """Return what was closed of *device*, when and why, and what somebody decided; the oldest first."""
    return home.db.rows(
        "select epoch, at, because, accepted_at, reason, kept_as from closures where device = ? order by at, epoch, n",
        [device],
    )


def was_accepted(home: FleetHome, device: str, epoch: str) -> bool:
    """Tell whether a person has accepted another history under this name."""
    return (
        home.db.row(
            "select 1 as one from closures where device = ? and epoch = ? and accepted_at is not null", [device, epoch]
        )
        is not None
    )


def set_aside_upto(home: FleetHome, device: str, epoch: str, stream: str) -> int:
    """Return up to where a stream lies in what was put away of this history; 0 where nothing was."""
    row = home.db.row(
        "select max(s.upto) as upto from closures c join streams s on s.device = c.device and s.epoch = c.kept_as"
        " where c.device = ? and c.epoch = ? and s.stream = ?",
        [device, epoch, stream],
    )
    return 0 if row is None else int(row["upto"] or 0)


def lies_set_aside(home: FleetHome, batch: Batch) -> bool:
    """Tell whether all of *batch* was put away: a stick or a broker brings again what a person has decided about."""
    span = [batch.stream, batch.items[0].seq, batch.items[-1].seq]
    for put_away in home.db.rows(f"{SET_ASIDES} and epoch = ?", [batch.device, batch.epoch]):
        known = home.db.rows(
            "select seq, id, kind, at, body, leaf from records where device = ? and epoch = ? and stream = ?"
            " and seq between ? and ?",
            [batch.device, put_away["kept_as"], *span],
        )
        there = {row["seq"]: row for row in known}
        if all(item.seq in there and _is_same(batch.stream, item, there[item.seq]) for item in batch.items):
            return True
    return False


def not_begun(home: FleetHome, device: str, epoch: str, now: datetime) -> Fault | None:
    """Say why a history that is not here yet is not begun."""
    if SET_ASIDE in epoch:
        return Fault("epoch_refused", f"{epoch!r} is how this controller calls a history that was set aside")
    since = iso(now - timedelta(days=1))
    row = home.db.row(
        "select count(*) as n from (select epoch from streams where device = ? and seen_at >= ?"  # noqa: S608 -- our own words
        " union select epoch from checkpoints where device = ? and received_at >= ?) begun where epoch <> ?"
        f" and epoch not in ({SET_ASIDES})",
        [device, since, device, since, epoch, device],
    )
    if row is None or int(row["n"]) < MOST_A_DAY_N:
        return None
    return Fault("too_many_ledgers", f"{MOST_A_DAY_N} ledgers in a day, and now {epoch!r}; look at the device")


def changed(home: FleetHome, batch: Batch, upto: int) -> Fault | None:
    """Look whether an event of *batch* that is here already has changed."""
    again = {item.seq: item for item in batch.items if item.seq <= upto}
    if not again:
        return None
    known = home.db.rows(
        "select seq, id, kind, at, body from records where device = ? and epoch = ? and stream = ?"
        " and seq between ? and ?",
        [batch.device, batch.epoch, batch.stream, min(again), max(again)],
    )
    for row in known:
        item = again.get(row["seq"])
        if item is not None and _contradicts(item, row):
            return Fault(FORKED, f"epoch {batch.epoch}: event {item.seq} came a second time with other content")
    return None


def _is_same(stream: str, item: Item, row: dict[str, Any]) -> bool:
    if stream == "audit":
        return row["leaf"] is not None and bytes(row["leaf"]) == leaf_of(item)
    return not _contradicts(item, row)


def _contradicts(item: Item, row: dict[str, Any]) -> bool:
    """Whether one event was never the other: what a site shares may have been less then, or more."""
    if (item.kind, iso(item.at)) != (row["kind"], row["at"]):
        return True
    general = f"evt-{item.seq}"
    if item.id != row["id"] and general not in (item.id, row["id"]):
        return True
    here = json.loads(row["body"])
    less, more = sorted((here, item.body), key=len)
    return _SHORTENED not in less and any(name not in more or more[name] != less[name] for name in less)


def _set_aside(home: FleetHome, device: str, epoch: str, n: int, reason: str, now: datetime) -> Decided:
    kept_as = f"{epoch}{SET_ASIDE}{n}"
    records_n = 0
    for table in _TABLES:
        moved = home.db.execute(
            f"update {table} set epoch = ? where device = ? and epoch = ?",  # noqa: S608 -- our own names
            [kept_as, device, epoch],
        )
        records_n += moved if table == "records" else 0
    home.db.execute(
        "update epochs set standing = 'set aside' where device = ? and epoch = ?",
        [device, kept_as],
    )
    home.db.execute(
        "update closures set accepted_at = ?, reason = ?, kept_as = ? where device = ? and epoch = ? and n = ?",
        [iso(now), reason, kept_as, device, epoch, n],
    )
    return Decided(epoch, kept_as, records_n)
