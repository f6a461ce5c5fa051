"""What a device says to rows: once each, in order.

Covers: a batch twice, batches out of order, a batch missing (asked for again), a record that changed under the same
number, a ledger that does not agree with what the device signed (`ledgers`). Does not cover: whether what a device
says is true.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Batch, Desc, Item, Response, State, payload_of
from appliance.fleet import ledgers
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.ledgers import Fault


class Stored(NamedTuple):
    """What came of a batch."""

    upto: int
    """Everything up to here is committed: what may be acknowledged."""

    new_n: int
    resume: bool
    """Something before the batch is missing; the device shall begin again after `upto`."""

    faults: tuple[Fault, ...] = ()


def store_batch(home: FleetHome, batch: Batch, now: datetime) -> Stored:
    """Commit what is new in *batch*."""
    db = home.db
    with home.writing():
        upto = reached(home, batch.device, batch.epoch, batch.stream)
        if any(b.seq <= a.seq for a, b in zip(batch.items, batch.items[1:], strict=False)):
            return _refused(batch, upto, Fault(f"{batch.stream}_refused", "numbers in a batch do not rise"))
        faults: list[Fault] = []
        if batch.stream == "audit":
            fault = ledgers.check(home, batch.device, batch.epoch, batch.items, upto)
            if fault is not None:
                return _refused(batch, upto, fault)
        if batch.after > max(upto, batch.floor):
            return Stored(upto, 0, resume=True)
        fresh = [item for item in batch.items if item.seq > upto]
        if not fresh:
            return Stored(upto, 0, resume=False)
        if batch.stream == "audit" and fresh[0].seq != upto + 1:
            if batch.before is None:
                return Stored(upto, 0, resume=True)
            fault = ledgers.begin_at(home, batch.device, batch.epoch, fresh[0].seq - 1, batch.before)
            if fault is not None:
                return _refused(batch, upto, fault)
        expected = upto + 1
        for item in fresh:
            if item.seq > expected:
                _gap(home, batch, expected, item.seq - 1, now)
            expected = item.seq + 1
        db.table("records").upsert_all(
            (_row(batch, item, now) for item in fresh), pk=("device", "epoch", "stream", "seq")
        )
        db.table("streams").upsert(
            {"device": batch.device, "epoch": batch.epoch, "stream": batch.stream, "upto": fresh[-1].seq},
            pk=("device", "epoch", "stream"),
        )
        if batch.stream == "audit":
            ledgers.grow(home, batch.device, batch.epoch, fresh[0].seq, fresh[-1].seq)
            faults += ledgers.settle(home, batch.device, batch.epoch, fresh[-1].seq)
            fault = ledgers.begun(home, batch.device, batch.epoch, fresh[0], now) if upto == 0 else None
            faults += [] if fault is None else [fault]
    return Stored(fresh[-1].seq, len(fresh), resume=False, faults=tuple(faults))


def store_state(home: FleetHome, state: State, now: datetime) -> bool:
    """Take a state, unless it is older than what is known.

    Returns:
        Whether it counts: a last will of an earlier start or connection says nothing about now.
    """
    with home.writing():
        row = next(
            home.db.query("select boot, session, state, epoch from devices where device = ?", [state.device]), None
        )
        if row is None:
            return False
        if row["boot"] is not None and not _is_newer(state, row):
            return False
        home.db.table("devices").update(
            state.device,
            {
                "state": state.state,
                "boot": state.boot,
                "session": state.session,
                "nonce": state.nonce,
                "time": state.time,
                "epoch": state.epoch,
                "counter": state.counters.get(home.key.key_id, 0),
                "state_at": iso(state.at),
                # A will speaks for a device that has fallen silent.
                **({} if state.state == "lost" else {"seen_at": iso(now)}),
            },
        )
    return True


def store_desc(home: FleetHome, desc: Desc) -> None:
    """Keep what a device says it is."""
    with home.writing():
        home.db.execute(
            "update devices set desc = ? where device = ?",
            [canonical(payload_of(desc)).decode(), desc.device],
        )


def store_answer(home: FleetHome, answer: Response, now: datetime) -> bool:
    """Keep an answer.

    Returns:
        Whether it is news.
    """
    with home.writing():
        cursor = home.db.execute(
            "insert into answers (device, correlation, life, status, code, text, result, at, received_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict (device, correlation, life) do update set status = excluded.status, code = excluded.code,"
            " text = excluded.text, result = excluded.result where code <> excluded.code or text <> excluded.text",
            [
                answer.device,
                answer.correlation,
                answer.life,
                answer.status,
                answer.code,
                answer.text,
                json.dumps(answer.result),
                iso(answer.at),
                iso(now),
            ],
        )
    return cursor.rowcount == 1


def store_fault(home: FleetHome, device: str, what: str, text: str, now: datetime) -> None:
    """Remember that something was wrong; one row for each kind, however often it comes."""
    with home.writing():
        home.db.execute(
            "insert into faults (device, what, text, first_at, last_at, times) values (?, ?, ?, ?, ?, 1)"
            " on conflict (device, what) do update set text = excluded.text,"
            " last_at = excluded.last_at, times = times + 1",
            [device[:128], what, text[:500], iso(now), iso(now)],
        )


def _is_newer(state: State, known: dict[str, Any]) -> bool:
    if state.epoch != known["epoch"]:
        # A new database begins to count starts anew; only the will of the old one can come after it.
        return state.state != "lost"
    before, said = (known["boot"], known["session"]), (state.boot, state.session)
    return said > before or (said == before and not (known["state"] == "disconnected" and state.state == "lost"))


def reached(home: FleetHome, device: str, epoch: str, stream: str) -> int:
    """Return up to where a stream of *device* is committed here."""
    row = next(
        home.db.query(
            "select upto from streams where device = ? and epoch = ? and stream = ?", [device, epoch, stream]
        ),
        None,
    )
    return 0 if row is None else int(row["upto"])


def _refused(batch: Batch, upto: int, fault: Fault) -> Stored:
    return Stored(upto, 0, resume=False, faults=(fault,))


def _row(batch: Batch, item: Item, now: datetime) -> dict[str, Any]:
    return {
        "device": batch.device,
        "epoch": batch.epoch,
        "stream": batch.stream,
        "seq": item.seq,
        "id": item.id,
        "kind": item.kind,
        "at": iso(item.at),
        "body": canonical(item.body).decode(),
        "received_at": iso(now),
        "leaf": ledgers.leaf_of(item) if batch.stream == "audit" else None,
    }


def _gap(home: FleetHome, batch: Batch, first: int, last: int, now: datetime) -> None:
    home.db.table("gaps").upsert(
        {
            "device": batch.device,
            "epoch": batch.epoch,
            "stream": batch.stream,
            "first": first,
            "last": last,
            "noticed_at": iso(now),
        },
        pk=("device", "epoch", "stream", "first"),
    )
