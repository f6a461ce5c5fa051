"""One request, from the inbox to its outcome. The order of the lines in `_decide` and `_act` is the product.

Covers: decision committed before the act; outcome and report in one transaction; an act is begun at most once.
Does not cover: what words and laws make of a request (`reading`, `deciding`); what a tool does inside its own call;
`recovery` marks what a crash left open as indeterminate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol, assert_never

from appliance.agent import ledger_facts, recovery
from appliance.agent.configuration import InForce
from appliance.agent.deciding import Decision, Judge, stopped
from appliance.agent.ledger_facts import Heard, Scribe
from appliance.agent.plan import Deed, Kept, Plan, Versions, outcome
from appliance.agent.reading import Reader
from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.decision import Approval, Guards
from appliance.contracts.local import Outcome, RequestStatus
from appliance.contracts.request import Answer, Ask, Call, Confirmed, OriginKind, Request, RequestId, Undo
from appliance.contracts.toolcall import GroundedCall, ToolResult
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import DatabaseDamaged, StorageError
from appliance.policy.lifecycle import Lifecycle, State
from appliance.policy.rules import PolicySettings
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


class DeviceGuards(Protocol):
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
        judge: Judge,
        registry: Registry,
        lifecycle: Lifecycle,
        guards: DeviceGuards,
        settings: PolicySettings,
        configuration: InForce,
        versions: Versions,
        clock: Clock,
        new_id: Callable[[], str],
        reports: Callable[[], bool],
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._db = db
        self._reader = reader
        self._judge = judge
        self._registry = registry
        self._lifecycle = lifecycle
        self._guards = guards
        self._settings = settings
        self._configuration = configuration
        self._versions = versions
        self._clock = clock
        self._new_id = new_id
        self._reports = reports
        self._scribe = Scribe(clock.moment, versions, registry.spec, reader.local)
        self._step = step  # told the name of every boundary: for traces, and for tests that cut the power there

    def handle(self, request: Request) -> Outcome:
        """Carry one request to its outcome, or to the person it waits for.

        Raises:
            StorageError: the decision could not be recorded; nothing was done.
        """
        heard = self._heard(request)
        self._step("taken")
        self._lifecycle.fire("hear")
        try:
            match request.body:
                case Confirmed() as body:
                    return self._confirmed(heard, body)
                case Answer() as body:
                    return self._answered(heard, body)
                case Ask() | Call() | Undo() as body:
                    return self._asked(heard, body)
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
                heard = self._heard(parked.request)._replace(continues=kept.seq, known=kept.plan)
                closed.append(self._close(heard, "Nobody answered in time; nothing was done.", "expired"))
        waited = self._lifecycle.state in {State.ASKING, State.CONFIRMING}
        if closed and waited and not inbox.waiting(self._db):
            self._lifecycle.fire("lapse")
        return closed

    def abandon(self, request: Request, reason: str) -> Outcome:
        """Close a request that cannot be carried on; what may already have happened is called indeterminate."""
        begun = any(taken.request_id == request.request_id for taken in inbox.taken(self._db))
        if begun:
            known = recovery.last_known(self._db, request)
            said = outcome(request.request_id, "indeterminate", plan=Plan(), reason=reason, code="fault")
            with self._db.atomic():
                audit.append(self._db, self._scribe.in_doubt(request, known.decided, known.doubtful, said))
                self._report(request, (), said)
                inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        else:
            said = self._close(self._heard(request), reason, "fault")
        if self._lifecycle.state is State.DECIDING:
            self._lifecycle.fire("refuse")
        elif self._lifecycle.state is State.ACTING:
            self._lifecycle.fire("settle")
        return said

    def _heard(self, request: Request) -> Heard:
        return Heard(request, self._lifecycle.state.value, self._clock.now(), time.perf_counter())

    def _asked(self, heard: Heard, body: Ask | Call | Undo) -> Outcome:
        begun = time.perf_counter()
        last = undo.last(self._db) if isinstance(body, Undo) else None
        plan = self._reader.request(body, heard.request.origin, heard.now, None if last is None else last.call)
        if last is not None:
            plan = plan.model_copy(update={"undoes": last.seq})
            heard = heard._replace(asked=last.call, undoes=RequestId(last.request_id))
        if isinstance(body, Call):
            heard = heard._replace(asked=body.call)
        return self._decide(heard._replace(reading_ms=_elapsed_ms(begun)), plan)

    def _decide(self, heard: Heard, plan: Plan) -> Outcome:
        self._step("read")
        begun = time.perf_counter()
        at_device = heard.request.origin.kind is OriginKind.OPERATOR
        guards = Guards(
            locked=self._guards.is_locked(),
            recordable=self._guards.is_recordable(),
            confirmed=plan.confirmed or (heard.request.assume_yes and at_device),
            permitted=True,  # until the lifecycle says otherwise
        )
        decision = self._judge.decide(plan, heard.request.origin, guards)
        heard = heard._replace(judging_ms=_elapsed_ms(begun))
        match decision.comes_to:
            case "refuse":
                return self._refuse(heard, decision)
            case "ask":
                return self._park(heard, decision, "answer", self._settings.answer_expires_s)
            case "confirm":
                return self._park(heard, decision, "confirm", self._settings.confirm_expires_s)
            case "act" if not self._lifecycle.fire("permit"):
                return self._refuse(heard, stopped(decision))
            case "act":
                return self._act(heard, decision)
            case _ as never:
                assert_never(never)

    def _act(self, heard: Heard, decision: Decision) -> Outcome:
        request, deeds = heard.request, decision.deeds
        with self._db.atomic():
            record = self._scribe.decided(heard, decision, self._cite())
            decided = audit.append(self._db, record)
            inbox.take(self._db, request.request_id)
        self._step("decided")  # committed: from here on the act may have happened
        told = 0
        for n, deed in enumerate(deeds):
            begun = time.perf_counter()
            result = self._registry.perform(deed.call)
            self._step("performed")
            done = {"result": result, "state": result.status, "took_ms": _elapsed_ms(begun)}
            deeds = (*deeds[:n], deed.model_copy(update=done), *deeds[n + 1 :])
            if result.status != "done":
                # What was to follow was said in the belief that this would succeed.
                deeds = (*deeds[: n + 1], *(d.model_copy(update={"state": "skipped"}) for d in deeds[n + 1 :]))
                break
            if n + 1 < len(deeds):
                audit.append(self._db, self._scribe.step(heard, decided, deeds, n))
                told = n + 1
                self._step("stepped")
        failed = next((d.result for d in deeds if d.result and d.result.status != "done"), None)
        said = outcome(
            request.request_id,
            "done" if failed is None else failed.status,
            plan=decision.plan,
            deeds=deeds,
            reason=failed.message if failed else " ".join(d.result.message for d in deeds if d.result),
            latency_ms=heard.elapsed_ms(),
        )
        record = self._scribe.settled(heard, decided, deeds, said, range(told, len(deeds)))
        self._settle(request, record, decision.plan, deeds, said)
        self._step("settled")
        self._lifecycle.fire("settle")
        return said

    def _settle(
        self, request: Request, record: AuditRecord, plan: Plan, deeds: tuple[Deed, ...], said: Outcome
    ) -> None:
        while True:
            try:
                with self._db.atomic():
                    audit.append(self._db, record)
                    self._report(request, deeds, said)
                    self._keep_undo(request, plan, deeds)
                    inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
                return
            except DatabaseDamaged as error:
                # Waiting mends nothing. The asker is told; the start that salvages calls it `indeterminate`.
                self._guards.storage_failed(error)
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

    def _refuse(self, heard: Heard, decision: Decision) -> Outcome:
        said = self._said(heard, decision, "refused")
        with self._db.atomic():
            audit.append(self._db, self._scribe.refused(heard, decision, self._cite(), said))
            self._report(heard.request, decision.deeds, said)
            inbox.done(self._db, heard.request.request_id, said.model_dump(mode="json"))
        self._step("refused")
        self._lifecycle.fire("refuse")
        return said

    def _park(self, heard: Heard, decision: Decision, waits: str, expires_s: float) -> Outcome:
        said = self._said(heard, decision, "waiting" if waits == "confirm" else "asked")
        request_id = heard.request.request_id
        with self._db.atomic():
            until = self._clock.now() + timedelta(seconds=expires_s)
            seq = audit.append(self._db, self._scribe.parked(heard, decision, self._cite(), said, until))
            self._report(heard.request, decision.deeds, said)
            kept = Kept(waits_for=waits, plan=decision.plan, outcome=said, seq=seq)
            inbox.park(self._db, request_id, kept.model_dump(mode="json"), until)
        self._step("parked")
        self._lifecycle.fire("hold" if waits == "confirm" else "ask")
        return said

    def _confirmed(self, heard: Heard, body: Confirmed) -> Outcome:
        kept, parked = self._kept(body.of, "confirm")
        if kept is None or parked is None:
            return self._turn_away(heard, "Nothing waits for that confirmation.", "not_waiting")
        if heard.request.origin.kind is not OriginKind.OPERATOR:
            return self._turn_away(heard, "Only a person at the device confirms.", "roles")
        onward = self._answered_by(heard, kept, parked)
        if not body.yes:
            return self._turn_away(onward, "Declined.", "declined")
        plan = self._reader.edited(kept.plan, body.edits, heard.now)
        # Judged anew: what was allowed when the question was put may not be now.
        return self._decide(onward, plan.model_copy(update={"confirmed": True}))

    def _answered(self, heard: Heard, body: Answer) -> Outcome:
        kept, parked = self._kept(body.of, "answer")
        if kept is None or parked is None:
            return self._turn_away(heard, "Nothing waits for that answer.", "not_waiting")
        begun = time.perf_counter()
        plan = self._reader.answered(kept.plan, body.text, heard.now)
        took_ms = _elapsed_ms(begun)
        return self._decide(self._answered_by(heard, kept, parked)._replace(reading_ms=took_ms), plan)

    def _answered_by(self, heard: Heard, kept: Kept, parked: Request) -> Heard:
        """Close the row that carried a person's word; return the request it speaks of, on its way again."""
        request = heard.request
        plan = Plan(text=request.body.text if isinstance(request.body, Answer) else "")
        said = outcome(request.request_id, "done", plan=plan, reason=f"answers {parked.request_id}")
        with self._db.atomic():
            note = audit.append(self._db, self._scribe.answered(request, parked.request_id))
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        approval = Approval(
            request_id=request.request_id,
            note=note,
            origin=ledger_facts.asker(request.origin),
            at=request.received_at,
            asked_as=request.body.kind,
            yes=request.body.yes if isinstance(request.body, Confirmed) else True,
            edited=tuple(request.body.edits) if isinstance(request.body, Confirmed) else (),
        )
        return heard._replace(request=parked, continues=kept.seq, known=kept.plan, approval=approval)

    def _kept(self, of: RequestId, waits: str) -> tuple[Kept | None, Request | None]:
        row = inbox.parked(self._db, of)
        if row is None or self._clock.now() >= row.expires_at:
            return None, None
        kept = Kept.model_validate(row.waits_for, strict=False)
        return (kept, row.request) if kept.waits_for == waits else (None, None)

    def _turn_away(self, heard: Heard, reason: str, code: str) -> Outcome:
        """Close a request that needs no decision, in its turn."""
        said = self._close(heard, reason, code)
        self._step("refused")
        self._lifecycle.fire("refuse")
        return said

    def _close(self, heard: Heard, reason: str, code: str) -> Outcome:
        request = heard.request
        took_ms = heard.elapsed_ms()
        said = outcome(request.request_id, "refused", plan=heard.known, reason=reason, code=code, latency_ms=took_ms)
        with self._db.atomic():
            audit.append(self._db, self._scribe.closed(heard, said))
            self._report(request, (), said)
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        return said

    def _said(self, heard: Heard, decision: Decision, status: RequestStatus) -> Outcome:
        return outcome(
            heard.request.request_id,
            status,
            plan=decision.plan,
            deeds=decision.deeds,
            reason=decision.reason,
            code=decision.code,
            latency_ms=heard.elapsed_ms(),
        )

    def _cite(self) -> str:
        return self._configuration.cite(self._db, self._clock.moment())

    def _report(self, request: Request, deeds: tuple[Deed, ...], said: Outcome) -> None:
        if self._reports():
            body = ledger_facts.report(request, deeds, said, self._versions)
            envelope_id = f"{request.request_id}:{said.status}:{self._new_id()}"
            outbox.enqueue(self._db, envelope_id=envelope_id, kind="turn", at=self._clock.now(), body=body)


def _elapsed_ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
