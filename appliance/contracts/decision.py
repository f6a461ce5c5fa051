"""What a record of the ledger says, kind by kind: the facts, typed, for writers, readers, replay and the reference.

Covers: the records of a request (`decided`, `step`, `settled`, `parked`, `indeterminate`, `resolved`, answers) and the
configuration that decisions cite. Does not cover: the bytes around the facts and their hash; `storage.audit` writes
those, docs/reference/ledger-record.md describes both.

A fact that has its default is left out. Names with dots are OpenTelemetry's, from the conventions for generative AI.

Source:
    OpenTelemetry semantic-conventions-genai v0.1.0 (status: development).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field

from appliance.contracts.audit import Moment
from appliance.contracts.canonical import digest
from appliance.contracts.manifest import Thresholds
from appliance.contracts.record import JsonObject, JsonScalar, Record
from appliance.contracts.request import OriginKind
from appliance.contracts.toolcall import RefusalCode, Span
from appliance.contracts.toolspec import ToolSpec

CANDIDATES_N: Final = 8
"""The likeliest tools are recorded with their scores; the rest of a long catalogue is not."""

ComesTo = Literal["act", "confirm", "approve", "ask", "refuse"]
AskedAs = Literal["ask", "call", "confirm", "answer", "undo", "event", "approve", "maintenance"]


class Facts(Record):
    """Facts of a record; readable by name and by the name in the ledger."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    def to_json(self) -> JsonObject:
        """Write what the ledger holds; what has its default is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @classmethod
    def from_json(cls, facts: Any) -> Self:
        """Read what the ledger holds.

        Raises:
            ValueError: it is not of this form; newer or older software wrote it.
        """
        # Through JSON: strict records take JSON's lists for tuples and its strings for times.
        return cls.model_validate_json(json.dumps(facts))


class Asker(Facts):
    """Who proposed, as far as the receiving side could establish it."""

    kind: OriginKind
    peer: str
    """`uid:1000 pid:4711` over the socket, a key id over MQTT, a schedule's id for a timer."""

    role: str = "operator"
    person: str = ""
    """The enrolled person, where a PIN has said who it is."""

    correlation: str | None = None
    """The controller's correlation data, hexadecimal."""

    to_all: bool = False
    """Said to every device of the site at once."""

    expires_at: datetime | None = None


class Context(Facts):
    """What was true while the request was read."""

    now: datetime
    """The time that relative times are relative to, with the offset of the site's zone."""


class Guards(Facts):
    """What the device knew of itself when it judged."""

    locked: bool
    """The emergency stop was latched."""

    recordable: bool
    """The ledger could be written."""

    confirmed: bool
    """A person at the device had said yes to exactly these calls."""

    maintenance: str = ""
    """Who has locked the device, and why; empty where nobody has."""

    permitted: bool
    """The lifecycle had a way to `acting`; false when the stop came between the verdict and the act."""


class Workflow(Facts):
    """A declared workflow that was asked, as it stood."""

    name: str
    version: int
    digest: str
    """Of its file; the configuration has the text."""

    state: str = ""
    run: JsonObject | None = None
    """The run before the request; absent where there was none, and everything was denied."""

    readings: JsonObject = Field(default_factory=dict)
    """What was measured: by measure, the value and the moment it was measured at."""


class Given(Facts):
    """One enrolled person's approval of one call, in one visit of one state."""

    of: str
    """What was approved: a digest of the run, the visit, the tool, its arguments and the call's id."""

    person: str
    role: str
    at: Moment


class Rule(Facts):
    """What one rule said of a call, and the values that it judged on."""

    said: str
    """`pass`, or its verdict."""

    values: JsonObject = Field(default_factory=dict)


class RuleVerdict(Facts):
    """The strictest verdict, and the rule that gave it; its words are personal."""

    verdict: Literal["allow", "confirm", "approve", "deny"]
    rule: str


class CallFacts(Facts):
    """A grounded call and what the laws said of it."""

    tool: str = Field(alias="gen_ai.tool.name")
    call_id: str = Field(alias="gen_ai.tool.call.id")
    """The request's id and the number of the call in it, from 0."""

    arguments: JsonObject = Field(alias="gen_ai.tool.call.arguments")
    """Typed, in range, carried by evidence; somebody's own words are under `personal.calls`."""

    spans: dict[str, tuple[Span, ...]] = Field(default_factory=dict)
    """Characters of the request that carry each argument."""

    anchor: Span | None = None
    """Characters that ask for this call."""

    confidence: float
    verdict: RuleVerdict
    rules: dict[str, Rule]


class ProposalFacts(Facts):
    """What the network said before anything was checked."""

    abstain: float
    candidates: tuple[tuple[str, float], ...]
    """The likeliest tools and their scores."""

    input_tokens: int = Field(alias="gen_ai.usage.input_tokens")


CameBack = Literal[
    "answered", "timeout", "unreachable", "refused", "malformed", "fault",
    "resting",  # it was not asked: it failed too often just now
    "busy",  # it was not asked: another request is asking
    "untried",  # it was not asked: Needle weights that have not passed the safety suite on this device
]  # fmt: skip


class EscalatedCall(Facts):
    """A call that a second model proposed: where in the request its words are, and options of the tool's own lists."""

    tool: str = Field(alias="gen_ai.tool.name")
    spans: dict[str, tuple[Span, ...]] = Field(default_factory=dict)
    """Characters of the request that it gave for each argument; 0 to 0 for words that nobody said."""

    options: dict[str, JsonScalar] = Field(default_factory=dict)


class Escalated(Facts):
    """A second model, asked because the device's own did not know; a replay takes this and asks nobody."""

    proposer: str
    """`server`, or `needle`."""

    model: str
    where_sha256: str
    """Of the server's address, or of the weights."""

    why: RefusalCode
    """What the device's own model came to."""

    came_back: CameBack
    reason: str = Field(default="", max_length=200)
    """Why there is no answer, in words of ours: none of the server's, no path, no address."""

    sent_sha256: str = ""
    """Of everything that left the device for it."""

    took_ms: float = 0.0
    calls: tuple[EscalatedCall, ...] = ()
    """What it proposed, before anything was checked."""


class QuestionFacts(Facts):
    """What has to be answered before the call can be made."""

    tool: str = Field(alias="gen_ai.tool.name")
    missing: tuple[str, ...]
    arguments: JsonObject = Field(default_factory=dict, alias="gen_ai.tool.call.arguments")
    """What is known already."""

    confidence: float = 1.0


class RefusalFacts(Facts):
    """Why the request could not become a call."""

    code: RefusalCode
    tool: str | None = Field(default=None, alias="gen_ai.tool.name")
    parameter: str | None = None


class AskedCall(Facts):
    """A call that was proposed as one: by a program, a timer, a controller, or to take an act back."""

    tool: str = Field(alias="gen_ai.tool.name")
    arguments: JsonObject = Field(default_factory=dict, alias="gen_ai.tool.call.arguments")
    confidence: float = 1.0


class Approval(Facts):
    """A person's word on a request that waited."""

    request_id: str
    """The request that carried it."""

    note: int
    """The record of it; corrected values and the words of an answer are personal there."""

    origin: Asker
    at: datetime
    asked_as: AskedAs
    yes: bool = True
    edited: tuple[str, ...] = ()
    """Names of the arguments that were corrected by hand."""


class Latency(Facts):
    """How long the parts took, in milliseconds."""

    reading_ms: float = 0.0
    judging_ms: float = 0.0
    acting_ms: float = 0.0
    total_ms: float = 0.0


class VersionFacts(Facts):
    """What decided."""

    software: str
    bundle_sha256: str = ""
    """Of the bundle's manifest, which holds the hash of every other file."""

    runtime: str = ""


class Decision(Facts):
    """A request, how it was understood, and what the laws made of it: complete before anything moves."""

    operation: Literal["invoke_agent"] = Field(alias="gen_ai.operation.name")
    """A request is one; its calls are what the conventions call `execute_tool`."""

    model: str | None = Field(default=None, alias="gen_ai.request.model")
    """Name and version of the bundle, where words were read."""

    origin: Asker
    """Who asked."""

    asked_as: AskedAs
    """In words, as a call, or to take an act back."""

    received_at: datetime
    """When it was committed to the inbox."""

    assume_yes: bool = False
    """Confirmed beforehand, by whoever said it."""

    context: Context
    """What it was read in."""

    configured: str
    """Digest of the configuration in force: a `configured` record has it whole."""

    state: str
    """The lifecycle's state when the request was heard."""

    workflows: tuple[Workflow, ...] = ()
    """Every declared workflow that was asked."""

    judged_at: Moment | None = None
    """By which the workflows' times were judged; absent where none was asked."""

    barred: str = ""
    """Why the laws could not be used, and so nothing was allowed."""

    given: tuple[Given, ...] = ()
    """Approvals that the decision rests on."""

    asked: AskedCall | None = None
    """The call as it was proposed; absent for words."""

    undoes: str | None = None
    """The request whose act is taken back."""

    continues: int | None = None
    """The `parked` record that this goes on from: its plan, corrected or answered."""

    approval: Approval | None = None
    """Who said yes, or answered."""

    guards: Guards
    """What the device knew of itself."""

    proposal: ProposalFacts | None = None
    """What the network said; absent where none was asked, and where the record before has it."""

    escalated: Escalated | None = None
    """What a second model said; absent where none was asked, and where the record before has it."""

    calls: tuple[CallFacts, ...] = ()
    """What is to be done, in order."""

    question: QuestionFacts | None = None
    """What is asked back."""

    refusal: RefusalFacts | None = None
    """Why it could not become a call."""

    comes_to: ComesTo
    """What was decided."""

    latency: Latency
    """How long it took until here."""

    versions: VersionFacts
    """What decided."""


class Decided(Decision):
    """`decided`: committed before the act."""


class Parked(Decision):
    """`parked`: waits for a person, until it expires."""

    status: Literal["waiting", "asked"]
    code: str
    """The rule that wants a confirmation, or `missing`."""

    expires_at: datetime


class Refused(Decision):
    """`settled` where nothing was done: the whole decision in one record."""

    status: Literal["refused"]
    code: str


class CallResult(Facts):
    """What became of a call; its message and output are personal."""

    tool: str = Field(alias="gen_ai.tool.name")
    call_id: str = Field(alias="gen_ai.tool.call.id")
    state: str
    """done, failed, skipped, indeterminate."""

    postcondition: Literal["held", "failed", "unchecked"] | None = None
    latency_ms: float = 0.0


class Step(Facts):
    """`step`: the outcome of a call, and the intent of the next one of the same request."""

    decided: int
    """The record that says what was decided."""

    next_call: int
    calls: tuple[CallResult, ...]


class Settled(Facts):
    """`settled` after an act: what came of what was decided."""

    decided: int
    status: str
    code: str = ""
    calls: tuple[CallResult, ...]
    latency: Latency


class Closed(Facts):
    """`settled` without a decision of its own: declined, lapsed, said before a restart, or a fault."""

    origin: Asker
    asked_as: AskedAs
    received_at: datetime
    continues: int | None = None
    approval: Approval | None = None
    status: str
    code: str
    latency: Latency = Latency()
    versions: VersionFacts


class Answered(Facts):
    """`note`: a person's word on the request `of`."""

    of: str
    origin: Asker
    asked_as: AskedAs
    received_at: datetime
    yes: bool = True
    edited: tuple[str, ...] = ()


class InDoubt(Facts):
    """`indeterminate`: decided before a power cut or a fault; whether it happened is not known."""

    decided: int | None = None
    doubtful_call: int
    status: Literal["indeterminate"]
    code: str


class Resolved(Facts):
    """`resolved`: what a person found out about an act in doubt."""

    happened: bool
    peer: str


class Configuration(Facts):
    """Everything that a decision depends on and that is not in the request."""

    agent_id: str = Field(alias="gen_ai.agent.id")
    """The device."""

    software: str
    bundle: str = ""
    bundle_version: str = ""
    bundle_sha256: str = ""
    runtime: str = ""
    machine: str
    """The processor's architecture: another one may differ in the last bits."""

    thresholds: Thresholds
    zone: str | None
    """In which times of day are meant; the system's when absent."""

    policy: JsonObject
    """What the owner allows: the section `[policy]`."""

    escalation: JsonObject = Field(default_factory=dict)
    """The second model that the owner chose; absent where it is off."""

    tools: tuple[ToolSpec, ...]
    """As the reader saw them, with the names that exist at this site; internal ones too."""

    laws: tuple[JsonObject, ...] = ()
    """Declared workflows."""

    def digest(self) -> str:
        """Return what decisions cite it by."""
        return digest(self.to_json())


class Configured(Facts):
    """`configured`: a configuration, whole."""

    digest: str
    configuration: Configuration
