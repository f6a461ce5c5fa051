"""What a device says to rows: once each, in order, the ledger's chain checked row by row.

Covers: a batch twice, batches out of order, a batch missing (asked for again), a chain that does not fit (kept out,
reported), a record that changed under the same number. Does not cover: a device that forges its own ledger from the
start; checkpoints do.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from appliance.contracts.audit import GENESIS
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Batch, Desc, Item, Response, State, payload_of
from appliance.fleet.home import FleetHome, iso
from appliance.storage.audit import chained


class Stored(NamedTuple):
    """What came of a batch."""

    upto: int
    """Everything up to here is committed: what may be acknowledged."""

    new_n: int
    resume: bool
    """Something before the batch is missing; the device shall begin again after `upto`."""

    fault: str | None = None


def store_batch(home: FleetHome, batch: Batch, now: datetime) -> Stored:
    """Commit what is new in *batch*."""
    db = home.db
    with db.atomic():
        upto, last_hash = _head(home, batch)
        reach = max(upto, batch.floor)
        if batch.after > reach:
            return Stored(upto, 0, resume=True)
        fresh = [item for item in batch.items if item.seq > upto]
        if any(b.seq <= a.seq for a, b in zip(batch.items, batch.items[1:], strict=False)):
            return Stored(upto, 0, resume=False, fault="numbers in a batch do not rise")
        if not fresh:
            return Stored(upto, 0, resume=False)
        if batch.stream == "audit":
            fault, last_hash = _chain(fresh, upto, last_hash, anchored=batch.floor <= upto)
            if fault is not None:
                return Stored(upto, 0, resume=False, fault=fault)
        expected = upto + 1
        for item in fresh:
            if item.seq > expected:
                _gap(home, batch, expected, item.seq - 1, now)
            expected = item.seq + 1
        db.table("records").upsert_all(
            (
                {
                    "device": batch.device,
                    "epoch": batch.epoch,
                    "stream": batch.stream,
                    "seq": item.seq,
                    "id": item.id,
                    "kind": item.kind,
                    "at": iso(item.at),
                    "body": canonical(item.body).decode(),
                    "received_at": iso(now),
                }
                for item in fresh
            ),
            pk=("device", "epoch", "stream", "seq"),
        )
        upto = fresh[-1].seq
        db.table("streams").upsert(
            {"device": batch.device, "epoch": batch.epoch, "stream": batch.stream, "upto": upto, "hash": last_hash},
            pk=("device", "epoch", "stream"),
        )
    return Stored(upto, len(fresh), resume=False)


def store_state(home: FleetHome, state: State, now: datetime) -> bool:
    """Take a state, unless it is older than what is known.

    Returns:
        Whether it counts: a last will of an earlier start or connection says nothing about now.
    """
    with home.db.atomic():
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
    with home.db.atomic():
        home.db.execute(
            "update devices set desc = ? where device = ?",
            [canonical(payload_of(desc)).decode(), desc.device],
        )


def store_answer(home: FleetHome, answer: Response, now: datetime) -> bool:
    """Keep an answer.

    Returns:
        Whether it is news.
    """
    with home.db.atomic():
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
    with home.db.atomic():
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


def _head(home: FleetHome, batch: Batch) -> tuple[int, str]:
    row = next(
        home.db.query(
            "select upto, hash from streams where device = ? and epoch = ? and stream = ?",
            [batch.device, batch.epoch, batch.stream],
        ),
        None,
    )
    return (0, GENESIS) if row is None else (int(row["upto"]), str(row["hash"]))


def _chain(items: list[Item], upto: int, last_hash: str, *, anchored: bool) -> tuple[str | None, str]:
    """Check that each row's hash follows from the one before.

    Args:
        anchored: whether `last_hash` is of the row just before; a controller that lost its database begins without one.
    """
    expected = upto + 1
    for n, item in enumerate(items):
        body, claimed = item.body.get("body"), item.body.get("hash")
        if not isinstance(body, str) or not isinstance(claimed, str):
            return f"audit {item.seq} has no body or no hash", last_hash
        if not anchored and n == 0:
            last_hash = claimed
        elif item.seq != expected:
            return f"audit {expected} is missing before {item.seq}", last_hash
        elif chained(last_hash, body.encode()) != claimed:
            return f"audit {item.seq} does not follow from the row before: the ledger was altered", last_hash
        last_hash = claimed
        expected = item.seq + 1
    return None, last_hash


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
