"""What a device says to rows: how it is, what it is, what it answers, what it has signed; its streams are `batches`.

Each is taken once, and only if it is newer than what is known (`order`).

Covers: what a broker kept and brings again, answers to commands that nobody here has sent (not kept), states without
end (the newest stay). Does not cover: whether what a device says is true.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Desc, Response, State, payload_of
from appliance.contracts.topics import EVERY_DEVICE
from appliance.fleet import histories, ledgers, numbering, order
from appliance.fleet.batches import Stored, locked, reached, store_batch, store_batches
from appliance.fleet.faults import store_fault
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.ledgers import Fault
from appliance.fleet.store import Row

__all__ = [
    "Stored",
    "locked",
    "reached",
    "store_answer",
    "store_batch",
    "store_batches",
    "store_checkpoint",
    "store_desc",
    "store_fault",
    "store_state",
]

STATES_N: Final = 200
"""States that are kept of a device; it may begin as many connections as it likes."""


def store_checkpoint(
    home: FleetHome, device: str, said: ledgers.Root, note: str, now: datetime
) -> tuple[bool, list[Fault]]:
    """Keep a checkpoint whose signature holds, and hold it against the records.

    Returns:
        Whether it is new, and what it shows.
    """
    with home.writing():
        # Locked: else a batch on its way and this checkpoint would each miss the other.
        place = (device, said.epoch, "audit")
        upto = locked(home, {place})[place].upto
        fault = None if upto else histories.not_begun(home, device, said.epoch, now)
        if fault is not None:
            home.db.execute("delete from streams where device = ? and epoch = ? and stream = ? and upto = 0", [*place])
            store_fault(home, device, fault.what, fault.text, now)
            return False, [fault]
        new, faults = ledgers.take_checkpoint(home, device, said, note, upto, now)
        forks = [fault.text for fault in faults if fault.what == ledgers.FORKED]
        if forks:
            histories.close(home, device, said.epoch, forks[0], now)
        for fault in faults:
            store_fault(home, device, fault.what, fault.text, now)
    return new, faults


def store_state(home: FleetHome, state: State, now: datetime) -> bool:
    """Take a state, unless it is older than what is known.

    Returns:
        Whether it counts: what was said before, or for an earlier start or connection, says nothing about now.
    """
    with home.writing():
        own = home.key.key_id
        number = numbering.believed(home, state.device, state.counters.get(own, 0))
        group = numbering.believed(home, state.device, state.group_counters.get(own, 0), to_all=True)
        for doubt in filter(None, (number.doubt, group.doubt)):
            store_fault(home, state.device, "counter_ahead", doubt, now)
        row = home.db.row(
            "update devices set device = device where device = ? returning state, epoch, boot, session, time, state_at",
            [state.device],
        )
        if row is None:
            return False
        known = None if row["boot"] is None else _known(row)
        if not order.follows(state, known, is_left=_was_said(home, state.device, state.epoch)):
            return False
        at = state.at if known is None or known.epoch != state.epoch else max(state.at, known.at)
        home.db.execute(
            "update devices set state = ?, boot = ?, session = ?, nonce = ?, time = ?, epoch = ?, counter = ?,"
            " group_counter = ?,"
            # A will speaks for a device that has fallen silent.
            " state_at = ?, seen_at = case when ? = 'lost' then seen_at else ? end where device = ?",
            [
                *(state.state, state.boot, state.session, state.nonce, state.time, state.epoch),
                *(number.highest, group.highest, iso(at), state.state, iso(now), state.device),
            ],
        )
        home.db.execute(
            "insert into states (device, epoch, boot, session, state, time, at, received_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (device, epoch, boot, session, state)"
            " do update set time = excluded.time, at = excluded.at, received_at = excluded.received_at",
            [
                *(state.device, state.epoch, state.boot, state.session, state.state),
                *(state.time, iso(state.at), iso(now)),
            ],
        )
        home.db.execute(
            "delete from states where device = ? and received_at <"
            " (select received_at from states where device = ? order by received_at desc limit 1 offset ?)",
            [state.device, state.device, STATES_N],
        )
    return True


def store_desc(home: FleetHome, desc: Desc) -> bool:
    """Keep what a device says it is, unless it is older than what is known.

    Returns:
        Whether it counts.
    """
    with home.writing():
        row = home.db.row(
            "update devices set device = device where device = ? returning description, epoch", [desc.device]
        )
        if row is None:
            return False
        known = None if row["description"] is None else Desc.model_validate_json(row["description"])
        is_left = row["epoch"] not in (None, desc.epoch) and _was_said(home, desc.device, desc.epoch)
        if not order.describes_anew(desc, known, is_left=is_left):
            return False
        home.db.execute(
            "update devices set description = ? where device = ?",
            [canonical(payload_of(desc)).decode(), desc.device],
        )
    return True


def store_answer(home: FleetHome, answer: Response, now: datetime) -> bool | None:
    """Keep an answer to a command of ours.

    Returns:
        Whether it is news; None for one to a command that nobody here has sent, which is not kept.
    """
    with home.writing():
        asked = home.db.row(
            "select 1 as one from commands where correlation = ? and device in (?, ?)",
            [answer.correlation, answer.device, EVERY_DEVICE],
        )
        if asked is None:
            return None
        changed = home.db.execute(
            "insert into answers (device, correlation, life, status, code, text, result, at, received_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict (device, correlation, life) do update set status = excluded.status, code = excluded.code,"
            " text = excluded.text, result = excluded.result"
            " where answers.code <> excluded.code or answers.text <> excluded.text",
            [
                *(answer.device, answer.correlation, answer.life, answer.status, answer.code, answer.text),
                *(json.dumps(answer.result), iso(answer.at), iso(now)),
            ],
        )
    return changed == 1


def _known(row: Row) -> order.Known:
    at = datetime.fromisoformat(row["state_at"])
    return order.Known(row["state"], row["epoch"], int(row["boot"]), int(row["session"]), row["time"], at)


def _was_said(home: FleetHome, device: str, epoch: str) -> bool:
    """Tell whether *device* has said anything in *epoch*."""
    found = home.db.row(
        "select 1 as one from states where device = ? and epoch = ?"
        " union all select 1 as one from streams where device = ? and epoch = ? and upto > 0 limit 1",
        [device, epoch, device, epoch],
    )
    return found is not None
