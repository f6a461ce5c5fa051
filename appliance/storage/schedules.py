"""What fires later: countdowns, reminders and weekly schedules, kept until they have.

A row's existence is its status: it is there while it still has to fire. What fires is a `ToolCall` with literals; this
module only remembers it, `agent.scheduler` moves it into the inbox.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError

from appliance.contracts.audit import Moment
from appliance.contracts.canonical import canonical
from appliance.contracts.record import Record
from appliance.contracts.toolcall import ToolCall
from appliance.errors import StorageError
from appliance.storage.database import Database

MAX_ROWS_N: Final = 200
"""Whoever sets more than this by voice has a microphone beside a television."""

CLOCK_JUMP_S: Final = 2.0
"""Wall and monotonic clock apart by more than this: the wall clock was set, so a countdown's wall time is rewritten."""


class ScheduledKind(StrEnum):
    """What a row is."""

    COUNTDOWN = "countdown"
    """So many seconds from now, whatever the wall clock does."""

    REMINDER = "reminder"
    """At a wall time, once."""

    WEEKLY = "weekly"
    """At a time of day on some days of the week, again and again."""


class Weekly(Record):
    """A time of day on days of the week, where the site is."""

    at: time
    days: Annotated[tuple[int, ...], Field(min_length=1, max_length=7)]
    """0 is Monday."""

    timezone: str | None = None
    """IANA name; None is the system's."""

    def next_after(self, instant: datetime) -> datetime:
        """Return the first occurrence after *instant*, in UTC."""
        local = self._local(instant)
        for ahead in range(-1, 9):
            occurrence = self._on(local + timedelta(days=ahead))
            if occurrence is not None and occurrence > instant:
                return occurrence
        raise AssertionError("a week holds an occurrence")

    def last_until(self, instant: datetime) -> datetime:
        """Return the last occurrence at or before *instant*, in UTC."""
        local = self._local(instant)
        for back in range(-1, 9):
            occurrence = self._on(local - timedelta(days=back))
            if occurrence is not None and occurrence <= instant:
                return occurrence
        raise AssertionError("a week holds an occurrence")

    def count(self, first: datetime, last: datetime) -> int:
        """Count the occurrences from *first* to *last*, which are occurrences themselves."""
        begin, end = self._local(first).date(), self._local(last).date()
        weeks, rest = divmod((end - begin).days + 1, 7)
        return weeks * len(set(self.days)) + sum((begin.weekday() + n) % 7 in self.days for n in range(rest))

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(ZoneInfo(self.timezone) if self.timezone else None)

    def _on(self, day: datetime) -> datetime | None:
        """Return the occurrence on *day*'s date: one on every date, also on those when the clocks change."""
        if day.weekday() not in self.days:
            return None
        naive = datetime.combine(day.date(), self.at)
        # A naive time is read in the system's zone by `astimezone`.
        aware = naive.replace(tzinfo=ZoneInfo(self.timezone)) if self.timezone else naive
        return aware.astimezone(UTC)


class Scheduled(Record):
    """A row: what fires, and when."""

    schedule_id: int
    kind: ScheduledKind
    label: str
    """The words that people know it by."""

    call: ToolCall
    due_at: datetime
    """The next firing on the wall clock, UTC."""

    weekly: Weekly | None = None
    duration_s: float | None = None
    """A countdown's whole length."""

    due_monotonic_s: float | None = None
    """When a countdown is due on the monotonic clock of start `boot`: untouched when the wall clock is set."""

    boot: int | None = None


def add_countdown(db: Database, label: str, call: ToolCall, duration_s: float, moment: Moment) -> int | None:
    """Keep a countdown of *duration_s* from *moment*.

    Returns:
        Its number, or None when there are `MAX_ROWS_N` already.
    """
    return _add(
        db,
        ScheduledKind.COUNTDOWN,
        label,
        call,
        moment.at + timedelta(seconds=duration_s),
        duration_s=duration_s,
        due_monotonic_s=moment.monotonic_s + duration_s,
        boot=moment.boot,
    )


def add_reminder(db: Database, label: str, call: ToolCall, due_at: datetime) -> int | None:
    """Keep a reminder for *due_at*; returns as `add_countdown` does."""
    return _add(db, ScheduledKind.REMINDER, label, call, due_at)


def add_weekly(db: Database, label: str, call: ToolCall, weekly: Weekly, moment: Moment) -> int | None:
    """Keep a schedule that fires first after *moment*; returns as `add_countdown` does."""
    return _add(db, ScheduledKind.WEEKLY, label, call, weekly.next_after(moment.at), weekly=weekly)


def remove(db: Database, schedule_id: int) -> bool:
    """Forget a row.

    Returns:
        Whether it was there.
    """
    return db.execute("delete from schedules where schedule_id = ?", (schedule_id,)).rowcount == 1


def find(db: Database, schedule_id: int) -> Scheduled | None:
    """Return the row with this number, if it still has to fire."""
    row = db.row("select * from schedules where schedule_id = ?", (schedule_id,))
    return None if row is None else _scheduled(dict(row))


def waiting(db: Database, *kinds: ScheduledKind) -> list[Scheduled]:
    """Return what still has to fire, soonest first; of *kinds*, or of all."""
    rows = [_scheduled(dict(row)) for row in db.rows("select * from schedules order by due_at, schedule_id")]
    return [row for row in rows if not kinds or row.kind in kinds]


def re_anchor(db: Database, schedule_id: int, due_at: datetime, due_monotonic_s: float, boot: int) -> None:
    """Rewrite when a countdown is due, after the wall clock was set or the daemon was started anew."""
    db.execute(
        "update schedules set due_at = ?, due_monotonic_s = ?, boot = ? where schedule_id = ?",
        (_text(due_at), due_monotonic_s, boot, schedule_id),
    )


def advance(db: Database, schedule_id: int, due_at: datetime) -> None:
    """Set a weekly row's next firing."""
    db.execute("update schedules set due_at = ? where schedule_id = ?", (_text(due_at), schedule_id))


def _add(
    db: Database,
    kind: ScheduledKind,
    label: str,
    call: ToolCall,
    due_at: datetime,
    *,
    weekly: Weekly | None = None,
    duration_s: float | None = None,
    due_monotonic_s: float | None = None,
    boot: int | None = None,
) -> int | None:
    with db.atomic() as connection:
        if connection.execute("select count(*) from schedules").fetchone()[0] >= MAX_ROWS_N:
            return None
        cursor = connection.execute(
            "insert into schedules (kind, label, call, due_at, weekly, duration_s, due_monotonic_s, boot)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                kind,
                label,
                canonical(call.model_dump(mode="json")).decode(),
                _text(due_at),
                None if weekly is None else canonical(weekly.model_dump(mode="json")).decode(),
                duration_s,
                due_monotonic_s,
                boot,
            ),
        )
        return cursor.lastrowid


def _text(instant: datetime) -> str:
    # One width and one zone, so that the order of the texts is the order of the instants.
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _scheduled(row: dict[str, object]) -> Scheduled:
    try:
        weekly = row["weekly"]
        return Scheduled(
            schedule_id=int(str(row["schedule_id"])),
            kind=ScheduledKind(str(row["kind"])),
            label=str(row["label"]),
            call=ToolCall.model_validate_json(str(row["call"])),
            due_at=datetime.fromisoformat(str(row["due_at"])),
            weekly=None if weekly is None else Weekly.model_validate_json(str(weekly)),
            duration_s=_number(row["duration_s"]),
            due_monotonic_s=_number(row["due_monotonic_s"]),
            boot=None if row["boot"] is None else int(str(row["boot"])),
        )
    except (ValidationError, ValueError) as error:
        raise StorageError(f"schedule {row['schedule_id']} cannot be read: {error}") from error


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
