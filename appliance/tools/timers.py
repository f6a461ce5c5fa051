"""Countdown timers and reminders: a word to a person, later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.storage import schedules
from appliance.storage.database import Database
from appliance.storage.schedules import Scheduled, ScheduledKind
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did, Unit
from appliance.tools.site import Site
from appliance.tools.system import System

FAMILY: Final = "timers"
MAX_TIMER_MIN: Final = 7 * 24 * 60
FULL: Final = CannotDo("There are too many timers, reminders and schedules; cancel some first.")

_SPOKEN: Final = {
    ScheduledKind.COUNTDOWN: "timer,",
    ScheduledKind.REMINDER: "reminder,",
    ScheduledKind.WEEKLY: "repeats, next",
}
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Timers:
    """What is to be announced later at this site."""

    def __init__(self, site: Site, db: Database, clock: Clock) -> None:
        self._site = site
        self._db = db
        self._clock = clock

    def state(self) -> JsonObject:
        """Return what waits, soonest first."""
        return {
            str(row.schedule_id): {"kind": row.kind.value, "label": row.label, "due_at": row.due_at.isoformat()}
            for row in schedules.waiting(self._db)
        }

    def _is_kept(self, did: Did, **_: object) -> bool:
        return isinstance(did.output, int) and schedules.find(self._db, did.output) is not None

    def _is_gone(self, did: Did, **_: object) -> bool:
        return isinstance(did.output, int) and schedules.find(self._db, did.output) is None

    def _restart(self, name: str | None) -> ToolCall | None:
        row = self._one(ScheduledKind.COUNTDOWN, name)
        if isinstance(row, CannotDo):
            return None
        left_min = max((row.due_at - self._clock.now()).total_seconds() / 60, 0.01)
        return declare.call(Timers.set_timer, minutes=round(left_min, 2), name=row.label)

    def _remind_again(self, text: str | None) -> ToolCall | None:
        row = self._one(ScheduledKind.REMINDER, text)
        if isinstance(row, CannotDo):
            return None
        return declare.call(Timers.set_reminder, text=row.label, at=row.due_at.isoformat())

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_kept, undoable=True)
    def set_timer(
        self,
        minutes: Annotated[float, Field(gt=0, le=MAX_TIMER_MIN), Unit("min")],
        name: Annotated[str | None, Field(min_length=1, max_length=60)] = None,
    ) -> Did | CannotDo:
        """Start a countdown timer that rings after some minutes.

        Args:
            minutes: length of the timer, in minutes
            name: what the timer is for
        """
        label = name or "timer"
        said = f"The timer is up: {label}." if name else "The timer is up."
        call = declare.call(System.announce, text=said)
        number = schedules.add_countdown(self._db, label, call, minutes * 60, self._clock.moment())
        if number is None:
            return FULL
        rings_at = self._local(self._clock.now() + timedelta(minutes=minutes))
        undo = declare.call(Timers.cancel_timer, name=f"#{number}")
        return Did(f"Timer #{number} ({label}) rings at {rings_at:%H:%M:%S}.", number, undo)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_gone, undo=_restart)
    def cancel_timer(self, name: Annotated[str | None, Field(min_length=1, max_length=60)] = None) -> Did | CannotDo:
        """Cancel or stop a countdown timer.

        Args:
            name: what the timer is for, or its number
        """
        row = self._one(ScheduledKind.COUNTDOWN, name)
        if isinstance(row, CannotDo):
            return row
        schedules.remove(self._db, row.schedule_id)
        return Did(f"Timer #{row.schedule_id} ({row.label}) is cancelled.", row.schedule_id)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_kept, undoable=True)
    def set_reminder(self, text: Text, at: datetime) -> Did | CannotDo:
        """Remind someone of something at a time.

        Args:
            text: what to be reminded of
            at: when to be reminded
        """
        due_at = self._aware(at)
        if due_at <= self._clock.now():
            return CannotDo(f"{self._local(due_at):%A %H:%M} has passed already.")
        call = declare.call(System.announce, text=f"Reminder: {text}")
        number = schedules.add_reminder(self._db, text, call, due_at)
        if number is None:
            return FULL
        undo = declare.call(Timers.cancel_reminder, text=f"#{number}")
        return Did(f"Reminder #{number} on {self._local(due_at):%A %d %B at %H:%M}: {text}.", number, undo)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_gone, undo=_remind_again)
    def cancel_reminder(self, text: Text | None = None) -> Did | CannotDo:
        """Cancel or forget a reminder.

        Args:
            text: what the reminder is about, or its number
        """
        row = self._one(ScheduledKind.REMINDER, text)
        if isinstance(row, CannotDo):
            return row
        schedules.remove(self._db, row.schedule_id)
        return Did(f"Reminder #{row.schedule_id} ({row.label}) is cancelled.", row.schedule_id)

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def list_timers(self) -> Did | CannotDo:
        """List the timers, reminders and schedules that are set."""
        rows = schedules.waiting(self._db)
        if not rows:
            return Did("No timers, reminders or schedules are set.", [])
        parts = [f"#{r.schedule_id} {r.label} ({_SPOKEN[r.kind]} {self._local(r.due_at):%a %d %b %H:%M})" for r in rows]
        return Did("; ".join(parts) + ".", [r.schedule_id for r in rows])

    def _one(self, kind: ScheduledKind, name: str | None) -> Scheduled | CannotDo:
        return find_one(
            schedules.waiting(self._db, kind), name, "timer" if kind is ScheduledKind.COUNTDOWN else "reminder"
        )

    def _aware(self, at: datetime) -> datetime:
        """Return *at* in UTC; a time without a zone is the site's."""
        if at.tzinfo is None and self._site.zone is not None:
            at = at.replace(tzinfo=self._site.zone)
        return at.astimezone(UTC)

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self._site.zone)


def find_one(rows: list[Scheduled], name: str | None, what: str) -> Scheduled | CannotDo:
    """Return the row that *name* means: its number, its words, part of its words, or the only one there is."""
    if not rows:
        return CannotDo(f"No {what} is set.")
    if name is None:
        found = rows
    else:
        folded = name.casefold().strip()
        number = folded.removeprefix("#")
        found = [r for r in rows if number.isdecimal() and r.schedule_id == int(number)]
        found = found or [r for r in rows if r.label.casefold() == folded]
        found = found or [r for r in rows if folded in r.label.casefold()]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"#{r.schedule_id} {r.label}" for r in rows)
    return CannotDo(f"{'No' if not found else 'More than one'} {what} fits: {listed}.")
