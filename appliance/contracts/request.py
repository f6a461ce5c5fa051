"""One unit of work in the inbox: who wants what."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NewType

from pydantic import Field

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.toolcall import ToolCall

RequestId = NewType("RequestId", str)

MAX_TEXT_CHARS = 4000
"""Longer than anything a person says to a device; the network's own limit in tokens is tighter."""


class OriginKind(StrEnum):
    """Which kind of proposer; all are untrusted."""

    OPERATOR = "operator"
    CONTROLLER = "controller"
    TIMER = "timer"
    SYSTEM = "system"


class Origin(Record):
    """Who proposes, as far as the receiving side could establish it."""

    kind: OriginKind
    peer: str
    """`uid:1000 pid:4711` over the socket, a key id over MQTT, a schedule's id for a timer."""

    role: str = "operator"
    person: str = ""
    """The enrolled person, where a PIN has said who it is; only then is `role` more than an operator's."""

    correlation: str | None = None
    """The controller's correlation data, hexadecimal."""

    reply_to: str | None = None
    """The controller's response topic."""

    to_all: bool = False
    """Said to every device of the site at once."""

    expires_at: datetime | None = None


class Ask(Record):
    """Words: need inference to become a proposal."""

    kind: Literal["ask"] = "ask"
    text: str


class Call(Record):
    """A tool call: already a proposal."""

    kind: Literal["call"] = "call"
    call: ToolCall
    because: str = ""


class Confirmed(Record):
    """A person's yes or no to a request that waits."""

    kind: Literal["confirm"] = "confirm"
    of: RequestId
    yes: bool
    edits: JsonObject = Field(default_factory=dict)
    """Arguments corrected by hand, by name."""


class Answer(Record):
    """A person's answer to a question that waits."""

    kind: Literal["answer"] = "answer"
    of: RequestId
    text: str


class Undo(Record):
    """Take back the last act that can be taken back."""

    kind: Literal["undo"] = "undo"


class Event(Record):
    """Something is said to a workflow."""

    kind: Literal["event"] = "event"
    event: str
    workflow: str = ""
    """Which; the only one that knows the event, when empty."""


class Approve(Record):
    """An enrolled person's approval, or refusal, of an arrow or a call that waits for it."""

    kind: Literal["approve"] = "approve"
    of: str
    """The approval's id, or the id of the request that waits."""

    yes: bool = True


class Maintenance(Record):
    """The maintenance lock is set, or let go."""

    kind: Literal["maintenance"] = "maintenance"
    on: bool
    why: str = ""


Body = Annotated[Ask | Call | Confirmed | Answer | Undo | Event | Approve | Maintenance, Field(discriminator="kind")]


class Request(Record):
    """A row of the inbox."""

    request_id: RequestId
    received_at: datetime
    origin: Origin
    body: Body
    assume_yes: bool = False
    """The operator confirmed beforehand (`say --yes`); rules that want an approval still want it."""
