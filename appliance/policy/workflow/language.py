"""A file of laws as its author writes it; `docs/reference/workflow.schema.json` is printed from these records.

Covers: shape, types and bounds of every key.
Does not cover: whether names exist and types fit; `load` looks. Whether the law makes sense; `check` looks.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.contracts.record import Record
from appliance.policy.workflow.rulesbeside import Choices, Rule
from appliance.policy.workflow.words import (
    PEOPLE,
    Act,
    Duration,
    Expression,
    Line,
    Name,
    Prose,
    Role,
    Selection,
    Target,
    TimeOfDay,
    selected,
)

MAX_STATES_N: Final = 2000
MAX_ARROWS_N: Final = 64
"""Out of one state."""

MAX_NAMES_N: Final = 256
"""Of one kind: events, measures, guards, rules."""

Danger = Literal["safe", "moderate", "dangerous"]
Result = Literal["done", "failed", "indeterminate", "denied", "any"]


class Measure(Record):
    """A value that this device measures itself; guards can ask for nothing else."""

    sensor: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The sensor's name, as in the settings of the site."""

    device: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A lamp, machine or door whose standing is read back."""

    type: Literal["boolean", "number", "word"]
    unit: Annotated[str, Field(max_length=16)] = ""
    words: Annotated[tuple[str, ...], Field(max_length=64, strict=False)] = ()
    """For a word: all that it can be."""

    stale_after: Duration
    """Older than this, a measurement is unknown."""

    between: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """What the sensor can show at all; anything else is unknown."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.sensor is None) == (self.device is None):
            raise PydanticCustomError("measure", "a measure has exactly one source: sensor, or device")
        if (self.type == "word") != bool(self.words):
            raise PydanticCustomError("measure", "`words` are listed for type word, and only for it")
        if self.type != "number" and (self.unit or self.between is not None):
            raise PydanticCustomError("measure", "only a number has a unit and a range")
        if self.between is not None and self.between[0] >= self.between[1]:
            raise PydanticCustomError("measure", "`between` holds the smaller number first")
        return self


class Event(Record):
    """Something that is said to the workflow."""

    about: Line = ""
    by: Annotated[tuple[Role, ...], Field(min_length=1, strict=False, alias="from")] = PEOPLE
    """Who may say it; people at the device who may act, when absent."""


class Approval(Record):
    """Enrolled people who must agree."""

    role: Literal["operator", "approver", "admin"] = "approver"
    people: int = Field(default=1, ge=1, le=5)
    """Different people; 2 is two-person approval."""

    within: Duration
    """It lapses after this time."""

    others: bool = False
    """Whoever asked does not count."""


class Grant(Selection):
    """A tool that a state allows."""

    when: Expression | None = None
    confirm: bool = False
    """A person must say yes to each call."""

    approve: Approval | None = None
    """People must approve each call."""


class Arrow(Record):
    """A way from one state to another: exactly one cause, and perhaps a guard."""

    event: Name | None = None
    """Cause: this is said."""

    tool: Annotated[Selection, BeforeValidator(selected, json_schema_input_type=str | Selection)] | None = None
    """Cause: such a call has ended."""

    result: Result | None = None
    """With `tool`: how it ended; done, when absent."""

    after: Duration | None = None
    """Cause: so much time in this state."""

    at: TimeOfDay | None = None
    """Cause: this time of day; needs a clock that can be trusted."""

    when: Expression | None = None
    """With another cause: the guard. Alone it is the cause: this is measured."""

    to: Target
    approve: Approval | None = None
    """People who must approve before the arrow is taken."""

    @model_validator(mode="after")
    def _one_cause(self) -> Self:
        found = [cause for cause in ("event", "tool", "after", "at") if getattr(self, cause) is not None]
        if len(found) > 1 or (not found and self.when is None):
            said = f"has {' and '.join(found)}" if found else "has no cause"
            raise PydanticCustomError(
                "arrow",
                "this arrow {said}; it takes exactly one of event, tool, after, at, or a `when` alone",
                {"said": said},
            )
        if self.result is not None and self.tool is None:
            raise PydanticCustomError("arrow", "`result` belongs to an arrow with `tool`")
        if self.approve is not None and self.event is None:
            raise PydanticCustomError("arrow", "only an arrow with `event` can wait for an approval: somebody asks")
        return self


class Cap(Record):
    """How many calls a state lets through each time it is entered."""

    max: int = Field(ge=0, le=10_000)
    to: Target | None = None
    """Where to go when they are used up; without it the state stays and denies."""


class Deadline(Record):
    """How long a state may last, whatever happens."""

    after: Duration
    to: Target


def _capped(value: Any) -> Any:
    return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value


Grants = Annotated[
    tuple[Annotated[Grant, BeforeValidator(selected, json_schema_input_type=str | Grant)], ...],
    Field(max_length=MAX_NAMES_N, strict=False),
]
Acts = Annotated[tuple[Act, ...], Field(max_length=16, strict=False)]
Arrows = Annotated[tuple[Arrow, ...], Field(max_length=MAX_ARROWS_N, strict=False)]


class State(Record):
    """What is allowed here, and where one goes from here."""

    about: Line = ""
    instructions: Prose = ""
    """Shown to the operator while the workflow is here."""

    tools: Grants = ()
    """What may be called; nothing, when absent."""

    calls: Annotated[Cap, BeforeValidator(_capped, json_schema_input_type=int | Cap)] | None = None
    deadline: Deadline | None = None
    enter: Acts = ()
    exit: Acts = ()
    go: Arrows = ()
    """The first arrow whose cause and guard hold is taken."""

    swap: bool = False
    """Here a newer version of this file may take over."""

    escalation: bool = False
    """Here a second model may be asked, where the settings name one; every law in force has to say so."""

    part: Name | None = None
    """This state is a workflow of its own, from `parts`."""

    outcomes: dict[str, Target] = Field(default_factory=dict)
    """Where each outcome of the part leads; every one must be named."""

    @model_validator(mode="after")
    def _either_part_or_state(self) -> Self:
        own = [key for key in ("tools", "calls", "enter", "exit", "swap", "escalation") if key in self.model_fields_set]
        if self.part is not None and own:
            raise PydanticCustomError(
                "state",
                "a state with `part` has no {own} of its own; the part's states have",
                {"own": own[0]},
            )
        if self.part is None and self.outcomes:
            raise PydanticCustomError("state", "`outcomes` belong to a state with `part`")
        return self


class Part(Record):
    """A workflow inside this one; it ends in one of its outcomes."""

    about: Line = ""
    initial: Name
    outcomes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=16, strict=False)]
    """How it can end; an arrow's `to` may name one."""

    states: dict[Name, State] = Field(min_length=1, max_length=MAX_STATES_N)


class Interrupt(Record):
    """What breaks in from any state, and may return to where it was."""

    event: Name | None = None
    when: Expression | None = None
    to: Name
    """A state; an arrow `to: return` in it goes back to the state that was interrupted."""

    unless_in: Annotated[tuple[Name, ...], Field(max_length=64, strict=False)] = ()
    """States that it leaves alone."""

    @model_validator(mode="after")
    def _caused(self) -> Self:
        if self.event is None and self.when is None:
            raise PydanticCustomError("interrupt", "an interrupt needs a cause: event, or when")
        return self


class Workflow(Record):
    """A file of laws."""

    workflow: Name
    """What it is called."""

    version: int = Field(ge=1, le=1_000_000_000)
    """Grows with every change."""

    title: Line = ""
    about: Prose = ""
    danger: Danger = "moderate"
    """What a mistake can cost: `safe` allows no tool of high risk; `dangerous` demands approvals and deadlines."""

    initial: Name
    safe: Name
    """Where an emergency leads; reachable from everywhere."""

    governs: Choices | None = None
    """Calls that this workflow decides about; all of them, when absent."""

    measures: dict[Name, Measure] = Field(default_factory=dict, max_length=MAX_NAMES_N)
    guards: dict[Name, Expression] = Field(default_factory=dict, max_length=MAX_NAMES_N)
    """Guards with a name, to be used in others."""

    events: dict[Name, Event] = Field(default_factory=dict, max_length=MAX_NAMES_N)
    states: dict[Name, State] = Field(min_length=1, max_length=MAX_STATES_N)
    interrupts: dict[Name, Interrupt] = Field(default_factory=dict, max_length=64)
    """In the order of their urgency."""

    parts: dict[Name, Part] = Field(default_factory=dict, max_length=64)
    rules: dict[Name, Rule] = Field(default_factory=dict, max_length=MAX_NAMES_N)
