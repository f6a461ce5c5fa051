"""A file of laws to flat tables: every name is looked up, every guard is typed, parts are laid out in place.

Covers: names that do not exist, guards with wrong types, outcomes without a way, parts inside themselves, a layout
beyond any use; all of them are complaints, and then nothing is loaded.
Does not cover: whether the law makes sense; `check` looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final

from appliance.contracts.toolspec import ToolSpec
from appliance.policy.workflow.compiled import Allowed, Compiled, RuleLaw, StateLaw, Way, machine_of
from appliance.policy.workflow.complaint import Complaint, ordered
from appliance.policy.workflow.faults import Path, written
from appliance.policy.workflow.language import State, Workflow
from appliance.policy.workflow.naming import Names
from appliance.policy.workflow.reader import Tree
from appliance.policy.workflow.ways import MAX_LEVELS, Scope, Ways, joined
from appliance.policy.workflow.words import RETURN, Selection

MAX_LAID_STATES_N: Final = 4000
MAX_LAID_WAYS_N: Final = 40_000

_EVERYTHING: Final = (Selection(tool="*"),)


class _Compiler:
    """One pass over the file's states, and those of its parts."""

    def __init__(self, law: Workflow, tree: Tree, names: Names, ways: Ways) -> None:
        self.law = law
        self.tree = tree
        self.names = names
        self.ways = ways
        self.states: dict[str, StateLaw] = {}
        self._ways_n = 0

    def lay(self, scope: Scope, inherited: tuple[Way, ...], deadlines: tuple[Way, ...]) -> None:
        """Lay out every state of *scope*; *inherited* are the arrows of the states that hold it."""
        for name, state in scope.states.items():
            if len(self.states) > MAX_LAID_STATES_N or self._ways_n > MAX_LAID_WAYS_N:
                self.names.complain(
                    (*scope.path, "states", name),
                    f"laid out with its parts this is more than {MAX_LAID_STATES_N:,} states or"
                    f" {MAX_LAID_WAYS_N:,} arrows",
                    "use fewer or smaller parts",
                )
                return
            path = (*scope.path, "states", name)
            levels = (*scope.levels, joined(scope.levels, name))
            due = deadlines
            if state.deadline is not None:
                goal = self.ways.goal(state.deadline.to, scope, (*path, "deadline", "to"))
                if goal is not None:
                    way = self.ways.way(
                        "deadline", *self.ways.at(*path, "deadline"), levels, goal, after_s=state.deadline.after
                    )
                    due = (*deadlines, way)
            own = (*self.ways.arrows(state, scope, path, levels), *inherited)
            if state.part is not None:
                self._lay_part(state, scope, path, levels, own, due)
            else:
                self._leaf(state, scope, path, levels, own, due)

    def _lay_part(
        self,
        state: State,
        scope: Scope,
        path: Path,
        levels: tuple[str, ...],
        own: tuple[Way, ...],
        due: tuple[Way, ...],
    ) -> None:
        assert state.part is not None
        part = self.law.parts.get(state.part)
        if part is None:
            self.names.unknown((*path, "part"), "part", state.part, self.law.parts)
            return
        if len(levels) >= MAX_LEVELS:
            self.names.complain(
                (*path, "part"), f"parts inside parts, more than {MAX_LEVELS - 1} deep", "is one inside itself?"
            )
            return
        for outcome in part.outcomes:
            if outcome not in state.outcomes:
                self.names.complain(
                    (*path, "part"),
                    f"nothing says where the outcome {outcome!r} of {state.part!r} leads",
                    f"add it under `outcomes`: {outcome}: SOME_STATE",
                )
        for outcome, target in state.outcomes.items():
            if outcome not in part.outcomes:
                self.names.unknown(
                    (*path, "outcomes", outcome), f"outcome of {state.part!r} called", outcome, part.outcomes
                )
            elif target != RETURN:
                self.ways.goal(target, scope, (*path, "outcomes", outcome))
        ends = {outcome: (target, scope) for outcome, target in state.outcomes.items() if outcome in part.outcomes}
        inner = Scope(levels, part.states, part.initial, ("parts", state.part), ends, levels[-1])
        if part.initial not in part.states:
            self.names.unknown(("parts", state.part, "initial"), "state", part.initial, part.states)
            return
        for outcome in part.outcomes:
            if outcome in part.states:
                self.names.complain(
                    ("parts", state.part, "states", outcome), "an outcome has this name too", "rename one"
                )
        self.lay(inner, own, due)

    def _leaf(
        self,
        state: State,
        scope: Scope,
        path: Path,
        levels: tuple[str, ...],
        own: tuple[Way, ...],
        due: tuple[Way, ...],
    ) -> None:
        name = levels[-1]
        ways = tuple(way if way.source == name else way._replace(source=name) for way in own)
        if state.calls is not None and state.calls.to is not None:
            goal = self.ways.goal(state.calls.to, scope, (*path, "calls", "to"))
            if goal is not None:
                ways = (self.ways.way("cap", *self.ways.at(*path, "calls"), levels, goal), *ways)
        allowed = []
        for n, grant in enumerate(state.tools):
            at = (*path, "tools", n)
            self.names.check_where(grant.where, (*at, "where"))
            guard = self.names.guard(grant.when, (*at, "when"))
            selection = Selection(tool=grant.tool, where=grant.where)
            allowed.append(Allowed(written(at), selection, guard, grant.confirm, grant.approve, self.tree.place(*at)))
        urgent = (
            *self.ways.interrupts(levels),
            *(way if way.source == name else way._replace(source=name) for way in due),
        )
        self._ways_n += len(ways) + len(urgent)
        self.states[name] = StateLaw(
            name=name,
            levels=levels,
            about=state.about,
            instructions=state.instructions,
            allowed=tuple(allowed),
            cap_n=None if state.calls is None else state.calls.max,
            enter=state.enter,
            exit=state.exit,
            urgent=urgent,
            ways=ways,
            swap=state.swap,
            escalation=state.escalation,
            place=self.tree.place(*path),
        )

    def rules(self) -> Iterator[RuleLaw]:
        for name, rule in self.law.rules.items():
            path = ("rules", name)
            for n, choice in enumerate(rule.tools):
                self.names.check_where(choice.where, (*path, "tools", n, "where"))
            if rule.exclusive is not None:
                for n, choice in enumerate(rule.exclusive.against):
                    self.names.check_where(choice.where, (*path, "exclusive", "with", n, "where"))
            if rule.quiet is not None and rule.quiet.start == rule.quiet.end:
                self.names.complain(
                    (*path, "quiet"), "quiet hours that begin when they end", "for all day, name no tools in states"
                )
            guard = self.names.guard(rule.needs, (*path, "needs"))
            yield RuleLaw(name, rule, guard, self.tree.place(*path))


def compiled(
    law: Workflow, tree: Tree, raw: bytes, tools: Mapping[str, ToolSpec], zone: tzinfo
) -> Compiled | tuple[Complaint, ...]:
    """Lay out *law*, or say everything that is wrong with its names and guards."""
    names = Names(law, tree)
    names.name_guards()
    ways = Ways(law, tree, names)
    work = _Compiler(law, tree, names, ways)
    for key in ("initial", "safe"):
        if getattr(law, key) not in law.states:
            names.unknown((key,), "state", getattr(law, key), law.states)
    ways.check_interrupts()
    work.lay(ways.top(), (), ())
    for name, part in law.parts.items():
        if not any(state.part == name for state in _every_state(law)):
            names.complain(("parts", name), "no state uses this part", f"add a state with `part: {name}`, or delete it")
        del part
    rules = tuple(work.rules())
    if names.complaints:
        return ordered(names.complaints)
    top = ways.top()
    initial, safe = (ways.down(top, name) for name in (law.initial, law.safe))
    assert initial is not None  # checked above, like the next
    assert safe is not None
    return Compiled(
        name=law.workflow,
        version=law.version,
        digest=hashlib.sha256(raw).hexdigest(),
        title=law.title or law.workflow.replace("_", " ").capitalize(),
        about=law.about,
        danger=law.danger,
        initial=initial[-1],
        safe=safe[-1],
        governs=tuple(law.governs) if law.governs is not None else _EVERYTHING,
        measures=law.measures,
        events=law.events,
        states=work.states,
        rules=rules,
        interrupts=tuple(f"interrupts.{name}" for name in law.interrupts),
        tools=tools,
        zone=zone,
        machine=machine_of(work.states, initial[-1], safe[-1]),
    )


def _every_state(law: Workflow) -> Iterator[State]:
    yield from law.states.values()
    for part in law.parts.values():
        yield from part.states.values()
