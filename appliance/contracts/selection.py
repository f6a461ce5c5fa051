"""Which records a person means: those of one request, or a run of them by number or by time."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from appliance.contracts.record import Record


class Selection(Record):
    """One way of saying it, not several: a request, numbers, or times."""

    request_id: str | None = None
    after: int | None = Field(default=None, ge=0)
    """Records above this number."""

    before: int | None = Field(default=None, ge=1)
    """Records below this number; up to the newest of now when absent."""

    since: datetime | None = None
    """Records written at this time or later, by their own clock."""

    until: datetime | None = None
    """Records written at this time or earlier."""

    epoch: str | None = None
    """An earlier epoch's records, which `past` holds; the current one's when absent."""

    def fault(self) -> str | None:
        """Say what is wrong with it, if anything."""
        ways = [
            self.request_id is not None,
            self.after is not None or self.before is not None,
            self.since is not None or self.until is not None,
        ]
        if sum(ways) != 1:
            return "say which records in one way: a request, numbers (after, before), or times (from, to)"
        if any(at is not None and at.tzinfo is None for at in (self.since, self.until)):
            return "a time needs its zone, e.g. 2026-11-22T03:12:00Z"
        return None
