"""What a request became before it was allowed: calls, or a question, or a refusal; and what its asker is told."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ConfigDict

from appliance.contracts.audit import Moment
from appliance.contracts.decision import Escalated
from appliance.contracts.local import Outcome, RequestStatus
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.request import RequestId
from appliance.contracts.toolcall import GroundedCall, Proposal, Question, Refusal, ToolResult
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.contracts.verdict import Deny, Verdict
from appliance.policy.answers import Wanted
from appliance.policy.rules import Judgement
from appliance.policy.workflow.run import Given


class Plan(Record):
    """The reading of one request."""

    text: str = ""
    by_model: bool = False
    calls: tuple[GroundedCall, ...] = ()
    question: Question | None = None
    refusal: Refusal | None = None
    proposal: Proposal | None = None
    escalated: Escalated | None = None
    """What a second model said, where the device's own did not know."""

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

    since: Moment | None = None
    """When it began to wait."""

    wanted: tuple[Wanted, ...] = ()
    """Approvals that it waits for."""

    given: tuple[Given, ...] = ()
    """Those that it has."""


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


def came_to(
    request_id: RequestId, plan: Plan, deeds: tuple[Deed, ...], barred: Verdict | None, latency_ms: float
) -> Outcome:
    """Say what became of the calls of a request.

    Args:
        barred: why the calls that were not begun were not; None where all were, or one failed.
    """
    failed = next((d.result for d in deeds if d.result and d.result.status != "done"), None)
    reason = failed.message if failed else " ".join(d.result.message for d in deeds if d.result)
    if barred is not None:
        why = barred.reason if isinstance(barred, Deny) else "the next call needs a yes of its own now."
        reason = f"{reason} Then it stopped: {why}"
    return outcome(
        request_id,
        "failed" if barred is not None else "done" if failed is None else failed.status,
        plan=plan,
        deeds=deeds,
        reason=reason,
        code="" if barred is None else barred.rule,
        latency_ms=latency_ms,
    )


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
    verdicts = (deed.judgement.verdict for deed in deeds if status == "refused")
    denied = next((verdict for verdict in verdicts if isinstance(verdict, Deny)), None)
    return Outcome(
        request_id=request_id,
        status=status,
        calls=tuple(outcome_call(d) for d in deeds),
        reason=reason,
        question=asked.text if asked and status == "asked" else "",
        choices=asked.choices if asked and status == "asked" else (),
        code=code,
        allowed=denied.allowed if denied is not None else (),
        remedy=denied.remedy if denied is not None else "",
        text=plan.text,
        latency_ms=round(latency_ms, 2),
    )


SpecOf = Callable[[str], ToolSpec | None]
