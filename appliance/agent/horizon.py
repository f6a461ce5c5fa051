"""How far back `N days ago` is, on a clock that may be wrong.

What age deletes cannot be brought back, so age counts only while something vouches for the wall clock, and a clock that
jumps ahead by years is believed a week at a time: for every day that the device runs. That leaves somebody the time to
set it right. A device that was off for a year catches up within two months.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.contracts.clock import Clock
from appliance.storage import meta
from appliance.storage.database import Database

CATCH_UP: Final = 7
"""Days that the horizon may move in one day of running."""

_KEEP_EVERY: Final = timedelta(hours=1)


class Horizon:
    """One horizon that only moves as fast as it may; kept across restarts."""

    def __init__(self, db: Database, clock: Clock, name: str, days: float) -> None:
        self._db = db
        self._clock = clock
        self._key = f"horizon-{name}"
        self._days = days
        self._at: datetime | None = None
        self._looked_s = clock.monotonic_s()

    def now(self) -> datetime | None:
        """Return before when something is too old; None when that is not limited, or nobody knows the time."""
        now_s = self._clock.monotonic_s()
        elapsed, self._looked_s = now_s - self._looked_s, now_s
        if not self._days or not self._clock.is_trusted():
            return None
        wanted = self._clock.now() - timedelta(days=self._days)
        kept = meta.get(self._db, self._key)
        before = self._at or (self._oldest() or wanted if kept is None else datetime.fromisoformat(kept))
        self._at = min(wanted, before + CATCH_UP * timedelta(seconds=max(0.0, elapsed)))
        if kept is None or abs(self._at - datetime.fromisoformat(kept)) >= _KEEP_EVERY:
            meta.put(self._db, self._key, self._at.isoformat())
        return self._at

    def behind(self) -> timedelta:
        """Return by how much the wall clock is ahead of what is believed."""
        if self._at is None:
            return timedelta(0)
        return max(timedelta(0), self._clock.now() - timedelta(days=self._days) - self._at)

    def _oldest(self) -> datetime | None:
        row = self._db.row(
            "select at from audit where iif(json_valid(body), json_extract(body, '$.clock'), null) = 'trusted'"
            " order by seq limit 1"
        )
        return None if row is None else datetime.fromisoformat(row["at"])
