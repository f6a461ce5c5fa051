"""What the model checker tells apart: runs that go on alike, values that guards answer alike, calls a law means."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from typing import Final

from appliance.contracts.audit import Moment
from appliance.contracts.record import JsonObject
from appliance.policy.workflow import satisfy, selecting
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.expression import Node
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.run import RunState
from appliance.policy.workflow.timing import elapsed_s
from appliance.policy.workflow.words import Bounds, Selection

_FAR_S: Final = 90_000.0
"""Beyond a day no law of ours tells times apart unless a deadline does; those are shorter or looked at exactly."""


class Key:
    """What of a run makes a difference to how it goes on."""

    def __init__(self, law: Compiled) -> None:
        quiet = [rule.rule.quiet for rule in law.rules if rule.rule.quiet is not None]
        struck = {way.at for state in law.states.values() for way in state.ways if way.cause == "at"}
        self._times = sorted(struck | {time for one in quiet for time in (one.start, one.end)})
        self._zone = law.zone
        # The age of a state in which nothing waits for time makes no difference.
        self._aging = {
            way.level
            for state in law.states.values()
            for way in (*state.ways, *state.urgent)
            if way.cause in {"after", "deadline", "at"}
        }
        self._capped = {name for name, state in law.states.items() if state.cap_n is not None}

    def of(self, run: RunState, now: Moment) -> object:
        """Return the same for two runs that go on in the same ways."""

        def age(at: Moment, level: str = "") -> float:
            passed = elapsed_s(at, now)
            return (
                0.0 if level and level not in self._aging else -1.0 if passed is None else min(round(passed, 1), _FAR_S)
            )

        pending = None
        if run.pending is not None:
            people = frozenset(one.who.person for one in run.pending.given)
            pending = (run.pending.way, people, age(run.pending.at))
        return (
            tuple((level.state, age(level.entered, level.state)) for level in run.levels),
            run.calls_n if run.state in self._capped else 0,
            tuple(
                (frame.interrupt, tuple((lvl.state, age(lvl.entered, lvl.state)) for lvl in frame.levels))
                for frame in run.stack
            ),
            pending,
            frozenset((act.kind, act.tool, repr(act.arguments), act.visit == run.visit) for act in run.owed),
            bool(run.flying),
            (bisect(self._times, f"{now.at.astimezone(self._zone):%H:%M}"), now.clock) if self._times else None,
        )


def worlds(loaded: Loaded) -> Iterator[satisfy.Values]:
    """Yield one set of measurements for each way in which the guards can answer together."""
    nodes = tuple(_guards(loaded))
    answers = set()
    for values in satisfy.worlds(nodes, loaded.compiled.measures):
        answer = tuple(node.truth(satisfy.looking(values), []) for node in nodes)
        if answer not in answers:
            answers.add(answer)
            yield values


def _guards(loaded: Loaded) -> Iterator[Node]:
    law = loaded.compiled
    guards = [rule.guard for rule in law.rules]
    for state in law.states.values():
        guards += [way.guard for way in (*state.ways, *state.urgent)]
        guards += [allowed.guard for allowed in state.allowed]
    return iter({guard.text: guard.node for guard in guards if guard is not None}.values())


def calls(loaded: Loaded) -> Iterator[tuple[str, JsonObject]]:
    """Yield calls of every kind that the law tells apart, and one that it does not mean."""
    law = loaded.compiled
    selections = [allowed.selection for state in law.states.values() for allowed in state.allowed]
    selections += [choice for rule in law.rules for choice in rule.rule.tools]
    found: dict[str, tuple[str, JsonObject]] = {}
    for name, spec in law.tools.items():
        meant = [one for one in selections if selecting.matches_tool(one.tool, spec)]
        for arguments in ({}, *(_arguments(one) for one in meant)):
            found.setdefault(f"{name} {arguments}", (name, arguments))
    for state in law.states.values():
        for act in (*state.enter, *state.exit):
            if act.call in law.tools:
                found.setdefault(f"{act.call} {act.arguments}", (act.call, act.arguments))
    yield from found.values()


def _arguments(selection: Selection) -> JsonObject:
    found: JsonObject = {}
    for name, wanted in selection.where.items():
        match wanted:
            case Bounds(min=low, max=high):
                found[name] = low if low is not None else high
            case list():
                found[name] = wanted[0]
            case _:
                found[name] = wanted
    return found
