"""One event makes one step: (run, event) to (run', effects, record). Pure; at most one arrow is taken.

Covers: events out of order, arrows whose guards are unknown, approvals by too few, too late or twice the same person,
interrupts and the way back, deadlines before everything but interrupts, calls that end after their state was left,
power cuts between any two steps. Whatever happens is a record; nothing is raised into the loop.
Does not cover: whether a call may be made; `judge` decides that, and `Began` tells the outcome.
"""

from __future__ import annotations

from typing import Final, assert_never

from appliance.contracts.audit import Moment
from appliance.contracts.workflow import Step, StepKind
from appliance.policy.workflow import counting, owing
from appliance.policy.workflow.compiled import Compiled, Way
from appliance.policy.workflow.counting import Note
from appliance.policy.workflow.measuring import explained
from appliance.policy.workflow.people import approvers, is_named, is_same, outranks
from appliance.policy.workflow.run import (
    Approved,
    AskPeople,
    Began,
    Context,
    Effect,
    Emergency,
    Ended,
    Event,
    Frame,
    Given,
    Level,
    Looked,
    Owed,
    Pending,
    Resumed,
    RunState,
    Said,
    Stepped,
    Who,
)
from appliance.policy.workflow.timing import elapsed_s
from appliance.policy.workflow.walker import Walker
from appliance.policy.workflow.words import RETURN

MAX_OWED_N: Final = 64


def start(law: Compiled, run_id: str, now: Moment) -> Stepped:
    """Begin a run in the initial state."""
    levels = tuple(Level(state=name, entered=now) for name in law.states[law.initial].levels)
    run = RunState(run_id=run_id, workflow=law.name, version=law.version, digest=law.digest, levels=levels)
    acts, effects = owing.entered(law, run, law.initial, ())
    run = run.model_copy(update={"owed": acts})
    return Stepped(run, effects, _record(law, run, now, "started", {"kind": "started"}, before="", after=law.initial))


def apply(law: Compiled, run: RunState, event: Event, now: Moment, context: Context) -> Stepped:
    """Take *event* into account.

    Args:
        run: of exactly this version of the law; see `swap` for another one.
        context: what is measured now.
    """
    assert run.digest == law.digest, "a run is stepped by its own law"
    walker = Walker(law, run, event, now, context)
    walker.run, note = counting.counted(law, run, event, now)
    if isinstance(event, Emergency):
        law.fire("emergency", walker)
        return _moved(walker, note)
    if note.refused is not None:
        return _stayed(walker, note.refused, note.reason)
    if law.fire("urgent", walker) == "moved":
        return _moved(walker, note, set_aside=not isinstance(event, Looked))
    match event:
        case Said():
            return _said(walker, event)
        case Looked() | Resumed():
            return _looked(walker, note)
        case Began():
            return _stayed(walker, "noted", note.reason)
        case Ended():
            if note.counts and law.fire("ended", walker) == "moved":
                return _moved(walker, note)
            return _stayed(walker, "noted", note.reason)
        case Approved():
            return _approved(walker, event)
        case _ as never:
            assert_never(never)


def _said(walker: Walker, event: Said) -> Stepped:
    asked_n = len(walker.weighed)
    found = walker.law.fire(f"event:{event.event}", walker)
    if found == "illegal":
        return _stayed(walker, "illegal", f"nothing waits for {event.event} in {walker.before}")
    if found == "held":
        why = "; ".join(explained(one) for one in walker.weighed[asked_n:] if one.said != "true")
        return _stayed(walker, "held", why or f"{event.event} leads nowhere now")
    way = walker.taken
    assert way is not None  # the machine moved because of it
    if way.approve is None:
        return _moved(walker, Note())
    waiting = walker.run.pending
    if waiting is not None and waiting.way == way.key and not _has_lapsed(walker, waiting):
        return _stayed(walker, "illegal", f"{way.says()} already waits for approval")
    return _parked(walker, way, event.who)


def _parked(walker: Walker, way: Way, who: Who) -> Stepped:
    run, need = walker.run, way.approve
    assert need is not None  # the caller looked
    approval_id = f"{run.run_id}:{run.seq + 1}"
    pending = Pending(approval_id=approval_id, way=way.key, visit=run.visit, by=who, at=walker.now)
    walker.run = run.model_copy(update={"pending": pending})
    question = f"{walker.law.title}: {way.says()}, to {way.to}?"
    ask = AskPeople(
        approval_id=approval_id, role=need.role, people_n=need.people, within_s=need.within, question=question
    )
    return _stayed(walker, "parked", f"waits for {approvers(need)}", way=way, effects=(ask,))


def _looked(walker: Walker, note: Note) -> Stepped:
    pending = walker.run.pending
    # What a state owes on entry is done before a measurement or the time leads on: an oven that is cold already would
    # else be left without having been switched off. Interrupts and deadlines have been asked before this.
    owes = any(act.kind == "enter" and act.visit == walker.run.visit for act in walker.run.owed)
    if not owes and walker.law.fire("look", walker) == "moved":
        return _moved(walker, note)
    if pending is not None and _has_lapsed(walker, pending):
        walker.run = walker.run.model_copy(update={"pending": None})
        return _stayed(walker, "lapsed", "nobody approved in time")
    if isinstance(walker.event, Resumed):
        walker.run = counting.begun_anew(walker.run, walker.now)
    stayed = _stayed(walker, "noted", note.reason)
    # A look that changes nothing is no step: it needs no row.
    return stayed if note.reason else stayed._replace(run=walker.run)


def _has_lapsed(walker: Walker, pending: Pending) -> bool:
    way = walker.law.way(pending.way, walker.before)
    if way is None or way.approve is None or pending.visit != walker.run.visit:
        return True
    passed = elapsed_s(pending.at, walker.now)
    return passed is None or passed >= way.approve.within


def _approved(walker: Walker, event: Approved) -> Stepped:
    run, pending = walker.run, walker.run.pending
    if pending is None or pending.approval_id != event.of:
        return _stayed(walker, "illegal", "nothing waits for this approval")
    way = walker.law.way(pending.way, walker.before)
    if way is None or way.approve is None or _has_lapsed(walker, pending):
        walker.run = run.model_copy(update={"pending": None})
        return _stayed(walker, "lapsed", "it came too late")
    need = way.approve
    if event.void:
        pending = pending.model_copy(update={"given": _still_counted(pending, event)})
        walker.run = run = run.model_copy(update={"pending": pending})
    if not outranks(event.who.role, need.role):
        return _stayed(
            walker, "denied", f"approvals come from {approvers(need)}, not from the role {event.who.role}", way=way
        )
    if need.others and outranks(pending.by.role, "operator") and not is_named(pending.by):
        why = "whoever asked does not approve, and nobody knows who asked: it is asked with name and PIN"
        return _stayed(walker, "denied", why, way=way)
    if need.others and is_same(event.who.person, pending.by.person):
        return _stayed(walker, "denied", "whoever asked does not approve", way=way)
    if not event.yes:
        walker.run = run.model_copy(update={"pending": None})
        return _stayed(walker, "lapsed", f"{event.who.person} refuses", way=way)
    if any(is_same(given.who.person, event.who.person) for given in pending.given):
        return _stayed(walker, "illegal", f"{event.who.person} has approved already", way=way)
    pending = pending.model_copy(update={"given": (*pending.given, Given(of=event.of, who=event.who, at=walker.now))})
    if len(pending.given) < need.people:
        walker.run = run.model_copy(update={"pending": pending})
        return _stayed(walker, "approved", f"{len(pending.given)} of {need.people}", way=way)
    walker.run = run.model_copy(update={"pending": pending})
    # The guard is asked again: what held when somebody asked may not hold now.
    if walker.law.fire(f"approved:{way.key}", walker) == "moved":
        return _moved(walker, Note("approved"), given=pending.given)
    walker.run = run.model_copy(update={"pending": None})
    why = "; ".join(explained(one) for one in walker.weighed if one.said != "true")
    return _stayed(walker, "held", f"approved, but {why}", way=way)


def _still_counted(pending: Pending, event: Approved) -> tuple[Given, ...]:
    """Return the approvals that were given before *event* and are good still."""
    return tuple(one for one in pending.given if not any(is_same(one.who.person, name) for name in event.void))


def _moved(walker: Walker, note: Note, *, set_aside: bool = False, given: tuple[Given, ...] = ()) -> Stepped:
    """Leave the state by the arrow that was taken, and enter where it leads."""
    run, way, law, now = walker.run, walker.taken, walker.law, walker.now
    assert way is not None  # the machine moved because of it
    if way.to == RETURN and not run.stack:
        return _stayed(
            walker, "held", "there is nothing to return to: this state was not entered by an interrupt", way=way
        )
    stack, calls_n, visit, kind = run.stack, 0, run.visits_n + 1, "moved"
    leaving = tuple(act for act in run.owed if act.kind == "exit")
    effects: tuple[Effect, ...] = ()
    if way.cause == "interrupt":
        frame = Frame(levels=run.levels, calls_n=run.calls_n, visit=run.visit, interrupt=way.key)
        stack = (*stack, frame)
    elif way.cause != "emergency":
        acts, effects = owing.left(law, run, walker.before)
        leaving = (*leaving, *acts)
    if way.to == RETURN:
        frame = stack[-1]
        # Where it was: its clock has gone on and its calls are counted on, so an interrupt lengthens nothing.
        stack, levels, calls_n, visit, kind = stack[:-1], frame.levels, frame.calls_n, frame.visit, "returned"
        entering: tuple[Owed, ...] = ()
    else:
        names = law.states[way.to].levels
        stays = run.levels[: way.stays_in]
        levels = (*stays, *(Level(state=name, entered=now) for name in names[len(stays) :]))
        entering, more = owing.entered(law, run.model_copy(update={"visit": visit, "seq": run.seq + 1}), way.to, given)
        effects = (*effects, *more)
    after = levels[-1].state
    walker.run = run.model_copy(
        update={
            "levels": levels,
            "visit": visit,
            "visits_n": max(run.visits_n, visit),
            "calls_n": calls_n,
            "stack": stack,
            "pending": None,
            "owed": (*leaving, *entering)[-MAX_OWED_N:],
        }
    )
    return _finished(
        walker, "returned" if kind == "returned" else "moved", note.reason, way, after, effects, set_aside=set_aside
    )


def _stayed(
    walker: Walker, kind: StepKind, reason: str, *, way: Way | None = None, effects: tuple[Effect, ...] = ()
) -> Stepped:
    return _finished(walker, kind, reason, way, walker.before, effects, set_aside=False)


def _finished(
    walker: Walker,
    kind: StepKind,
    reason: str,
    way: Way | None,
    after: str,
    effects: tuple[Effect, ...],
    *,
    set_aside: bool,
) -> Stepped:
    run = walker.run.model_copy(update={"seq": walker.run.seq + 1, "context_version": walker.context.version})
    record = Step(
        kind=kind,
        run_id=run.run_id,
        workflow=run.workflow,
        version=run.version,
        seq=run.seq,
        at=walker.now,
        event=walker.event.model_dump(mode="json"),
        before=walker.before,
        after=after,
        way="" if way is None else way.key,
        cause="" if way is None else way.says(),
        outcome="" if way is None or kind != "moved" else way.outcome,
        set_aside=set_aside,
        reason=reason,
        weighed=tuple(walker.weighed),
        context_version=walker.context.version,
    )
    return Stepped(run, effects, record)


def _record(
    law: Compiled, run: RunState, now: Moment, kind: StepKind, event: dict[str, str], *, before: str, after: str
) -> Step:
    return Step(
        kind=kind,
        run_id=run.run_id,
        workflow=law.name,
        version=law.version,
        seq=run.seq,
        at=now,
        event=dict(event),
        before=before,
        after=after,
    )
