"""What a request became before it was allowed: calls, or a question, or a refusal; and how it is written down."""

from __future__ import annotations

from collections.abc import Callable

from appliance.contracts.local import Outcome, RequestStatus
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.request import RequestId
from appliance.contracts.toolcall import GroundedCall, Proposal, Question, Refusal, ToolResult
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.policy.rules import Judgement


class Plan(Record):
    """The reading of one request."""

    text: str = ""
    by_model: bool = False
    calls: tuple[GroundedCall, ...] = ()
    question: Question | None = None
    refusal: Refusal | None = None
    proposal: Proposal | None = None
    confirmed: bool = False
    doubtful: bool = False
    """The words leave a doubt that confidence does not show; a person is asked."""

    undoes: int | None = None
    """The act that this plan takes back."""


class Kept(Record):
    """What a parked request keeps in its row until a person answers."""

    waits_for: str
    plan: Plan
    outcome: Outcome
    asked_n: int = 1


class Deed(Record):
    """One call of a request, from verdict to result."""

    call: GroundedCall
    judgement: Judgement
    result: ToolResult | None = None
    state: str = "planned"
    """planned, done, failed, skipped, indeterminate."""


class Versions(Record):
    """What decided: part of every decision's record."""

    software: str
    bundle: str = ""
    bundle_sha256: str = ""
    runtime: str = ""
    bundle_version: str = ""


def is_personal(parameter: Parameter | None) -> bool:
    """Return whether a value may hold somebody's own words: free text, and anything unknown."""
    if parameter is None:
        return True
    if parameter.kind == "array":
        return is_personal(parameter.items)
    return parameter.kind in ("string", "object", "unsupported") and not (
        parameter.options or parameter.entities or parameter.format in ("date", "time", "date-time", "duration")
    )


def split(call: GroundedCall, spec: ToolSpec | None) -> tuple[JsonObject, JsonObject]:
    """Separate the arguments that anyone may read from those that are somebody's words."""
    public: JsonObject = {}
    personal: JsonObject = {}
    for name, value in call.arguments.items():
        hidden = is_personal(spec.parameter(name) if spec else None)
        (personal if hidden else public)[name] = value
    return public, personal


def deed_facts(deed: Deed, spec: ToolSpec | None) -> tuple[JsonObject, JsonObject]:
    """Write one deed for the ledger: what anyone may read, and what is personal."""
    public, personal = split(deed.call, spec)
    facts: JsonObject = {
        # OpenTelemetry's GenAI convention names the tool; the rest has no name there.
        "gen_ai.tool.name": deed.call.tool,
        "arguments": public,
        "spans": {k: [list(s) for s in v] for k, v in deed.call.spans.items()},
        "confidence": round(deed.call.confidence, 4),
        "verdict": deed.judgement.verdict.model_dump(mode="json"),
        "rules": {a.rule: a.said for a in deed.judgement.rules},
        "state": deed.state,
    }
    if deed.result is not None:
        facts["status"] = deed.result.status
        facts["postcondition"] = deed.result.postcondition
        personal = {**personal, "message": deed.result.message, "output": deed.result.output}
    return facts, personal


def outcome_call(deed: Deed) -> JsonObject:
    """Write one deed for the person who asked."""
    return {
        "name": deed.call.tool,
        "arguments": dict(deed.call.arguments),
        "spans": {k: [list(s) for s in v] for k, v in deed.call.spans.items()},
        "confidence": round(deed.call.confidence, 4),
        "verdict": deed.judgement.verdict.verdict,
        "rule": deed.judgement.verdict.rule,
        "state": deed.state,
        "message": "" if deed.result is None else deed.result.message,
        "output": None if deed.result is None else deed.result.output,
        "postcondition": None if deed.result is None else deed.result.postcondition,
    }


def outcome(
    request_id: RequestId,
    status: RequestStatus,
    *,
    plan: Plan,
    deeds: tuple[Deed, ...] = (),
    reason: str = "",
    code: str = "",
    latency_ms: float = 0.0,
) -> Outcome:
    """Say what became of a request."""
    asked = plan.question
    return Outcome(
        request_id=request_id,
        status=status,
        calls=tuple(outcome_call(d) for d in deeds),
        reason=reason,
        question=asked.text if asked and status == "asked" else "",
        choices=asked.choices if asked and status == "asked" else (),
        code=code,
        text=plan.text,
        latency_ms=round(latency_ms, 2),
    )


SpecOf = Callable[[str], ToolSpec | None]
