"""What a request became before it was allowed: calls, or a question, or a refusal; and what its asker is told."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ConfigDict

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

    # Parked by other software it may say more, and lapses all the same.
    model_config = ConfigDict(extra="ignore")

    waits_for: str
    plan: Plan
    outcome: Outcome
    seq: int = 0
    """Its record in the ledger."""


class Deed(Record):
    """One call of a request, from verdict to result."""

    call: GroundedCall
    judgement: Judgement
    result: ToolResult | None = None
    state: str = "planned"
    """planned, done, failed, skipped, indeterminate."""

    took_ms: float = 0.0


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


def split(tool: str, arguments: JsonObject, spec: ToolSpec | None) -> tuple[JsonObject, JsonObject]:
    """Separate the arguments that anyone may read from those that are somebody's words."""
    public: JsonObject = {}
    personal: JsonObject = {}
    for name, value in arguments.items():
        hidden = is_personal(spec.parameter(name) if spec else None)
        (personal if hidden else public)[name] = value
    return public, personal


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
