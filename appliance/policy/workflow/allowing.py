"""What a law allows now, as it is told to whoever was refused: never the refused call itself, never what would be too.

Covers: guards that do not hold or are unknown, bounds of arguments, rules beside the states that rest a tool whatever
its arguments, a latched emergency stop. What does not depend on the moment is found once for each state.
Does not cover: other laws and the device's own rules (each says its own denial), approvals and confirmations, which
are asked for when the call is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.policy.workflow import beside, expression, selecting
from appliance.policy.workflow.beside import Question
from appliance.policy.workflow.compiled import Allowed, Compiled, Held, Offer, Offers, RuleLaw
from appliance.policy.workflow.expression import Guard
from appliance.policy.workflow.run import RunState
from appliance.policy.workflow.words import Bounds, Selection, Wanted


def allowed_now(law: Compiled, run: RunState, refused: Question, *, stopped: bool) -> tuple[str, ...]:
    """Return the tools that the run's state allows now, with the bounds of their arguments where it sets some.

    Args:
        refused: the call that was denied; its tool is named only where other arguments would be allowed.
        stopped: the emergency stop is latched, so only what reads is allowed.
    """
    offers = law.offers.get(run.state)
    if offers is None:
        offers = law.offers[run.state] = _offers(law, run.state)
    always = offers.reading if stopped else offers.always
    names = tuple(name for name in always if name != refused.call.tool)
    if not offers.asked:
        return names
    answers: dict[object, bool] = {}
    found: dict[str, list[Mapping[str, Wanted]]] = {}
    for one in offers.asked:
        if stopped and not one.reads:
            continue
        if one.tool == refused.call.tool and selecting.matches_arguments(one.where, refused.call.arguments):
            continue
        if one.guard is not None and not _holds(one.guard, refused, answers):
            continue
        if not any(_rests(law, run, held, one.tool, refused, answers) for held in one.rules):
            found.setdefault(one.tool, []).append(one.where)
    return (*names, *(bounded(tool, *wheres) for tool, wheres in found.items()))


def bounded(tool: str, *wheres: Mapping[str, Wanted]) -> str:
    """Write a tool with what its arguments may be.

    >>> bounded("set_light_level", {"level_pct": Bounds(max=20)})
    'set_light_level (level_pct up to 20)'
    """
    if not all(wheres):
        return tool
    shown = (", ".join(f"{name} {_plain(wanted)}" for name, wanted in where.items()) for where in wheres)
    return f"{tool} ({'; or '.join(dict.fromkeys(shown))})"


def _offers(law: Compiled, state: str) -> Offers:
    always: list[str] = []
    reading: list[str] = []
    asked: list[Offer] = []
    for name, spec in law.tools.items():
        reads = spec.risk is Risk.READ
        offers = [
            Offer(name, grant.selection.where, grant.guard, tuple(_held(law.rules, spec, grant)), reads=reads)
            for grant in law.states[state].allowed
            if selecting.matches_tool(grant.selection.tool, spec)
        ]
        if any(not (one.where or one.guard or one.rules) for one in offers):
            always.append(name)
            reading += [name] * reads
        else:
            asked += offers
    return Offers(tuple(always), tuple(reading), tuple(asked))


def _held(rules: tuple[RuleLaw, ...], spec: ToolSpec, grant: Allowed) -> Iterator[Held]:
    """Yield the rules that are about every call of this grant; one that is about some of them rests no tool."""
    for one in rules:
        against = one.rule.exclusive.against if one.rule.exclusive is not None else ()
        mine, other = _covers(one.rule.tools, spec, grant), _covers(against, spec, grant)
        if (mine or other) and one.rule.confirm is None:
            yield Held(one, mine=mine, other=other)


def _covers(selections: tuple[Selection, ...], spec: ToolSpec, grant: Allowed) -> bool:
    known = grant.selection.where
    return any(
        selecting.matches_tool(one.tool, spec)
        and all(name in known and _is_within(known[name], wanted) for name, wanted in one.where.items())
        for one in selections
    )


def _is_within(one: Wanted, wider: Wanted) -> bool:
    match one:
        case Bounds(min=low, max=high):
            if not isinstance(wider, Bounds):
                return False
            return (wider.min is None or (low is not None and low >= wider.min)) and (
                wider.max is None or (high is not None and high <= wider.max)
            )
        case list():
            return all(selecting.fits(wider, value) for value in one)
        case _:
            return selecting.fits(wider, one)


def _holds(guard: Guard, refused: Question, answers: dict[object, bool]) -> bool:
    if guard.text not in answers:
        answers[guard.text] = expression.satisfied(guard, refused.look)[0] is True
    return answers[guard.text]


def _rests(law: Compiled, run: RunState, held: Held, tool: str, refused: Question, answers: dict[object, bool]) -> bool:
    rule = held.law.rule
    by_tool = rule.exclusive is not None or (rule.limit is not None and rule.limit.each == "tool")
    key = (held.law.name, held.mine, held.other, tool if by_tool else "")
    if key not in answers:
        question = refused._replace(call=GroundedCall(tool=tool)) if by_tool else refused
        answer = beside.answer_of(law, run, held.law, question, mine=held.mine, other=held.other)
        answers[key] = answer.verdict is not None
    return answers[key]


def _plain(wanted: Wanted) -> str:
    match wanted:
        case Bounds(min=None, max=high) if high is not None:
            return f"up to {high:g}"
        case Bounds(min=low, max=high):
            return " ".join(
                (*(() if low is None else (f"from {low:g}",)), *(() if high is None else (f"to {high:g}",)))
            )
        case list():
            return " or ".join(map(str, wanted))
        case _:
            return str(wanted)
