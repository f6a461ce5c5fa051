"""A turn's state to what the ledger and the fleet are told of it; somebody's own words go under `personal`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from appliance.agent.deciding import Decision
from appliance.agent.plan import Deed, Plan, SpecOf, Versions, split
from appliance.contracts import decision as forms
from appliance.contracts.audit import AuditRecord, Moment, RecordKind
from appliance.contracts.decision import Approval, Asker, Facts, Latency
from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Answer, Approve, Call, Confirmed, Origin, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.policy.workflow.gate import Gate
from appliance.policy.workflow.run import Given, Reading


class Heard(NamedTuple):
    """A request on its way: what a record says of it beside what it came to."""

    request: Request
    state: str
    now: datetime
    begun_s: float
    asked: ToolCall | None = None
    """The call, where it was proposed as one."""

    undoes: RequestId | None = None
    continues: int | None = None
    known: Plan = Plan()
    """What the record that this goes on from holds already."""

    approval: Approval | None = None
    gate: Gate | None = None
    """What the laws judged by."""

    given: tuple[Given, ...] = ()
    """Approvals so far."""

    until: datetime | None = None
    """When what waits lapses, where that is known already."""

    since: Moment | None = None
    """When it began to wait, where it waits on."""

    reading_ms: float = 0.0
    judging_ms: float = 0.0

    @property
    def is_too_late(self) -> bool:
        """Whether the request waited in the inbox for longer than its sender meant it."""
        expires_at = self.request.origin.expires_at
        return expires_at is not None and self.now > expires_at

    def elapsed_ms(self) -> float:
        """Return how long it has been on its way."""
        return (time.perf_counter() - self.begun_s) * 1000


class Scribe:
    """Writes down what a turn does."""

    def __init__(
        self,
        moment: Callable[[], Moment],
        versions: Versions,
        spec_of: SpecOf,
        local: Callable[[datetime], datetime] = lambda now: now,
    ) -> None:
        self._moment = moment
        self._versions = versions
        self._spec_of = spec_of
        self._local = local

    def decided(self, heard: Heard, decision: Decision, configured: str) -> AuditRecord:
        """Write what is about to be done."""
        facts, personal = self._decision(heard, decision, configured, 0.0)
        return self._record("decided", heard.request, forms.Decided(**facts), personal)

    def parked(
        self, heard: Heard, decision: Decision, configured: str, said: Outcome, expires_at: datetime
    ) -> AuditRecord:
        """Write what waits for a person."""
        facts, personal = self._decision(heard, decision, configured, said.latency_ms)
        status: Literal["asked", "waiting"] = "asked" if said.status == "asked" else "waiting"
        record = forms.Parked(**facts, status=status, code=said.code, expires_at=expires_at)
        return self._record("parked", heard.request, record, personal | {"reason": said.reason})

    def refused(self, heard: Heard, decision: Decision, configured: str, said: Outcome) -> AuditRecord:
        """Write what was not done, whole."""
        facts, personal = self._decision(heard, decision, configured, said.latency_ms)
        record = forms.Refused(**facts, status="refused", code=said.code)
        return self._record("settled", heard.request, record, personal | {"reason": said.reason})

    def step(self, heard: Heard, decided: int, deeds: tuple[Deed, ...], n: int) -> AuditRecord:
        """Write the outcome of call *n* and the intent of the next."""
        results, personal = self._results(heard.request, deeds, (n,))
        return self._record(
            "step", heard.request, forms.Step(decided=decided, next_call=n + 1, calls=results), personal
        )

    def settled(self, heard: Heard, decided: int, deeds: tuple[Deed, ...], said: Outcome, told: range) -> AuditRecord:
        """Write the last outcome; the calls before *told* have theirs in the steps."""
        results, personal = self._results(heard.request, deeds, told)
        latency = Latency(acting_ms=round(sum(deed.took_ms for deed in deeds), 2), total_ms=round(said.latency_ms, 2))
        facts = forms.Settled(decided=decided, status=said.status, code=said.code, calls=results, latency=latency)
        # What a tool said is with its call; the sentence for the person is put together from those.
        return self._record("settled", heard.request, facts, personal)

    def closed(self, heard: Heard, said: Outcome) -> AuditRecord:
        """Write the end of a request that needed no decision."""
        facts = forms.Closed(
            origin=asker(heard.request.origin),
            asked_as=heard.request.body.kind,
            received_at=heard.request.received_at,
            continues=heard.continues,
            approval=heard.approval,
            status=said.status,
            code=said.code,
            latency=Latency(total_ms=said.latency_ms),
            versions=_versions(self._versions),
        )
        personal: JsonObject = {"reason": said.reason}
        if said.text != heard.known.text:
            personal["text"] = said.text
        return self._record("settled", heard.request, facts, personal)

    def answered(self, request: Request, of: RequestId) -> AuditRecord:
        """Write a person's word on a request that waits."""
        body = request.body
        edits = body.edits if isinstance(body, Confirmed) else {}
        facts = forms.Answered(
            of=of,
            origin=asker(request.origin),
            asked_as=body.kind,
            received_at=request.received_at,
            yes=body.yes if isinstance(body, Confirmed | Approve) else True,
            edited=tuple(edits),
        )
        personal: JsonObject = {"text": body.text} if isinstance(body, Answer) else {"edits": edits} if edits else {}
        return self._record("note", request, facts, personal)

    def in_doubt(self, request: Request, decided: int | None, doubtful: int, said: Outcome) -> AuditRecord:
        """Write that something may have happened."""
        facts = forms.InDoubt(decided=decided, doubtful_call=doubtful, status="indeterminate", code=said.code)
        return self._record("indeterminate", request, facts, {"reason": said.reason})

    def _record(self, kind: RecordKind, request: Request, facts: Facts, personal: JsonObject) -> AuditRecord:
        name = request.request_id
        return AuditRecord(kind=kind, moment=self._moment(), request_id=name, facts=facts.to_json(), personal=personal)

    def _decision(
        self, heard: Heard, decision: Decision, configured: str, total_ms: float
    ) -> tuple[dict[str, Any], JsonObject]:
        """Write the parts that every decision has; the first is for the constructor of its form."""
        plan, request = decision.plan, heard.request
        personal: JsonObject = {}
        calls = []
        hidden_n: list[Any] = []
        for n, deed in enumerate(decision.deeds):
            public, hidden = split(deed.call.tool, deed.call.arguments, self._spec_of(deed.call.tool))
            calls.append(_call(request, n, deed, public))
            hidden_n.append(hidden)
        if any(hidden_n):
            personal["calls"] = hidden_n
        # What a record before this one holds is not written twice: a card wears out by the byte.
        if plan.text != heard.known.text:
            personal["text"] = plan.text
        question = asked = None
        if plan.question is not None:
            known, hidden = split(plan.question.tool, plan.question.arguments, self._spec_of(plan.question.tool))
            question = forms.QuestionFacts(
                tool=plan.question.tool,
                missing=plan.question.missing,
                arguments=known,
                confidence=round(plan.question.confidence, 6),
            )
            if hidden:
                personal["question"] = hidden
        if heard.asked is not None:
            public, hidden = split(heard.asked.tool, heard.asked.literals, self._spec_of(heard.asked.tool))
            asked = forms.AskedCall(tool=heard.asked.tool, arguments=public, confidence=heard.asked.confidence)
            if hidden:
                personal["asked"] = hidden
        if isinstance(request.body, Call) and request.body.because:
            personal["because"] = request.body.because
        by_model = plan.by_model and bool(self._versions.bundle)
        return {
            "operation": "invoke_agent",
            "model": f"{self._versions.bundle}/{self._versions.bundle_version}" if by_model else None,
            "origin": asker(request.origin),
            "asked_as": request.body.kind,
            "received_at": request.received_at,
            "assume_yes": request.assume_yes,
            "context": forms.Context(now=self._local(heard.now)),
            "configured": configured,
            "state": heard.state,
            **_laws(heard),
            "asked": asked,
            "undoes": heard.undoes,
            "continues": heard.continues,
            "approval": heard.approval,
            "guards": decision.guards,
            "proposal": None if plan.proposal == heard.known.proposal else _proposal(plan),
            "escalated": None if plan.escalated == heard.known.escalated else plan.escalated,
            "calls": tuple(calls),
            "question": question,
            "refusal": _refusal(plan),
            "comes_to": decision.comes_to,
            "latency": Latency(
                reading_ms=round(heard.reading_ms, 2),
                judging_ms=round(heard.judging_ms, 2),
                total_ms=round(total_ms, 2),
            ),
            "versions": _versions(self._versions),
        }, personal

    def _results(
        self, request: Request, deeds: tuple[Deed, ...], told: range | tuple[int, ...]
    ) -> tuple[tuple[forms.CallResult, ...], JsonObject]:
        results = []
        words: list[Any] = []
        for n in told:
            deed = deeds[n]
            results.append(
                forms.CallResult(
                    tool=deed.call.tool,
                    call_id=_call_id(request, n),
                    state=deed.state,
                    postcondition=None if deed.result is None else deed.result.postcondition,
                    latency_ms=round(deed.took_ms, 2),
                )
            )
            output: JsonObject = {}
            if deed.result is not None:
                output["message"] = deed.result.message
                if deed.result.output is not None:
                    output["gen_ai.tool.call.result"] = deed.result.output
            words.append(output)
        return tuple(results), {"calls": words}


def _laws(heard: Heard) -> dict[str, Any]:
    """Write every law as it stood: enough to judge the same again."""
    gate = heard.gate
    if gate is None or not (gate.placed or gate.barred):
        return {}
    workflows = tuple(
        forms.Workflow(
            name=one.law.name,
            version=one.law.version,
            digest=one.law.digest,
            state="" if one.run is None else one.run.state,
            run=None if one.run is None else one.run.model_dump(mode="json", exclude_defaults=True),
            readings={name: _reading(reading) for name, reading in one.context.readings.items()},
        )
        for one in gate.placed
    )
    given = tuple(
        forms.Given(of=one.of, person=one.who.person, role=one.who.role, at=one.at) for one in gate.asking.given
    )
    return {"workflows": workflows, "judged_at": gate.asking.now, "barred": gate.barred, "given": given}


def _reading(reading: Reading) -> JsonObject:
    return {"value": reading.value, "at": reading.at.model_dump(mode="json")}


def asker(origin: Origin) -> Asker:
    """Write who proposed."""
    return Asker(
        kind=origin.kind,
        peer=origin.peer,
        role=origin.role,
        person=origin.person,
        correlation=origin.correlation,
        to_all=origin.to_all,
        expires_at=origin.expires_at,
    )


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


def _call(request: Request, n: int, deed: Deed, public: JsonObject) -> forms.CallFacts:
    verdict = deed.judgement.verdict
    return forms.CallFacts(
        tool=deed.call.tool,
        call_id=_call_id(request, n),
        arguments=public,
        spans=dict(deed.call.spans),
        anchor=deed.call.anchor,
        confidence=round(deed.call.confidence, 6),
        verdict=forms.RuleVerdict(verdict=verdict.verdict, rule=verdict.rule),
        rules={a.rule: forms.Rule(said=a.said, values=a.values) for a in deed.judgement.rules},
    )


def _call_id(request: Request, n: int) -> str:
    return f"{request.request_id}/{n}"


def _proposal(plan: Plan) -> forms.ProposalFacts | None:
    if plan.proposal is None:
        return None
    return forms.ProposalFacts(
        abstain=round(plan.proposal.abstain, 4),
        candidates=tuple((c.tool, round(c.score, 4)) for c in plan.proposal.candidates[: forms.CANDIDATES_N]),
        input_tokens=plan.proposal.tokens_n,
    )


def _refusal(plan: Plan) -> forms.RefusalFacts | None:
    if plan.refusal is None:
        return None
    return forms.RefusalFacts(code=plan.refusal.code, tool=plan.refusal.tool, parameter=plan.refusal.parameter)


def _versions(versions: Versions) -> forms.VersionFacts:
    return forms.VersionFacts(
        software=versions.software, bundle_sha256=versions.bundle_sha256, runtime=versions.runtime
    )
