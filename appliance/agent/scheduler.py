"""What is due moves into the inbox: exactly once, also across `kill -9`.

The row in `schedules` goes (or moves on to its next time) in the transaction that writes the inbox row, and the
request's id is made of the row's number and the time it was due, so neither a crash nor a clock that is set back makes
a second request of the same firing.

Late is told apart by kind: a timer or a reminder is a word to a person, so it fires late and says so; a schedule acts,
and nobody expects yesterday's act now, so beyond `GRACE_S` it is announced as missed and not performed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.contracts.audit import Moment
from appliance.contracts.clock import Clock
from appliance.contracts.request import Call, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.storage import inbox, schedules
from appliance.storage.database import Database
from appliance.storage.schedules import Scheduled, ScheduledKind

GRACE_S: Final = 300.0
"""A recurring act up to this late is still what was meant."""

LATE_FROM_S: Final = 30.0
"""A notice later than this says that it is late."""

ANNOUNCE: Final = "announce"
"""The internal tool that says something (`tools.system`)."""

_JUMP: Final = timedelta(seconds=schedules.CLOCK_JUMP_S)


def due(db: Database, clock: Clock) -> bool:
    """Move everything that is due into the inbox.

    Returns:
        Whether anything was.
    """
    moment = clock.moment()
    fired = False
    for row in schedules.waiting(db):
        with db.atomic():
            fired |= _fire(db, row, moment)
    return fired


def _fire(db: Database, row: Scheduled, moment: Moment) -> bool:
    match row.kind:
        case ScheduledKind.COUNTDOWN:
            left_s = _left_s(db, row, moment)
            if left_s > 0:
                return False
            _notice(db, row, row.due_at, moment, _late(row.call, -left_s))
            schedules.remove(db, row.schedule_id)
        case ScheduledKind.REMINDER:
            if moment.at < row.due_at:
                return False
            _notice(db, row, row.due_at, moment, _late(row.call, (moment.at - row.due_at).total_seconds()))
            schedules.remove(db, row.schedule_id)
        case ScheduledKind.WEEKLY:
            if moment.at < row.due_at:
                return False
            _recur(db, row, moment)
    return True


def _left_s(db: Database, row: Scheduled, moment: Moment) -> float:
    """Return how long a countdown has left, and keep its two clocks together.

    Within one start of the daemon the monotonic clock counts, so setting the wall clock neither fires nor delays it.
    Across a restart only the wall clock is left; a countdown never has more left than it began with, so a device that
    wakes up in 1970 is late by its own length at most.
    """
    assert row.duration_s is not None  # written by add_countdown, like the next
    assert row.due_monotonic_s is not None
    if row.boot == moment.boot:
        left_s = row.due_monotonic_s - moment.monotonic_s
    else:
        left_s = min((row.due_at - moment.at).total_seconds(), row.duration_s)
    due_at = moment.at + timedelta(seconds=left_s)
    if left_s > 0 and (row.boot != moment.boot or abs(due_at - row.due_at) > _JUMP):
        schedules.re_anchor(db, row.schedule_id, due_at, moment.monotonic_s + left_s, moment.boot)
    return left_s


def _recur(db: Database, row: Scheduled, moment: Moment) -> None:
    assert row.weekly is not None  # written by add_weekly
    last = max(row.due_at, row.weekly.last_until(moment.at))
    missed_n = row.weekly.count(row.due_at, last)
    if (moment.at - last).total_seconds() <= GRACE_S:
        missed_n -= 1
        _submit(db, row, last, moment, row.call, f"schedule {row.schedule_id}: {row.label}")
    if missed_n > 0:
        times = "once" if missed_n == 1 else f"{missed_n} times"
        text = f"Missed {times}, because the device was off or its clock was set: {row.label}."
        _submit(db, row, row.due_at, moment, _announcement(text), f"schedule {row.schedule_id} missed", mark="missed-")
    schedules.advance(db, row.schedule_id, row.weekly.next_after(moment.at))


def _notice(db: Database, row: Scheduled, due_at: datetime, moment: Moment, call: ToolCall) -> None:
    _submit(db, row, due_at, moment, call, f"{row.kind} {row.schedule_id}")


def _late(call: ToolCall, late_s: float) -> ToolCall:
    if late_s < LATE_FROM_S or call.tool != ANNOUNCE:
        return call
    return _announcement(f"{call.literals.get('text', '')} ({_spoken(late_s)} late: the device was off or busy)")


def _announcement(text: str) -> ToolCall:
    return ToolCall(tool=ANNOUNCE, literals={"text": text})


def _submit(
    db: Database, row: Scheduled, due_at: datetime, moment: Moment, call: ToolCall, because: str, *, mark: str = ""
) -> None:
    inbox.submit(
        db,
        Request(
            request_id=RequestId(f"{row.kind}-{row.schedule_id}-{mark}{due_at:%Y%m%dT%H%M%SZ}"),
            received_at=moment.at,
            origin=Origin(kind=OriginKind.TIMER, peer=f"schedule:{row.schedule_id}"),
            body=Call(call=call, because=because),
        ),
    )


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 86400:.0f} days"
