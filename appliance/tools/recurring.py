"""Recurring schedules: words understood once, when they are set; kept and repeated as a tool call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import time
from typing import Annotated, Final, Literal

from pydantic import Field

from appliance.contracts.clock import Clock
from appliance.contracts.toolcall import GroundedCall, ToolCall
from appliance.contracts.toolspec import Risk
from appliance.storage import schedules
from appliance.storage.database import Database
from appliance.storage.schedules import Scheduled, ScheduledKind, Weekly
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did
from appliance.tools.site import Site
from appliance.tools.timers import FULL, find_one

FAMILY: Final = "schedules"
Days = Literal[
    "every day", "weekdays", "weekends",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
]  # fmt: skip
_DAYS: Final[Mapping[Days, tuple[int, ...]]] = {
    "every day": (0, 1, 2, 3, 4, 5, 6), "weekdays": (0, 1, 2, 3, 4), "weekends": (5, 6),
    "monday": (0,), "tuesday": (1,), "wednesday": (2,), "thursday": (3,), "friday": (4,), "saturday": (5,),
    "sunday": (6,),
}  # fmt: skip

Understand = Callable[[str], GroundedCall | str]
"""Words to one checked call, or a sentence that says why not."""

Words = Annotated[str, Field(min_length=1, max_length=200)]


class Recurring:
    """What this site does by itself, again and again."""

    def __init__(self, site: Site, db: Database, clock: Clock, understand: Understand) -> None:
        self._site = site
        self._db = db
        self._clock = clock
        self._understand = understand

    def _is_kept(self, did: Did, **_: object) -> bool:
        return isinstance(did.output, dict) and self._kept(did.output.get("schedule_id")) is not None

    def _is_gone(self, did: Did, **_: object) -> bool:
        return self._kept(did.output) is None

    def _set_again(self, what: str | None) -> ToolCall | None:
        row = self._one(what)
        if isinstance(row, CannotDo) or row.weekly is None:
            return None
        days = next((name for name, numbers in _DAYS.items() if numbers == row.weekly.days), None)
        if days is None:
            return None
        return declare.call(Recurring.add_schedule, what=row.label, at=row.weekly.at.isoformat(), days=days)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_kept, undoable=True)
    def add_schedule(self, what: Words, at: time, days: Days = "every day") -> Did | CannotDo:
        """Schedule an action to repeat at a time of day: every day, on weekdays or on one day of the week.

        Args:
            what: the action to repeat, in words
            at: time of day
            days: days on which it repeats
        """
        understood = self._understand(what)
        if isinstance(understood, str):
            return CannotDo(f"That cannot be scheduled: {understood}")
        call = ToolCall(tool=understood.tool, literals=understood.arguments)
        weekly = Weekly(at=at.replace(tzinfo=None), days=_DAYS[days], timezone=self._site.timezone)
        number = schedules.add_weekly(self._db, what, call, weekly, self._clock.moment())
        if number is None:
            return FULL
        arguments = ", ".join(f"{name}={value}" for name, value in understood.arguments.items())
        return Did(
            f"Schedule #{number}, {days} at {at:%H:%M}: {understood.tool}({arguments}).",
            {"schedule_id": number, "tool": understood.tool, "arguments": understood.arguments},
            declare.call(Recurring.cancel_schedule, what=f"#{number}"),
        )

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_gone, undo=_set_again)
    def cancel_schedule(self, what: Words | None = None) -> Did | CannotDo:
        """Cancel an action that repeats.

        Args:
            what: the repeated action, in words, or its number
        """
        row = self._one(what)
        if isinstance(row, CannotDo):
            return row
        schedules.remove(self._db, row.schedule_id)
        return Did(f"Schedule #{row.schedule_id} ({row.label}) is cancelled.", row.schedule_id)

    def _one(self, what: str | None) -> Scheduled | CannotDo:
        return find_one(schedules.waiting(self._db, ScheduledKind.WEEKLY), what, "schedule")

    def _kept(self, schedule_id: object) -> Scheduled | None:
        return schedules.find(self._db, schedule_id) if isinstance(schedule_id, int) else None
