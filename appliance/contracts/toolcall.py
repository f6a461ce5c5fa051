"""What is proposed, what it becomes when checked, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from appliance.contracts.record import JsonScalar, Record


class Span(NamedTuple):
    """Characters `start` to `end` (half-open) of the request."""

    start: int
    end: int


class Mention(Record):
    """What the network found for one parameter: words, an option, or both."""

    spans: tuple[Span, ...] = ()
    """The words that carry the value; several for a list."""

    option: JsonScalar = None
    """The chosen value of an enum or boolean; None when the words themselves are the value."""

    confidence: float = 1.0
    """Calibrated probability that the parameter was said and read rightly."""


class ToolCall(Record):
    """A proposal: what a proposer wants; unchecked, whoever made it."""

    tool: str
    mentions: dict[str, Mention] = Field(default_factory=dict)
    """Arguments as words of the request (the model)."""

    literals: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments as values (operator, controller, timer, undo)."""

    confidence: float = 1.0
    """Calibrated probability that the whole call is right."""

    anchor: Span | None = None
    """The words that ask for this call; calls are ordered by it."""


class Candidate(NamedTuple):
    """A tool that was considered, and its score."""

    tool: str
    score: float


class Proposal(Record):
    """Everything that one look at a request gave."""

    calls: tuple[ToolCall, ...] = ()
    abstain: float = 0.0
    """Calibrated probability that nothing here should act."""

    candidates: tuple[Candidate, ...] = ()
    tokens_n: int = 0
    latency_ms: float = 0.0


class GroundedCall(Record):
    """A call whose every argument is typed, in range and carried by evidence."""

    tool: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    spans: dict[str, tuple[Span, ...]] = Field(default_factory=dict)
    confidence: float = 1.0
    anchor: Span | None = None


class Question(Record):
    """What must be answered before the call can be made."""

    tool: str
    missing: tuple[str, ...]
    text: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """What is already known."""

    spans: dict[str, tuple[Span, ...]] = Field(default_factory=dict)
    choices: tuple[str, ...] = ()
    """Possible answers, where the set is closed or a name was ambiguous."""

    confidence: float = 1.0


class RefusalCode(StrEnum):
    """Why a request cannot become a call."""

    NOTHING_TO_DO = "nothing_to_do"
    """No tool here does what was asked, or nothing was asked."""

    NEGATED = "negated"
    OUT_OF_RANGE = "out_of_range"
    UNGROUNDED = "ungrounded"
    """A value that the words do not carry."""

    UNREADABLE = "unreadable"
    """The words for a value cannot be read as what the parameter wants."""

    UNKNOWN_NAME = "unknown_name"
    UNKNOWN_TOOL = "unknown_tool"
    UNKNOWN_ARGUMENT = "unknown_argument"
    UNSURE = "unsure"
    """Confidence below the floor."""

    UNSUPPORTED = "unsupported"
    """The tool wants a value of a kind that cannot be filled here."""

    EXPIRED = "expired"
    DECLINED = "declined"
    NOT_ENGLISH = "not_english"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    NO_MODEL = "no_model"


class Refusal(Record):
    """Why not; a normal day, and it reaches the record."""

    code: RefusalCode
    reason: str
    """One sentence for the person who asked."""

    tool: str | None = None
    parameter: str | None = None


Grounded = GroundedCall | Question | Refusal


class ToolResult(Record):
    """What a tool did, and whether a look afterwards bears it out."""

    status: Literal["done", "failed", "indeterminate"]
    """`indeterminate`: it was begun and gave no answer; whether it happened is for a person to see."""

    message: str
    """One sentence for the person who asked."""

    output: JsonValue = None
    postcondition: Literal["held", "failed", "unchecked"] = "unchecked"
    undo: ToolCall | None = None
    """The call that takes this one back, where one exists; it goes through the same gate."""
