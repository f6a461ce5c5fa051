"""When a run must be looked at next, if nothing else happens before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo

from appliance.contracts.audit import Moment
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.run import RunState
from appliance.policy.workflow.timing import elapsed_s


def next_look_s(law: Compiled, run: RunState, now: Moment) -> float | None:
    """Return the seconds until a deadline, an `after`, an `at` or the end of an approval; None where nothing is due."""
    return _soonest_s((*_moves_s(law, run, now), *_lapse_s(law, run, now)))


def next_move_s(law: Compiled, run: RunState, now: Moment) -> float | None:
    """Return the seconds until a deadline, an `after` or an `at`; None where nothing moves on by the clock alone."""
    return _soonest_s(_moves_s(law, run, now))


def _soonest_s(left_s: Iterable[float]) -> float | None:
    return min((left for left in left_s if left > 0), default=None)


def _moves_s(law: Compiled, run: RunState, now: Moment) -> Iterator[float]:
    state = law.states[run.state]
    entered = {level.state: level.entered for level in run.levels}
    for way in (*state.urgent, *state.ways):
        if way.cause in {"after", "deadline"} and way.level in entered:
            passed = elapsed_s(entered[way.level], now)
            if passed is not None:
                yield way.after_s - passed
        elif way.cause == "at" and now.clock == "trusted":
            yield (_next(way.at, now.at, law.zone) - now.at).total_seconds()


def _lapse_s(law: Compiled, run: RunState, now: Moment) -> Iterator[float]:
    if run.pending is not None:
        waiting = law.way(run.pending.way, run.state)
        passed = elapsed_s(run.pending.at, now)
        if waiting is not None and waiting.approve is not None and passed is not None:
            yield waiting.approve.within - passed


def _next(time_of_day: str, at: datetime, zone: tzinfo) -> datetime:
    hour, minute = map(int, time_of_day.split(":"))
    local = at.astimezone(zone)
    found = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return found if found > local else found + timedelta(days=1)
