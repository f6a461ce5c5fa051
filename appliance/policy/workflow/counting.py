"""The book-keeping that an event needs wherever the run is: calls that begin and end, what rules remember, a restart.

Covers: a call that ends after its state was left, acts that were owed by another state, memories of unknown age.
Does not cover: whether anything moves; `step` asks the arrows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.workflow import StepKind
from appliance.policy.workflow import selecting
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.run import Began, Emergency, Ended, Event, Flying, Resumed, RunState, Said, Use
from appliance.policy.workflow.timing import elapsed_s, stamp, stamped

MAX_FLYING_N: Final = 64


class Note(NamedTuple):
    """What counting an event came to."""

    reason: str = ""
    refused: StepKind | None = None
    counts: bool = False
    """Of a call that has ended: it was begun in this visit of the state."""


def counted(law: Compiled, run: RunState, event: Event, now: Moment) -> tuple[RunState, Note]:
    """Do the book-keeping that an event needs wherever the run is."""
    match event:
        case Began():
            call = Flying(call_id=event.call_id, visit=run.visit, tool=event.tool, arguments=event.arguments)
            flying = (*run.flying, call)[-MAX_FLYING_N:]
            owed = tuple(act for act in run.owed if act.act_id != event.call_id)
            # An act that was owed by a state which has been left is not a call of this one.
            own = 0 if any(act.act_id == event.call_id and act.visit != run.visit for act in run.owed) else 1
            used = _used(law, run, event, now)
            changed = {"flying": flying, "owed": owed, "used": used, "calls_n": run.calls_n + own}
            return run.model_copy(update=changed), Note(f"{event.tool} begins")
        case Ended():
            flying = tuple(one for one in run.flying if one.call_id != event.call_id)
            left = tuple(act for act in run.owed if act.act_id != event.call_id)
            # Begun in this visit; or an act that was denied, which has never begun.
            counts = any(call.call_id == event.call_id and call.visit == run.visit for call in run.flying) or any(
                act.act_id == event.call_id and act.visit == run.visit and event.result == "denied" for act in run.owed
            )
            came_to = f"{event.tool}: {event.result}" + ("" if counts else ", begun in another state or not at all")
            return run.model_copy(update={"flying": flying, "owed": left}), Note(came_to, counts=counts)
        case Resumed():
            return _restamped(run, now), Note("goes on after a restart")
        case Emergency():
            return run.model_copy(update={"stack": (), "owed": (), "pending": None}), Note("emergency stop")
        case Said():
            declared = law.events.get(event.event)
            if declared is None:
                return run, Note(f"this workflow knows no event {event.event}", "illegal")
            if event.who.role not in declared.by:
                return run, Note(
                    f"{event.event} is said by: {', '.join(declared.by)}; not by {event.who.role}", "denied"
                )
    return run, Note()


def _restamped(run: RunState, now: Moment) -> RunState:
    """Let what a rule remembers of unknown age count as recent."""
    # To the millisecond, as it is written.
    at = stamped(stamp(now))
    used = {
        rule: tuple(use if elapsed_s(use.at, now) is not None else use.model_copy(update={"at": at}) for use in uses)
        for rule, uses in run.used.items()
    }
    return run.model_copy(update={"used": used})


def begun_anew(run: RunState, now: Moment) -> RunState:
    """Let a state of unknown age begin now; its deadline, if it has one, has been taken for over by then."""
    levels = tuple(
        level if elapsed_s(level.entered, now) is not None else level.model_copy(update={"entered": now})
        for level in run.levels
    )
    return run.model_copy(update={"levels": levels})


def _used(law: Compiled, run: RunState, event: Began, now: Moment) -> dict[str, tuple[Use, ...]]:
    spec = law.tools.get(event.tool)
    used = dict(run.used)
    for beside in law.rules:
        limit, exclusive = beside.rule.limit, beside.rule.exclusive
        if spec is None or (limit is None and exclusive is None):
            continue
        sides: list[str] = []
        if selecting.any_matches(beside.rule.tools, spec, event.arguments):
            sides.append("tools")
        if exclusive is not None and selecting.any_matches(exclusive.against, spec, event.arguments):
            sides.append("with")
        for side in sides:
            # To the millisecond, as it is kept: what is read again after a restart is what was judged by.
            at = stamped(stamp(now))
            use = Use.model_validate({"tool": event.tool, "role": event.who.role, "side": side, "at": at})
            within_s = exclusive.within if limit is None and exclusive is not None else limit.per if limit else 0.0
            recent = (one for one in used.get(beside.name, ()) if (elapsed_s(one.at, now) or 0.0) < within_s)
            # A limit needs no more than it allows for each of its counts; of an exclusion only the last of each tool.
            used[beside.name] = _kept((*recent, use), 1 if limit is None else limit.calls)
    return used


def _kept(uses: tuple[Use, ...], most_n: int) -> tuple[Use, ...]:
    counts: dict[tuple[str, str, str], int] = {}
    kept = []
    for use in reversed(uses):
        key = (use.tool, use.role, use.side)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most_n:
            kept.append(use)
    return tuple(reversed(kept))
