"""A workflow as it is run: flat, immutable tables, and the `transitions` machine that is built from them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Literal, NamedTuple, Protocol

from transitions import Machine

from appliance.contracts.toolspec import ToolSpec
from appliance.policy.workflow import selecting
from appliance.policy.workflow.complaint import Place
from appliance.policy.workflow.expression import Guard
from appliance.policy.workflow.language import Approval, Danger, Measure
from appliance.policy.workflow.language import Event as DeclaredEvent
from appliance.policy.workflow.rulesbeside import Rule
from appliance.policy.workflow.words import RETURN, Act, Selection, Wanted, duration

logging.getLogger("transitions.core").setLevel(logging.ERROR)

Cause = Literal["event", "tool", "measured", "after", "at", "cap", "deadline", "interrupt", "emergency"]


class Way(NamedTuple):
    """One arrow, as it is run."""

    key: str
    """Where it stands in the file: `states.closed.go[0]`."""

    source: str
    cause: Cause
    to: str
    """A state, or `return`."""

    place: Place
    guard: Guard | None = None
    event: str = ""
    tool: Selection | None = None
    result: str = ""
    after_s: float = 0.0
    at: str = ""
    approve: Approval | None = None
    level: str = ""
    """The state whose entry `after` and deadlines count from: the source, or what holds it as a part."""

    outcome: str = ""
    """Of the parts that this arrow ends: `defrost: done`."""

    stays_in: int = 0
    """Levels that are not left by it."""

    def says(self) -> str:
        """Write the cause as a person reads it."""
        match self.cause:
            case "event":
                text = f"say {self.event}"
            case "tool":
                text = f"{self.tool.tool if self.tool else ''} {self.result}"
            case "measured":
                return f"{self.guard.text if self.guard else ''}"
            case "after":
                text = f"after {duration(self.after_s)}"
            case "at":
                text = f"at {self.at}"
            case "cap":
                text = "calls used up"
            case "deadline":
                text = f"deadline {duration(self.after_s)}"
            case "interrupt":
                text = self.event or ""
            case _:
                text = self.cause
        if self.guard is not None:
            text = f"{text} if {self.guard.text}" if text else self.guard.text
        return text


class Allowed(NamedTuple):
    """A tool that a state allows, as it is asked."""

    key: str
    selection: Selection
    guard: Guard | None
    confirm: bool
    approve: Approval | None
    place: Place


class StateLaw(NamedTuple):
    """A state, as it is run."""

    name: str
    """With the names of what holds it: `defrost/melting`."""

    levels: tuple[str, ...]
    about: str
    instructions: str
    allowed: tuple[Allowed, ...]
    cap_n: int | None
    enter: tuple[Act, ...]
    exit: tuple[Act, ...]
    urgent: tuple[Way, ...]
    """Interrupts, then deadlines, the outermost first."""

    ways: tuple[Way, ...]
    """In the order of the file."""

    swap: bool
    escalation: bool
    place: Place


class RuleLaw(NamedTuple):
    """A rule beside the states, as it is asked."""

    name: str
    rule: Rule
    guard: Guard | None
    place: Place


class Held(NamedTuple):
    """A rule that is about every call of a grant, and on which of its sides."""

    law: RuleLaw
    mine: bool
    other: bool


class Offer(NamedTuple):
    """A tool that a state allows by one grant, as whoever was refused is told of it."""

    tool: str
    where: Mapping[str, Wanted]
    guard: Guard | None
    rules: tuple[Held, ...]
    reads: bool


class Offers(NamedTuple):
    """What a state allows: what it always does, and what must be asked at the moment."""

    always: tuple[str, ...]
    reading: tuple[str, ...]
    """Of those, the tools that only read."""

    asked: tuple[Offer, ...]


class Route(NamedTuple):
    """A way to where a call is allowed."""

    ways: tuple[Way, ...]
    there: str = ""
    """What is asked there besides: a guard, other arguments."""


class Walker(Protocol):
    """What moves through the machine; `transitions` sets its state."""

    state: str

    def takes(self, way: Way) -> bool:
        """Return whether *way* can be taken now."""


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """A workflow that can be run; nothing in it changes."""

    name: str
    version: int
    digest: str
    title: str
    about: str
    danger: Danger
    initial: str
    safe: str
    governs: tuple[Selection, ...]
    measures: Mapping[str, Measure]
    events: Mapping[str, DeclaredEvent]
    states: Mapping[str, StateLaw]
    rules: tuple[RuleLaw, ...]
    interrupts: tuple[str, ...]
    tools: Mapping[str, ToolSpec]
    zone: tzinfo
    machine: Machine = dataclasses.field(repr=False)
    routes: dict[tuple[object, ...], Route | None] = dataclasses.field(default_factory=dict, repr=False)
    """Ways to where a call is allowed, found once; a cache, not part of the law."""

    bounds: dict[str, tuple[Mapping[str, Wanted], ...]] = dataclasses.field(default_factory=dict, repr=False)
    """By tool: the bounds that any state sets its arguments, found once; a cache like the other."""

    offers: dict[str, Offers] = dataclasses.field(default_factory=dict, repr=False)
    """By state: the tools that it allows, found once; a cache like the others."""

    meanings: dict[str, tuple[ToolSpec, ...]] = dataclasses.field(default_factory=dict, repr=False)
    """By pattern of a selection: the tools that it means; a cache like the others."""

    def meant(self, pattern: str) -> tuple[ToolSpec, ...]:
        """Return the tools of the site that *pattern* means, found once: files repeat few patterns many times."""
        if pattern not in self.meanings:
            self.meanings[pattern] = tuple(s for s in self.tools.values() if selecting.matches_tool(pattern, s))
        return self.meanings[pattern]

    def fire(self, trigger: str, walker: Walker) -> Literal["moved", "held", "illegal"]:
        """Let `transitions` choose among the arrows that *trigger* has from the walker's state.

        The table is total: a pair without an arrow is answered, not raised.
        """
        event = self.machine.events.get(trigger)
        if event is None or walker.state not in event.transitions:
            return "illegal"
        return "moved" if event.trigger(walker) else "held"

    def way(self, key: str, state: str) -> Way | None:
        """Return the arrow *key* out of *state*."""
        law = self.states.get(state)
        return None if law is None else next((way for way in law.ways if way.key == key), None)


def trigger_of(way: Way) -> str:
    """Return the trigger that fires *way*."""
    match way.cause:
        case "event":
            return f"event:{way.event}"
        case "tool":
            return "ended"
        case "interrupt":
            return f"event:{way.event}" if way.event else "urgent"
        case "deadline":
            return "urgent"
        case "emergency":
            return "emergency"
        case _:
            return "look"


def machine_of(states: Mapping[str, StateLaw], initial: str, safe: str) -> Machine:
    """Build the machine; the order of the arrows is the order in which they are asked."""
    # `auto_transitions=False`: `to_<state>()` would be a way round the table. No model: runs are values.
    machine = Machine(model=None, states=list(states), initial=initial, auto_transitions=False, send_event=True)
    for law in states.values():
        for way in (*law.urgent, *law.ways):
            # Where `return` leads is in the run's stack, so for the machine it is an arrow to itself.
            goal = "=" if way.to == RETURN else way.to
            if way.approve is None:
                machine.add_transition(trigger_of(way), law.name, goal, conditions=[_asking(way)])
            else:
                # Asking leads nowhere; only the approval of exactly this arrow does.
                machine.add_transition(trigger_of(way), law.name, "=", conditions=[_asking(way)])
                machine.add_transition(f"approved:{way.key}", law.name, goal, conditions=[_asking(way)])
        stop = Way("safe", law.name, "emergency", safe, law.place)
        machine.add_transition("emergency", law.name, safe, conditions=[_asking(stop)])
    return machine


def _asking(way: Way) -> Any:
    return lambda event: event.model.takes(way)
