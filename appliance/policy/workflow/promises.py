"""What every step and every judgement must keep, whatever the law says; read from the written law, not from its tables.

`explore` asks them of every reachable step of a law, and the property tests of random laws and random events.

Covers: arrows that were not drawn or whose guard does not hold, approvals by too few or the wrong people, states that
outlive their deadline, tools outside their state, caps, rules beside the states, runs that cannot be written.
Does not cover: whether the law is what its author meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.workflow import written_law
from appliance.policy.workflow.judge import Judged
from appliance.policy.workflow.language import Approval, Arrow, Deadline, Interrupt
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.run import (
    Approved,
    Context,
    Emergency,
    Ended,
    Event,
    Given,
    Looked,
    Resumed,
    RunState,
    Said,
    Stepped,
    Who,
)
from appliance.policy.workflow.timing import elapsed_s, has_struck, is_within
from appliance.policy.workflow.words import RETURN

_RANK = {"viewer": 0, "operator": 1, "approver": 2, "admin": 3}


class Moved(NamedTuple):
    """A run before and after one event."""

    before: RunState
    event: Event
    now: Moment
    context: Context
    stepped: Stepped


def kept(loaded: Loaded, moved: Moved) -> Iterator[str]:
    """Yield every promise that a step breaks."""
    run, record = moved.stepped.run, moved.stepped.record
    if run is not moved.before and RunState.model_validate_json(run.model_dump_json()) != run:
        yield "a run that is written and read is another one"
    stays = record.kind in {"illegal", "denied", "held", "lapsed", "parked", "approved", "noted"}
    if stays and run.levels != moved.before.levels and not isinstance(moved.event, Resumed):
        yield f"{record.kind}, and yet the state changed"
    if record.kind in {"moved", "returned"}:
        yield from _arrow(loaded, moved)
    elif isinstance(moved.event, Looked | Resumed):
        yield from _rests(loaded, moved)
    if isinstance(moved.event, Emergency) and run.levels[0].state != loaded.law.safe:
        yield f"an emergency leads to {run.state}"
    if isinstance(moved.event, Emergency) and (run.stack or run.pending or any(o.kind == "exit" for o in run.owed)):
        yield "an emergency leaves something open"
    if len(run.stack) > len(loaded.law.interrupts):
        yield "more states are interrupted than there are interrupts"


def _arrow(loaded: Loaded, moved: Moved) -> Iterator[str]:
    record, event = moved.stepped.record, moved.event
    if record.way == "safe":
        if not isinstance(event, Emergency):
            yield "it went to the safe state without an emergency"
        return
    drawn = written_law.at(loaded.law, record.way)
    match drawn:
        case Interrupt(event=said, when=when):
            if said is not None and not (isinstance(event, Said) and event.event == said):
                yield f"{record.way} broke in without being said"
            if not moved.stepped.run.stack:
                yield f"{record.way} broke in and left no way back"
            yield from _guard(loaded, moved, when)
        case Deadline(after=after_s):
            yield from _time_is_over(moved, record.way, after_s)
            yield from _target(loaded, moved, drawn.to)
        case Arrow():
            yield from _cause(loaded, moved, drawn)
            yield from _guard(loaded, moved, drawn.when)
            yield from _target(loaded, moved, drawn.to)
        case _:  # the cap of a state: its path ends in `calls`
            state = written_law.state(loaded, moved.before.state)
            if state.calls is None or moved.before.calls_n < state.calls.max:
                yield f"{record.way} was taken with {moved.before.calls_n} calls"


def _cause(loaded: Loaded, moved: Moved, arrow: Arrow) -> Iterator[str]:
    event, way = moved.event, moved.stepped.record.way
    if arrow.approve is not None:
        yield from _people(moved, arrow.approve)
        return
    if arrow.event is not None:
        if not (isinstance(event, Said) and event.event == arrow.event):
            yield f"{way} was taken though nobody said {arrow.event}"
        elif event.who.role not in loaded.law.events[arrow.event].by:
            yield f"{way} was taken though {event.who.role} may not say {arrow.event}"
    elif arrow.tool is not None:
        if not (isinstance(event, Ended) and (arrow.result or "done") in {"any", event.result}):
            yield f"{way} was taken though no such call ended so"
    elif arrow.after is not None:
        yield from _time_is_over(moved, way, arrow.after)
    elif arrow.at is not None:
        struck = has_struck(arrow.at, moved.before.levels[-1].entered, moved.now, loaded.compiled.zone)
        if struck is not True:
            yield f"{way} was taken though it had not struck {arrow.at}"
    if arrow.event is None and arrow.tool is None and not isinstance(event, Looked | Resumed):
        yield f"{way} was taken without a look"


def _people(moved: Moved, need: Approval) -> Iterator[str]:
    pending, event = moved.before.pending, moved.event
    if pending is None or not isinstance(event, Approved) or not event.yes or event.of != pending.approval_id:
        yield "an arrow behind an approval was taken without one"
        return
    before = (one for one in pending.given if one.who.person not in event.void)
    given = (*before, Given(of=event.of, who=event.who, at=moved.now))
    yield from _enough(given, need, pending.approval_id, pending.by.person, moved.now)
    passed = elapsed_s(pending.at, moved.now)
    if passed is None or passed > need.within:
        yield "an arrow was approved after its time"


def _enough(given: tuple[Given, ...], need: Approval, of: str, by: str, now: Moment) -> Iterator[str]:
    people = {
        one.who.person
        for one in given
        if one.of == of
        and _RANK.get(one.who.role, -1) >= _RANK[need.role]
        and (passed := elapsed_s(one.at, now)) is not None
        and passed <= need.within
        and not (need.others and one.who.person == by)
    }
    if len(people) < need.people:
        yield f"approved by {len(people)} people, and {need.people} are needed"


def _time_is_over(moved: Moved, way: str, after_s: float) -> Iterator[str]:
    passed = [elapsed_s(level.entered, moved.now) for level in moved.before.levels]
    if not any(p is None or p >= after_s for p in passed):
        yield f"{way} was taken after {passed} s, before its {after_s} s"


def _guard(loaded: Loaded, moved: Moved, text: str | None) -> Iterator[str]:
    if text is not None and written_law.truth(loaded, text, moved.now, moved.context) is not True:
        yield f"{moved.stepped.record.way} was taken though `{text}` does not hold"


def _target(loaded: Loaded, moved: Moved, to: str) -> Iterator[str]:
    after, run = moved.stepped.record.after, moved.before
    if to == RETURN:
        if not run.stack or after != run.stack[-1].levels[-1].state:
            yield f"it returned to {after}"
        return
    before = run.state.split("/")
    # From the innermost part outwards: a name is a state there, or an outcome that leads one level up.
    for depth in range(len(before) - 1, -1, -1):
        around = before[:depth]
        names = written_law.states_in(loaded, around)
        if to in names:
            wanted = "/".join([*around, to])
            if after != wanted and not after.startswith(f"{wanted}/"):
                yield f"drawn to {wanted}, it went to {after}"
            return
        holder = written_law.state(loaded, "/".join(around)) if around else None
        to = to if holder is None else holder.outcomes.get(to, to)
        if to == RETURN:
            return
    yield f"{to} is no state that the arrow could mean"


def _rests(loaded: Loaded, moved: Moved) -> Iterator[str]:
    """After a look nothing is overdue."""
    for level in moved.before.levels:
        deadline = written_law.state(loaded, level.state).deadline
        passed = elapsed_s(level.entered, moved.now)
        if deadline is not None and (passed is None or passed >= deadline.after):
            yield f"{level.state} outlives its deadline"


def lawful(
    loaded: Loaded,
    run: RunState,
    call: GroundedCall,
    spec: ToolSpec,
    who: Who,
    now: Moment,
    context: Context,
    judged: Judged,
    *,
    given: tuple[Given, ...],
    subject: str,
    act: bool = False,
) -> Iterator[str]:
    """Yield every promise that an allowed call breaks.

    Args:
        act: the law's own; it is judged by the tools of the state that owes it.
    """
    verdict = judged.verdict
    if verdict is None:
        if loaded.law.governs is None or any(written_law.means(one, spec, call) for one in loaded.law.governs):
            yield f"{call.tool} is governed, and was not judged"
        return
    if verdict.verdict != "allow":
        if verdict.verdict == "deny" and not (verdict.reason and verdict.remedy):
            yield f"a denial of {call.tool} without reason or remedy"
        return
    owed = next((one for one in run.owed if one.act_id == who.person), None) if act else None
    state = written_law.state(loaded, run.state if owed is None else owed.state)
    grants = [grant for grant in state.tools if written_law.means(grant, spec, call)]
    held = [g for g in grants if g.when is None or written_law.truth(loaded, g.when, now, context) is True]
    if not held:
        yield f"{call.tool} {call.arguments} is not allowed in {run.state}"
    elif held[0].approve is not None and not act:
        yield from _enough(given, held[0].approve, subject, who.person, now)
    if who.role == "system" and owed is None:
        yield f"an act that nobody owes was allowed: {call.tool}"
    if not act:
        if state.calls is not None and run.calls_n >= state.calls.max:
            yield f"call {run.calls_n + 1} in {run.state}, which allows {state.calls.max}"
        for level in run.levels:
            deadline = written_law.state(loaded, level.state).deadline
            passed = elapsed_s(level.entered, now)
            if deadline is not None and (passed is None or passed >= deadline.after):
                yield f"a call in {level.state} after its deadline"
    yield from _rules(loaded, call, spec, who, now, context)


def _rules(
    loaded: Loaded, call: GroundedCall, spec: ToolSpec, who: Who, now: Moment, context: Context
) -> Iterator[str]:
    for name, rule in loaded.law.rules.items():
        if not any(written_law.means(one, spec, call) for one in rule.tools):
            continue
        if rule.roles is not None and who.role not in rule.roles:
            yield f"rule {name}: {who.role} called {call.tool}"
        if rule.needs is not None and written_law.truth(loaded, rule.needs, now, context) is not True:
            yield f"rule {name}: {call.tool} though `{rule.needs}` does not hold"
        quiet = rule.quiet
        if quiet is not None and is_within(quiet.start, quiet.end, quiet.days, now, loaded.compiled.zone) is not False:
            yield f"rule {name}: {call.tool} in quiet hours"
