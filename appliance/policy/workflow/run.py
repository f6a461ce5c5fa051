"""A run: where a workflow is, small enough to be written with every step, complete enough to be resumed."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from appliance.contracts.audit import Moment
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.workflow import Step
from appliance.policy.workflow.expression import Value
from appliance.policy.workflow.timing import stamp, stamped
from appliance.policy.workflow.words import Role


class Who(Record):
    """A person or a part of the system, as far as the receiving side could establish it."""

    person: str
    role: Role


class Reading(NamedTuple):
    """A measured value and when it was measured."""

    value: Value | None
    at: Moment


class Context(NamedTuple):
    """What this device measures now."""

    version: int
    """Which snapshot; recorded with every step."""

    readings: dict[str, Reading]
    """By the name of the measure."""

    stopped: bool = False
    """The emergency stop is latched."""


class Level(Record):
    """A state, or the state that holds it as a part, and when it was entered."""

    state: str
    entered: Moment


class Frame(Record):
    """A state that was interrupted."""

    levels: tuple[Level, ...]
    calls_n: int
    visit: int
    interrupt: str
    """Which interrupt broke in."""


class Given(Record):
    """One person's approval."""

    of: str
    """What was approved: a pending arrow's id, or a call's subject."""

    who: Who
    at: Moment


class Pending(Record):
    """An arrow that waits for people."""

    approval_id: str
    way: str
    visit: int
    by: Who
    at: Moment
    given: tuple[Given, ...] = ()


class Owed(Record):
    """An act of the law that has not been begun yet."""

    act_id: str
    state: str
    """Whose tools it is judged by."""

    visit: int
    kind: Literal["enter", "exit"]
    tool: str
    arguments: JsonObject
    approved: tuple[Given, ...] = ()
    """The approvals of the arrow that led here."""


class Flying(Record):
    """A call that has begun and not ended."""

    call_id: str
    visit: int
    tool: str
    arguments: JsonObject = Field(default_factory=dict)


class Use(Record):
    """A call that a rule remembers."""

    tool: str
    role: str
    side: Literal["tools", "with"]
    at: Moment


def _written(used: dict[str, tuple[Use, ...]]) -> dict[str, dict[str, list[str]]]:
    """Write every use in some thirty bytes: a limit of hundreds of calls is written with every decision."""
    found: dict[str, dict[str, list[str]]] = {}
    for rule, uses in used.items():
        for use in uses:
            found.setdefault(rule, {}).setdefault(f"{use.tool} {use.role} {use.side}", []).append(stamp(use.at))
    return found


def _read(used: object) -> object:
    """Read what `_written` writes; in the order of time, as it was kept."""
    if not isinstance(used, dict):
        return used
    found: dict[str, object] = {}
    for rule, kinds in used.items():
        if not isinstance(kinds, dict):
            found[rule] = kinds
            continue
        uses = []
        for kind, times in kinds.items():
            tool, role, side = kind.split(" ")
            uses += [Use.model_validate({"tool": tool, "role": role, "side": side, "at": stamped(at)}) for at in times]
        found[rule] = tuple(sorted(uses, key=lambda use: (use.at.boot, use.at.monotonic_s)))
    return found


class RunState(Record):
    """Where a workflow is."""

    run_id: str
    workflow: str
    version: int
    digest: str
    """Of the file; a run is never judged by another one."""

    seq: int = 0
    """Counts the steps; the newer of two is the one with more."""

    visit: int = 1
    """Number of this visit of a state; an interrupt's way back leads to the same visit."""

    visits_n: int = 1
    """Visits so far."""

    levels: tuple[Level, ...]
    """From the outermost to the state itself."""

    calls_n: int = 0
    """Calls begun in this visit."""

    stack: tuple[Frame, ...] = ()
    """Interrupted states, the oldest first."""

    pending: Pending | None = None
    owed: tuple[Owed, ...] = ()
    flying: tuple[Flying, ...] = ()
    used: Annotated[dict[str, tuple[Use, ...]], BeforeValidator(_read), PlainSerializer(_written)] = Field(
        default_factory=dict
    )
    """By rule."""

    context_version: int = 0

    @property
    def state(self) -> str:
        """Return the state itself."""
        return self.levels[-1].state


class Said(Record):
    """Somebody says an event of the workflow."""

    kind: Literal["said"] = "said"
    event: str
    who: Who


class Looked(Record):
    """A look at clock and sensors; the daemon looks about every second, and before every judgement."""

    kind: Literal["looked"] = "looked"


class Began(Record):
    """A call that the gate let through is about to act."""

    kind: Literal["began"] = "began"
    call_id: str
    """The act's id, for an act of the law."""

    tool: str
    arguments: JsonObject = Field(default_factory=dict)
    who: Who


class Ended(Record):
    """A call has ended, or an act of the law was denied."""

    kind: Literal["ended"] = "ended"
    call_id: str
    tool: str
    arguments: JsonObject = Field(default_factory=dict)
    result: Literal["done", "failed", "indeterminate", "denied"]


class Approved(Record):
    """A person approves, or refuses, an arrow that waits."""

    kind: Literal["approved"] = "approved"
    of: str
    who: Who
    yes: bool = True
    void: tuple[str, ...] = ()
    """Who approved before and could not any more: they were removed, or their role has fallen."""


class Emergency(Record):
    """The emergency stop was pressed."""

    kind: Literal["emergency"] = "emergency"


class Resumed(Record):
    """The device starts, and the run goes on where it was."""

    kind: Literal["resumed"] = "resumed"


Event = Annotated[Said | Looked | Began | Ended | Approved | Emergency | Resumed, Field(discriminator="kind")]


class Perform(Record):
    """The law acts: this call goes into the inbox, with origin `system` and the act's id as its peer."""

    effect: Literal["perform"] = "perform"
    act_id: str
    tool: str
    arguments: JsonObject


class AskPeople(Record):
    """People are asked to approve."""

    effect: Literal["ask_people"] = "ask_people"
    approval_id: str
    role: str
    people_n: int
    within_s: float
    question: str


class Tell(Record):
    """The operator is shown where the workflow is now."""

    effect: Literal["tell"] = "tell"
    state: str
    instructions: str


Effect = Annotated[Perform | AskPeople | Tell, Field(discriminator="effect")]


class Stepped(NamedTuple):
    """What one event made of a run."""

    run: RunState
    effects: tuple[Effect, ...]
    record: Step
