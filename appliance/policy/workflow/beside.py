"""The rules beside the states, asked about one call; each says what, why and how to get there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.contracts.verdict import Confirm, Deny, Verdict
from appliance.contracts.workflow import Weighed
from appliance.policy.workflow import selecting
from appliance.policy.workflow.compiled import Compiled, RuleLaw
from appliance.policy.workflow.expression import Look
from appliance.policy.workflow.measuring import explained, weighed
from appliance.policy.workflow.run import RunState, Use, Who
from appliance.policy.workflow.timing import elapsed_s, is_within
from appliance.policy.workflow.words import PEOPLE, Role, duration

_PEOPLE: Final = (*PEOPLE, "viewer")


class Question(NamedTuple):
    """What the rules are asked about."""

    call: GroundedCall
    spec: ToolSpec
    who: Who
    confirmed: bool
    now: Moment
    look: Look


class Answer(NamedTuple):
    """What one rule said."""

    verdict: Verdict | None
    weighed: Weighed


def asked(law: Compiled, run: RunState, question: Question) -> Iterator[Answer]:
    """Ask every rule that is about this call."""
    for beside in law.rules:
        answer = asked_of(law, run, beside, question)
        if answer is not None:
            yield answer


def asked_of(law: Compiled, run: RunState, beside: RuleLaw, q: Question) -> Answer | None:
    """Ask one rule; None where it is not about this call."""
    rule = beside.rule
    mine = selecting.any_matches(rule.tools, q.spec, q.call.arguments)
    exclusive = rule.exclusive
    other = exclusive is not None and selecting.any_matches(exclusive.against, q.spec, q.call.arguments)
    if not mine and not other:
        return None
    return answer_of(law, run, beside, q, mine=mine, other=other)


def answer_of(law: Compiled, run: RunState, beside: RuleLaw, q: Question, *, mine: bool, other: bool) -> Answer:
    """Ask a rule that is about the call.

    Args:
        mine: the rule's own tools mean the call.
        other: what they exclude means it.
    """
    rule = beside.rule
    if rule.quiet is not None:
        return _quiet(law, beside, q)
    if rule.limit is not None:
        return _limit(run, beside, q)
    if rule.exclusive is not None:
        return _exclusive(run, beside, q, mine=mine, other=other)
    if rule.roles is not None:
        allowed = q.who.role in rule.roles
        reason = f"{q.call.tool} is for the roles {', '.join(rule.roles)}; this comes from the role {q.who.role}."
        return _answer(beside, allowed, f"role {q.who.role} in {', '.join(rule.roles)}", reason, _whom(rule.roles))
    if rule.confirm is not None:
        return _confirm(beside, q)
    assert beside.guard is not None  # a rule has exactly one kind, and this is the last
    found, said = weighed(f"rules.{beside.name}", beside.guard, q.look)
    if found is True:
        return Answer(None, said)
    remedy = f"Ask again once `{beside.guard.text}`."
    return Answer(_denied(beside, f"{q.call.tool} is interlocked: {explained(said)}.", remedy), said)


def _quiet(law: Compiled, beside: RuleLaw, q: Question) -> Answer:
    quiet = beside.rule.quiet
    assert quiet is not None  # the caller looked
    rests = is_within(quiet.start, quiet.end, quiet.days, q.now, law.zone)
    text = f"quiet from {quiet.start} to {quiet.end}"
    if rests is None:
        reason = f"{q.call.tool} has quiet hours ({quiet.start} to {quiet.end}), and the device does not know the time."
        unknown = Weighed(what=f"rules.{beside.name}", said="unknown", text=text, why="the clock is not trusted")
        return Answer(_denied(beside, reason, "Set the clock, or let it be set by a time service."), unknown)
    reason = f"{q.call.tool} rests from {quiet.start} to {quiet.end}."
    return _answer(beside, not rests, f"not {text}", reason, f"Ask again after {quiet.end}.")


def _limit(run: RunState, beside: RuleLaw, q: Question) -> Answer:
    limit = beside.rule.limit
    assert limit is not None  # the caller looked
    recent = [use for use in run.used.get(beside.name, ()) if _is_recent(use, limit.per, q.now)]
    if limit.each == "tool":
        recent = [use for use in recent if use.tool == q.call.tool]
    elif limit.each == "origin":
        recent = [use for use in recent if use.role == q.who.role]
    text = f"{len(recent)} of {limit.calls} calls in {duration(limit.per)}"
    oldest = max((elapsed_s(use.at, q.now) or 0.0 for use in recent[-limit.calls :]), default=0.0)
    reason = f"{q.call.tool} was called {len(recent)} times in {duration(limit.per)}; {limit.calls} are allowed."
    remedy = f"Ask again in {duration(max(1.0, round(limit.per - oldest)))}."
    return _answer(beside, len(recent) < limit.calls, text, reason, remedy)


def _exclusive(run: RunState, beside: RuleLaw, q: Question, *, mine: bool, other: bool) -> Answer:
    exclusive = beside.rule.exclusive
    assert exclusive is not None  # the caller looked
    against = {side for side, is_there in (("with", mine), ("tools", other)) if is_there}
    # A call that is on both sides keeps a distance from every other tool of the rule, not from itself.
    near = [
        use
        for use in run.used.get(beside.name, ())
        if use.side in against
        and not (mine and other and use.tool == q.call.tool)
        and _is_recent(use, exclusive.within, q.now)
    ]
    text = f"nothing of the other side within {duration(exclusive.within)}"
    other_side = exclusive.against if near and near[-1].side == "with" else beside.rule.tools
    last = " or ".join(map(selecting.described, other_side))
    reason = f"{last} was called less than {duration(exclusive.within)} ago, and {q.call.tool} keeps that distance."
    passed = (elapsed_s(near[-1].at, q.now) or 0.0) if near else 0.0
    remedy = f"Ask again in {duration(max(1.0, round(exclusive.within - passed)))}."
    return _answer(beside, not near, text, reason, remedy)


def _whom(roles: tuple[Role, ...]) -> str:
    people = [role for role in roles if role in _PEOPLE]
    if not people:
        return f"Nobody asks for it: it is left to the {' or the '.join(roles)}."
    return f"Somebody in the role {' or '.join(people)} asks, with `--as NAME`."


def _confirm(beside: RuleLaw, q: Question) -> Answer:
    below = beside.rule.confirm.below if beside.rule.confirm is not None else None
    needed = q.spec.risk is not Risk.READ and (below is None or q.call.confidence < below)
    text = "a person confirms" if below is None else f"confidence of {below:g} or more, or a person confirms"
    said = Weighed(
        what=f"rules.{beside.name}",
        said="false" if needed and not q.confirmed else "true",
        text=text,
        values={"confidence": round(q.call.confidence, 4), "confirmed": q.confirmed},
    )
    if not needed or q.confirmed:
        return Answer(None, said)
    why = beside.rule.why or f"{q.call.tool} needs a yes"
    return Answer(Confirm(rule=_named(beside), question=f"{why}. Do it?"), said)


def _is_recent(use: Use, within_s: float, now: Moment) -> bool:
    passed = elapsed_s(use.at, now)
    return passed is None or passed < within_s


def _answer(beside: RuleLaw, holds: bool, text: str, reason: str, remedy: str) -> Answer:  # noqa: FBT001 -- the answer itself
    said = Weighed(what=f"rules.{beside.name}", said="true" if holds else "false", text=text)
    return Answer(None if holds else _denied(beside, reason, remedy), said)


def _denied(beside: RuleLaw, reason: str, remedy: str) -> Deny:
    why = f" {beside.rule.why.rstrip('.')}." if beside.rule.why else ""
    return Deny(rule=_named(beside), reason=f"{reason}{why}", remedy=remedy)


def _named(beside: RuleLaw) -> str:
    return f"rule:{beside.name}"
