"""Arrows as they are written to arrows as they are run: every target is looked up, through parts and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from appliance.policy.workflow.compiled import Cause, Way
from appliance.policy.workflow.complaint import Place
from appliance.policy.workflow.expression import Guard
from appliance.policy.workflow.faults import Path, written
from appliance.policy.workflow.language import Arrow, Interrupt, State, Workflow
from appliance.policy.workflow.naming import Names
from appliance.policy.workflow.reader import Tree
from appliance.policy.workflow.words import RETURN

MAX_LEVELS: Final = 4
"""Of parts inside parts."""


class Scope(NamedTuple):
    """The file's states, or those of a part where it is used."""

    levels: tuple[str, ...]
    states: Mapping[str, State]
    initial: str
    path: Path
    ends: Mapping[str, tuple[str, Scope]]
    """Outcome to the state around this scope that it leads to."""

    where: str = ""
    """The state that holds this part."""


class Goal(NamedTuple):
    """Where an arrow leads."""

    leaf: str
    levels: tuple[str, ...]
    depth: int
    outcome: str


class Ways:
    """Where the arrows of a file lead."""

    def __init__(self, law: Workflow, tree: Tree, names: Names) -> None:
        self._law = law
        self._tree = tree
        self._names = names
        self._goals: dict[tuple[tuple[str, ...], str], Goal] = {}

    def at(self, *path: str | int) -> tuple[str, Place]:
        """Return how a place in the file is written, and where it is."""
        return written(path), self._tree.place(*path)

    def goal(self, name: str, scope: Scope, path: Path, outcome: str = "") -> Goal | None:
        """Return where *name* leads from *scope*; None, and a complaint, where it leads nowhere."""
        if name == RETURN:
            if not self._law.interrupts:
                self._names.complain(path, "`return` ends an interrupt, and there are none", "name a state")
                return None
            return Goal(RETURN, (), 0, outcome)
        if name in scope.ends:
            around, outside = scope.ends[name]
            said = f"{scope.where}: {name}"
            return self.goal(around, outside, path, f"{outcome}, {said}" if outcome else said)
        if name not in scope.states:
            self._names.unknown(path, "state", name, [*scope.states, *scope.ends])
            return None
        key = (scope.levels, name)
        if not outcome and key in self._goals:
            return self._goals[key]
        levels = self.down(scope, name)
        if levels is None:
            return None
        found = Goal(levels[-1], levels, len(scope.levels), outcome)
        if not outcome:
            self._goals[key] = found
        return found

    def down(self, scope: Scope, name: str) -> tuple[str, ...] | None:
        """Return the levels of *name*, down to the first state of the parts that it holds."""
        levels = (*scope.levels, joined(scope.levels, name))
        state = scope.states[name]
        while state.part is not None:
            part = self._law.parts.get(state.part)
            if part is None or part.initial not in part.states or len(levels) >= MAX_LEVELS:
                return None  # complained of where the part is laid out
            levels = (*levels, joined(levels, part.initial))
            state = part.states[part.initial]
        return levels

    def arrows(self, state: State, scope: Scope, path: Path, levels: tuple[str, ...]) -> Iterator[Way]:
        """Yield a state's own arrows, in the order of the file."""
        marks = self._tree.inside(*path, "go") if state.go else {}
        base = f"{written(path)}.go"
        for n, arrow in enumerate(state.go):
            at = (*path, "go", n)
            guard = self._names.guard(arrow.when, (*at, "when"))
            if arrow.event is not None:
                self._known_event(arrow.event, (*at, "event"))
            if arrow.tool is not None:
                self._names.check_where(arrow.tool.where, (*at, "tool", "where"))
            goal = self.goal(arrow.to, scope, (*at, "to"))
            if goal is not None:
                mark = marks[n][0]
                place = Place(mark.line + 1, mark.column + 1)
                yield self.way(_cause(arrow), f"{base}[{n}]", place, levels, goal, arrow=arrow, guard=guard)

    def way(
        self,
        cause: Cause,
        key: str,
        place: Place,
        levels: tuple[str, ...],
        goal: Goal,
        *,
        arrow: Arrow | None = None,
        guard: Guard | None = None,
        after_s: float = 0.0,
    ) -> Way:
        """Lay an arrow of any cause."""
        shared = 0
        for one, other in zip(levels, goal.levels, strict=False):
            if one != other:
                break
            shared += 1
        return Way(
            key=key,
            source=levels[-1],
            cause=cause,
            to=goal.leaf,
            place=place,
            guard=guard,
            event="" if arrow is None or arrow.event is None else arrow.event,
            tool=None if arrow is None else arrow.tool,
            result="" if arrow is None or arrow.tool is None else arrow.result or "done",
            after_s=after_s if arrow is None or arrow.after is None else arrow.after,
            at="" if arrow is None or arrow.at is None else arrow.at,
            approve=None if arrow is None else arrow.approve,
            level=levels[-1],
            outcome=goal.outcome,
            stays_in=min(shared, goal.depth),
        )

    def interrupts(self, levels: tuple[str, ...]) -> Iterator[Way]:
        """Yield the interrupts that break in on a state."""
        for name, interrupt in self._law.interrupts.items():
            if interrupt.to in self._law.states and levels[0] not in {interrupt.to, *interrupt.unless_in}:
                yield self._interrupt(name, interrupt, levels)

    def _interrupt(self, name: str, interrupt: Interrupt, levels: tuple[str, ...]) -> Way:
        path = ("interrupts", name)
        goal = self.down(self.top(), interrupt.to)
        return Way(
            key=written(path),
            source=levels[-1],
            cause="interrupt",
            to=interrupt.to if goal is None else goal[-1],
            place=self._tree.place(*path),
            guard=self._names.guard(interrupt.when, (*path, "when")),
            event=interrupt.event or "",
            level=levels[-1],
        )

    def top(self) -> Scope:
        """Return the scope of the file's own states."""
        return Scope((), self._law.states, self._law.initial, (), {})

    def _known_event(self, event: str, path: Path) -> None:
        if event not in self._law.events:
            self._names.unknown(path, "event", event, self._law.events)

    def check_interrupts(self) -> None:
        """Look up what the interrupts name."""
        for name, interrupt in self._law.interrupts.items():
            path = ("interrupts", name)
            self._names.guard(interrupt.when, (*path, "when"))
            if interrupt.event is not None:
                self._known_event(interrupt.event, (*path, "event"))
            if interrupt.to not in self._law.states:
                self._names.unknown((*path, "to"), "state", interrupt.to, self._law.states)
            for n, state in enumerate(interrupt.unless_in):
                if state not in self._law.states:
                    self._names.unknown((*path, "unless_in", n), "state", state, self._law.states)


def _cause(arrow: Arrow) -> Cause:
    if arrow.event is not None:
        return "event"
    if arrow.tool is not None:
        return "tool"
    if arrow.after is not None:
        return "after"
    return "measured" if arrow.at is None else "at"


def joined(levels: tuple[str, ...], name: str) -> str:
    """Write the name of a state inside of what holds it."""
    return f"{levels[-1]}/{name}" if levels else name
