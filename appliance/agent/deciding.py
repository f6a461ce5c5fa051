"""A plan to what it comes to: act, wait for a person, ask, or refuse; pure, so that a replay decides by the same lines.

Covers: a request acts as a whole or not at all when judged; every call is judged, and every answer is kept.
Does not cover: where the guards' values come from, and acting; `turn` does both.
"""

from __future__ import annotations

from appliance.agent.plan import Deed, Plan
from appliance.agent.reading import Catalogue
from appliance.contracts.decision import ComesTo, Guards
from appliance.contracts.manifest import Thresholds
from appliance.contracts.record import Record
from appliance.contracts.request import Origin
from appliance.contracts.verdict import Approve, Confirm, Deny
from appliance.policy import rules
from appliance.policy.answers import Answer, Wanted
from appliance.policy.rules import Judgement, PolicySettings, Situation
from appliance.policy.workflow.gate import Gate


class Decision(Record):
    """What a request comes to, and why."""

    comes_to: ComesTo
    plan: Plan
    guards: Guards
    deeds: tuple[Deed, ...] = ()
    reason: str = ""
    """One sentence for the person who asked."""

    code: str = ""
    wanted: tuple[Wanted, ...] = ()
    """Approvals that are waited for."""

    def of(self, comes_to: ComesTo, reason: str, code: str) -> Decision:
        """Return the same, come to something else."""
        return self.model_copy(update={"comes_to": comes_to, "reason": reason, "code": code})


class Judge:
    """Decides by the bundle's thresholds, which the owner's policy may raise, and the laws of the site."""

    def __init__(
        self,
        catalogue: Catalogue,
        thresholds: Thresholds,
        settings: PolicySettings,
    ) -> None:
        self._catalogue = catalogue
        # The canary tries a bundle at its own thresholds: an owner raises them, or what was tried is not what acts.
        self._act_at = max(thresholds.act, settings.act_at or 0.0)
        self._refuse_below = max(thresholds.confirm, settings.refuse_below or 0.0)
        self._settings = settings

    def decide(self, plan: Plan, origin: Origin, guards: Guards, gate: Gate) -> Decision:
        """Say what *plan* comes to while the device is as *guards* say, and the laws as *gate* has them."""
        if plan.refusal is not None:
            why = plan.refusal
            return Decision(comes_to="refuse", plan=plan, guards=guards, reason=why.reason, code=why.code)
        if plan.question is not None:
            return Decision(comes_to="ask", plan=plan, guards=guards, reason=plan.question.text, code="missing")
        judged = [self.judge(plan, n, origin, guards, gate) for n in range(len(plan.calls))]
        deeds = tuple(Deed(call=call, judgement=one) for call, (one, _) in zip(plan.calls, judged, strict=True))
        wanted = tuple(want for _, answer in judged for want in answer.wanted)
        verdicts = [deed.judgement.verdict for deed in deeds]
        decision = Decision(comes_to="act", plan=plan, guards=guards, deeds=deeds, wanted=wanted)
        for verdict in verdicts:
            if isinstance(verdict, Deny):
                # One call denied, none made: half of what was asked is not what was asked.
                return decision.of("refuse", verdict.reason, verdict.rule)
        for verdict in verdicts:
            if isinstance(verdict, Approve):
                return decision.of("approve", verdict.question, verdict.rule)
        for verdict in verdicts:
            if isinstance(verdict, Confirm):
                return decision.of("confirm", verdict.question, verdict.rule)
        return decision if guards.permitted else stopped(decision)

    def judge(self, plan: Plan, n: int, origin: Origin, guards: Guards, gate: Gate) -> tuple[Judgement, Answer]:
        """Judge call number *n* of *plan*, after those before it."""
        call = plan.calls[n]
        spec = self._catalogue.spec(call.tool)
        assert spec is not None  # grounding refuses unknown tools
        situation = Situation(
            locked=guards.locked,
            recordable=guards.recordable,
            confirmed=guards.confirmed,
            maintenance=guards.maintenance,
            by_model=plan.by_model,
            doubtful=plan.doubtful,
            act_at=self._act_at,
            refuse_below=self._refuse_below,
            tools=tuple(s.name for s in self._catalogue.specs()),
        )
        answer = gate.ask(n, call, spec)
        return rules.judge(call, spec, origin, situation, self._settings, answer), answer


def stopped(decision: Decision) -> Decision:
    """Return what *decision* comes to where the lifecycle has no way to acting."""
    guards = decision.guards.model_copy(update={"permitted": False})
    return decision.model_copy(update={"guards": guards}).of("refuse", "The device is stopped.", "emergency-stop")
