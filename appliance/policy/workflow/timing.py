"""How long ago, and which time of day: durations from the monotonic clock, times of day only from a trusted one.

Covers: a wall clock that jumps (within one start of the daemon only the monotonic clock counts), restarts, a device
that does not know the time. What cannot be known is None, never a guess.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from appliance.contracts.audit import Moment
from appliance.policy.workflow.words import DAYS, Day


def elapsed_s(since: Moment, now: Moment) -> float | None:
    """Return the seconds from *since* to *now*; None when the device cannot know."""
    if since.boot == now.boot:
        return max(0.0, now.monotonic_s - since.monotonic_s)
    if since.clock == now.clock == "trusted":
        passed = (now.at - since.at).total_seconds()
        return passed if passed >= 0 else None
    return None


def has_struck(time_of_day: str, since: Moment, now: Moment, zone: tzinfo) -> bool | None:
    """Return whether *time_of_day* has come since *since*; None with a clock that is not trusted."""
    passed = elapsed_s(since, now)
    if now.clock != "trusted" or passed is None:
        return None
    # What the wall clock would have shown at *since*, had it always been right: a jump of the clock strikes nothing.
    begun = now.at - timedelta(seconds=passed)
    return begun < _last(time_of_day, now.at.astimezone(zone)) <= now.at


def is_within(start: str, end: str, days: tuple[Day, ...], now: Moment, zone: tzinfo) -> bool | None:
    """Return whether it is between two times of day, perhaps past midnight; None with a clock that is not trusted."""
    if now.clock != "trusted":
        return None
    local = now.at.astimezone(zone)
    clock = f"{local:%H:%M}"
    today, yesterday = DAYS[local.weekday()], DAYS[(local.weekday() - 1) % 7]
    if start <= end:
        return start <= clock < end and today in days
    return (clock >= start and today in days) or (clock < end and yesterday in days)


def stamp(moment: Moment) -> str:
    """Write a moment in some thirty characters, to the millisecond; only from a trusted clock with the time of day."""
    wall_ms = round(moment.at.timestamp() * 1000) if moment.clock == "trusted" else 0
    return f"{moment.boot} {round(moment.monotonic_s * 1000)} {wall_ms}"


def stamped(text: str) -> Moment:
    """Read what `stamp` writes.

    Raises:
        ValueError: it is no stamp.
    """
    boot, up_ms, wall_ms = map(int, text.split(" "))
    at = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return Moment(at=at, monotonic_s=up_ms / 1000, boot=boot, clock="trusted" if wall_ms else "untrusted")


def _last(time_of_day: str, local: datetime) -> datetime:
    hour, minute = map(int, time_of_day.split(":"))
    found = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return found if found <= local else (found - timedelta(days=1))
