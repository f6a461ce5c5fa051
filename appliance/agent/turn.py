"""One request, from the inbox to its outcome. The order of the lines in `_decide` and `_act` is the product.

Covers: decision committed before the act; outcome and report in one transaction; a request acts as a whole or not at
all when judged; an act is begun at most once.
Does not cover: what a tool does inside its own call; `recovery` marks what a crash left open as indeterminate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, assert_never

from appliance.agent import ledger_facts
from appliance.agent.plan import Deed, Kept, Plan, Versions, outcome
from appliance.agent.reading import Reader
from appliance.contracts.audit import AuditRecord, RecordKind
from appliance.contracts.clock import Clock
from appliance.contracts.local import Outcome
from appliance.contracts.manifest import Thresholds
from appliance.contracts.request import Answer, Ask, Call, Confirmed, Origin, OriginKind, Request, RequestId, Undo
from appliance.contracts.toolcall import GroundedCall, Refusal, RefusalCode, ToolResult
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import StorageError
from appliance.policy import rules
from appliance.policy.lifecycle import Lifecycle, State
from appliance.policy.rules import Judgement, Laws, PolicySettings, Situation
from appliance.storage import audit, inbox, outbox, undo
from appliance.storage.database import Database

SETTLE_RETRY_S: Final = 1.0
"""Pause between attempts to record an outcome while the disk is full."""


class Registry(Protocol):
    """The tools as a turn needs them."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools that words may be understood as."""

    def spec(self, name: str) -> ToolSpec | None:
        """Return the tool called *name*."""

    def perform(self, call: GroundedCall) -> ToolResult:
        """Act, then look whether it worked; a tool's own failure is a result."""


class Guards(Protocol):
    """What the device knows of itself when it judges."""

    def is_locked(self) -> bool:
        """Return whether the emergency stop is latched."""

    def is_recordable(self) -> bool:
        """Return whether the ledger can be written."""

    def storage_failed(self, error: StorageError) -> None:
        """Take note that an outcome waits for the disk."""


class Turn:
    """Carries requests, one at a time, each to exactly one outcome."""

    def __init__(
        self,
        *,
        db: Database,
        reader: Reader,
        registry: Registry,
        lifecycle: Lifecycle,
        guards: Guards,
        settings: PolicySettings,
        thresholds: Thresholds,
        versions: Versions,
        clock: Clock,
        new_id: Callable[[], str],
        reports: Callable[[], bool],
        laws: Sequence[Laws] = (),
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._db = db
        self._reader = reader
        self._registry = registry
        self._lifecycle = lifecycle
        self._guards = guards
        self._settings = settings
        self._act_at = thresholds.act if settings.act_at is None else settings.act_at
        self._refuse_below = thresholds.confirm if settings.refuse_below is None else settings.refuse_below
        self._versions = versions
        self._clock = clock
        self._new_id = new_id
        self._reports = reports
        self._laws = laws
        self._step = step  # told the name of every boundary: for traces, and for tests that cut the power there

    def handle(self, request: Request) -> Outcome:
        """Carry one request to its outcome, or to the person it waits for.

        Raises:
            StorageError: the decision could not be recorded; nothing was done.
        """
        begun = time.perf_counter()
        self._step("taken")
        self._lifecycle.fire("hear")
        try:
            match request.body:
                case Confirmed():
                    return self._confirmed(request, request.body, begun)
                case Answer():
                    return self._answered(request, request.body, begun)
                case Ask() | Call() | Undo():
                    return self._decide(request, self._read(request), begun)
                case _ as never:
                    assert_never(never)
        except StorageError:
            self._lifecycle.fire("refuse")
            raise

    def lapse(self) -> list[Outcome]:
        """Close what has waited too long for a person."""
        closed = []
        for parked in inbox.waiting(self._db):
            if self._clock.now() >= parked.expires_at:
                kept = Kept.model_validate(parked.waits_for, strict=False)
                closed.append(
                    self._close(parked.request, kept.plan, "Nobody answered in time; nothing was done.", "expired", 0.0)
                )
        waited = self._lifecycle.state in {State.ASKING, State.CONFIRMING}
        if closed and waited and not inbox.waiting(self._db):
            self._lifecycle.fire("lapse")
        return closed

    def abandon(self, request: Request, reason: str) -> Outcome:
        """Close a request that cannot be carried on; what may already have happened is called indeterminate."""
        begun = any(taken.request_id == request.request_id for taken in inbox.taken(self._db))
        if begun:
            said = outcome(request.request_id, "indeterminate", plan=Plan(), reason=reason, code="fault")
            with self._db.atomic():
                audit.append(self._db, self._record("indeterminate", request, Plan(), (), outcome=said))
                self._report(request, (), said)
                inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        else:
            said = self._close(request, Plan(), reason, "fault", 0.0)
        if self._lifecycle.state is State.DECIDING:
            self._lifecycle.fire("refuse")
        elif self._lifecycle.state is State.ACTING:
            self._lifecycle.fire("settle")
        return said

    def _read(self, request: Request) -> Plan:
        expires_at = request.origin.expires_at
        if expires_at is not None and self._clock.now() > expires_at:
            refusal = Refusal(code=RefusalCode.EXPIRED, reason="It expired before the device came to it.")
            return Plan(refusal=refusal)
        match request.body:
            case Ask(text=text):
                return self._reader.words(text, self._clock.now())
            case Call(call=call):
                timer = request.origin.kind is OriginKind.TIMER
                return self._reader.call(call, self._clock.now(), internal=timer)
            case Undo():
                last = undo.last(self._db)
                if last is None:
                    reason = "There is nothing that can be taken back."
                    return Plan(refusal=Refusal(code=RefusalCode.NOTHING_TO_DO, reason=reason))
                plan = self._reader.call(last.call, self._clock.now(), internal=True)
                return plan.model_copy(update={"undoes": last.seq})
            case _:
                raise AssertionError(request.body)

    def _decide(self, request: Request, plan: Plan, begun: float) -> Outcome:
        self._step("read")
        if plan.refusal is not None:
            return self._refuse(request, plan, plan.refusal.reason, plan.refusal.code, begun)
        if plan.question is not None:
            return self._park(request, plan, (), "answer", self._settings.answer_expires_s, begun)
        deeds = tuple(Deed(call=c, judgement=self._judge(request.origin, plan, c, request)) for c in plan.calls)
        verdicts = [d.judgement.verdict for d in deeds]
        for verdict in verdicts:
            if verdict.verdict == "deny":
                # One call denied, none made: half of what was asked is not what was asked.
                return self._refuse(request, plan, verdict.reason, verdict.rule, begun, deeds)
        if any(v.verdict != "allow" for v in verdicts):
            return self._park(request, plan, deeds, "confirm", self._settings.confirm_expires_s, begun)
        return self._act(request, plan, deeds, begun)

    def _judge(self, origin: Origin, plan: Plan, call: GroundedCall, request: Request) -> Judgement:
        spec = self._registry.spec(call.tool)
        assert spec is not None  # grounding refuses unknown tools
        at_device = origin.kind is OriginKind.OPERATOR
        situation = Situation(
            locked=self._guards.is_locked(),
            recordable=self._guards.is_recordable(),
            confirmed=plan.confirmed or (request.assume_yes and at_device),
            by_model=plan.by_model,
            doubtful=plan.doubtful,
            act_at=self._act_at,
            refuse_below=self._refuse_below,
            tools=tuple(s.name for s in self._registry.specs()),
        )
        return rules.judge(call, spec, origin, situation, self._settings, self._laws)

    def _act(self, request: Request, plan: Plan, deeds: tuple[Deed, ...], begun: float) -> Outcome:
        if not self._lifecycle.fire("permit"):
            return self._refuse(request, plan, "The device is stopped.", "emergency-stop", begun, deeds)
        with self._db.atomic():
            audit.append(self._db, self._record("decided", request, plan, deeds, next_call=0))
            inbox.take(self._db, request.request_id)
        self._step("decided")  # committed: from here on the act may have happened
        for n, deed in enumerate(deeds):
            result = self._registry.perform(deed.call)
            self._step("performed")
            deeds = (*deeds[:n], deed.model_copy(update={"result": result, "state": result.status}), *deeds[n + 1 :])
            if result.status != "done":
                # What was to follow was said in the belief that this would succeed.
                deeds = (*deeds[: n + 1], *(d.model_copy(update={"state": "skipped"}) for d in deeds[n + 1 :]))
                break
            if n + 1 < len(deeds):
                audit.append(self._db, self._record("step", request, plan, deeds, next_call=n + 1))
                self._step("stepped")
        failed = next((d.result for d in deeds if d.result and d.result.status != "done"), None)
        said = outcome(
            request.request_id,
            "done" if failed is None else failed.status,
            plan=plan,
            deeds=deeds,
            reason=failed.message if failed else " ".join(d.result.message for d in deeds if d.result),
            latency_ms=_elapsed_ms(begun),
        )
        self._settle(request, plan, deeds, said)
        self._step("settled")
        self._lifecycle.fire("settle")
        return said

    def _settle(self, request: Request, plan: Plan, deeds: tuple[Deed, ...], said: Outcome) -> None:
        while True:
            try:
                with self._db.atomic():
                    audit.append(self._db, self._record("settled", request, plan, deeds, outcome=said))
                    self._report(request, deeds, said)
                    self._keep_undo(request, plan, deeds)
                    inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
                return
            except StorageError as error:
                # The act has happened; its outcome is not given up because the disk is full. Should the power fail
                # first, recovery finds the decision and says `indeterminate`.
                self._guards.storage_failed(error)
                time.sleep(SETTLE_RETRY_S)

    def _keep_undo(self, request: Request, plan: Plan, deeds: tuple[Deed, ...]) -> None:
        if plan.undoes is not None:
            undo.drop(self._db, plan.undoes)
            return
        for deed in deeds:
            if deed.state == "done" and deed.result is not None and deed.result.undo is not None:
                undo.push(self._db, request.request_id, deed.result.undo)

    def _refuse(
        self, request: Request, plan: Plan, reason: str, code: str, begun: float, deeds: tuple[Deed, ...] = ()
    ) -> Outcome:
        said = outcome(
            request.request_id,
            "refused",
            plan=plan,
            deeds=deeds,
            reason=reason,
            code=code,
            latency_ms=_elapsed_ms(begun),
        )
        with self._db.atomic():
            audit.append(self._db, self._record("settled", request, plan, deeds, outcome=said))
            self._report(request, deeds, said)
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        self._step("refused")
        self._lifecycle.fire("refuse")
        return said

    def _park(
        self, request: Request, plan: Plan, deeds: tuple[Deed, ...], waits: str, expires_s: float, begun: float
    ) -> Outcome:
        verdict = next((d.judgement.verdict for d in deeds if d.judgement.verdict.verdict != "allow"), None)
        reason = getattr(verdict, "question", "") or (plan.question.text if plan.question else "")
        said = outcome(
            request.request_id,
            "waiting" if waits == "confirm" else "asked",
            plan=plan,
            deeds=deeds,
            reason=reason,
            code=verdict.rule if verdict else "missing",
            latency_ms=_elapsed_ms(begun),
        )
        kept = Kept(waits_for=waits, plan=plan, outcome=said)
        with self._db.atomic():
            audit.append(self._db, self._record("parked", request, plan, deeds, outcome=said))
            self._report(request, deeds, said)
            until = self._clock.now() + timedelta(seconds=expires_s)
            inbox.park(self._db, request.request_id, kept.model_dump(mode="json"), until)
        self._step("parked")
        self._lifecycle.fire("hold" if waits == "confirm" else "ask")
        return said

    def _confirmed(self, request: Request, body: Confirmed, begun: float) -> Outcome:
        kept, parked = self._kept(body.of, "confirm")
        if kept is None or parked is None:
            return self._refuse(request, Plan(), "Nothing waits for that confirmation.", "not_waiting", begun)
        if request.origin.kind is not OriginKind.OPERATOR:
            return self._refuse(request, Plan(), "Only a person at the device confirms.", "roles", begun)
        if not body.yes:
            self._answered_by(request, parked)
            return self._refuse(parked, kept.plan, "Declined.", "declined", begun)
        plan = self._reader.edited(kept.plan, body.edits, self._clock.now())
        self._answered_by(request, parked)
        # Judged anew: what was allowed when the question was put may not be now.
        return self._decide(parked, plan.model_copy(update={"confirmed": True}), begun)

    def _answered(self, request: Request, body: Answer, begun: float) -> Outcome:
        kept, parked = self._kept(body.of, "answer")
        if kept is None or parked is None:
            return self._refuse(request, Plan(), "Nothing waits for that answer.", "not_waiting", begun)
        plan = self._reader.answered(kept.plan, body.text, self._clock.now())
        self._answered_by(request, parked)
        return self._decide(parked, plan, begun)

    def _answered_by(self, request: Request, parked: Request) -> None:
        """Close the row that carried a person's word; the request it speaks of goes on."""
        plan = Plan(text=request.body.text if isinstance(request.body, Answer) else "")
        said = outcome(request.request_id, "done", plan=plan, reason=f"answers {parked.request_id}")
        with self._db.atomic():
            audit.append(self._db, self._record("note", request, plan, (), outcome=said, of=parked.request_id))
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))

    def _kept(self, of: RequestId, waits: str) -> tuple[Kept | None, Request | None]:
        row = inbox.parked(self._db, of)
        if row is None or self._clock.now() >= row.expires_at:
            return None, None
        kept = Kept.model_validate(row.waits_for, strict=False)
        return (kept, row.request) if kept.waits_for == waits else (None, None)

    def _close(self, request: Request, plan: Plan, reason: str, code: str, latency_ms: float) -> Outcome:
        said = outcome(request.request_id, "refused", plan=plan, reason=reason, code=code, latency_ms=latency_ms)
        with self._db.atomic():
            audit.append(self._db, self._record("settled", request, plan, (), outcome=said))
            self._report(request, (), said)
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        return said

    def _report(self, request: Request, deeds: tuple[Deed, ...], said: Outcome) -> None:
        if self._reports():
            body = ledger_facts.report(request, deeds, said, self._versions)
            envelope_id = f"{request.request_id}:{said.status}:{self._new_id()}"
            outbox.enqueue(self._db, envelope_id=envelope_id, kind="turn", at=self._now(), body=body)

    def _record(
        self,
        kind: RecordKind,
        request: Request,
        plan: Plan,
        deeds: tuple[Deed, ...],
        *,
        outcome: Outcome | None = None,
        next_call: int | None = None,
        of: str | None = None,
    ) -> AuditRecord:
        return ledger_facts.record(
            kind,
            request,
            plan,
            deeds,
            moment=self._clock.moment(),
            versions=self._versions,
            spec_of=self._registry.spec,
            outcome=outcome,
            next_call=next_call,
            of=of,
        )

    def _now(self) -> datetime:
        return self._clock.now()


def _elapsed_ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
