"""A turn's state to what the ledger and the fleet are told of it."""

from __future__ import annotations

from appliance.agent.plan import Deed, Plan, SpecOf, Versions, deed_facts
from appliance.contracts.audit import AuditRecord, Moment, RecordKind
from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Request


def record(
    kind: RecordKind,
    request: Request,
    plan: Plan,
    deeds: tuple[Deed, ...],
    *,
    moment: Moment,
    versions: Versions,
    spec_of: SpecOf,
    outcome: Outcome | None = None,
    next_call: int | None = None,
    of: str | None = None,
) -> AuditRecord:
    """Write down a turn as it stands; the words that were said go under `personal`."""
    written = [deed_facts(deed, spec_of(deed.call.tool)) for deed in deeds]
    facts: JsonObject = {
        "gen_ai.operation.name": "execute_tool",
        "origin": {
            "kind": request.origin.kind.value,
            "peer": request.origin.peer,
            "role": request.origin.role,
            "correlation": request.origin.correlation,
        },
        "asked_as": request.body.kind,
        "received_at": request.received_at.isoformat(),
        "assume_yes": request.assume_yes,
        "confirmed": plan.confirmed,
        "calls": [facts for facts, _ in written],
        "versions": versions.model_dump(mode="json"),
    }
    personal: JsonObject = {}
    if plan.text:
        personal["text"] = plan.text
    if any(hidden for _, hidden in written):
        personal["calls"] = [hidden for _, hidden in written]
    if plan.proposal is not None:
        facts["proposal"] = {
            "abstain": round(plan.proposal.abstain, 4),
            "candidates": [[c.tool, round(c.score, 4)] for c in plan.proposal.candidates[:8]],
            "tokens_n": plan.proposal.tokens_n,
            "latency_ms": round(plan.proposal.latency_ms, 2),
        }
    if plan.question is not None:
        facts["question"] = {"gen_ai.tool.name": plan.question.tool, "missing": list(plan.question.missing)}
    if plan.refusal is not None:
        facts["refusal"] = {
            "code": plan.refusal.code.value,
            "tool": plan.refusal.tool,
            "parameter": plan.refusal.parameter,
        }
    if next_call is not None:
        facts["next_call"] = next_call
    if of is not None:
        facts["of"] = of
    if outcome is not None:
        facts["status"] = outcome.status
        facts["code"] = outcome.code
        facts["latency_ms"] = outcome.latency_ms
        personal["reason"] = outcome.reason
    return AuditRecord(kind=kind, moment=moment, request_id=request.request_id, facts=facts, personal=personal)


def report(request: Request, deeds: tuple[Deed, ...], outcome: Outcome, versions: Versions) -> JsonObject:
    """Write what the fleet learns of a turn: no words, no free-text values."""
    return {
        "request_id": request.request_id,
        "origin": request.origin.kind.value,
        "correlation": request.origin.correlation,
        "status": outcome.status,
        "code": outcome.code,
        "calls": [
            {
                "tool": deed.call.tool,
                "verdict": deed.judgement.verdict.verdict,
                "rule": deed.judgement.verdict.rule,
                "state": deed.state,
                "confidence": round(deed.call.confidence, 4),
                "postcondition": None if deed.result is None else deed.result.postcondition,
            }
            for deed in deeds
        ],
        "latency_ms": outcome.latency_ms,
        "bundle_sha256": versions.bundle_sha256,
        "software": versions.software,
    }
