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
from appliance.agent.approving import still_wanted
from appliance.agent.configuration import InForce
from appliance.agent.deciding import Decision, Judge, stopped
from appliance.agent.escalating import Escalating
from appliance.agent.laws import Answered, Laws
from appliance.agent.ledger_facts import Heard, Scribe
from appliance.agent.maintenance import MaintenanceLock
from appliance.agent.plan import Deed, Kept, Plan, Versions, came_to, outcome
from appliance.agent.reading import Reader
from appliance.agent.waiting import Away, Waiting, has_lapsed
from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.decision import Guards
from appliance.contracts.local import Outcome, RequestStatus
from appliance.contracts.request import (
    Answer,
    Approve,
    Ask,
    Call,
    Confirmed,
    Event,
    Maintenance,
    OriginKind,
    Request,
    RequestId,
    Undo,
)
from appliance.contracts.toolcall import GroundedCall, ToolResult
from appliance.contracts.toolspec import ToolSpec
from appliance.contracts.verdict import Deny, Verdict
from appliance.errors import DatabaseDamaged, StorageError
from appliance.policy.lifecycle import Lifecycle, State
from appliance.policy.rules import PolicySettings
from appliance.policy.workflow.gate import Asking, Gate
from appliance.policy.workflow.people import still_good
from appliance.storage import audit, inbox, outbox, people, undo
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
        laws: Laws,
        maintenance: MaintenanceLock,
        registry: Registry,
        lifecycle: Lifecycle,
        guards: DeviceGuards,
        settings: PolicySettings,
        configuration: InForce,
        versions: Versions,
        clock: Clock,
        new_id: Callable[[], str],
        reports: Callable[[], bool],
        second: Escalating | None = None,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._db = db
        self._reader = reader
        self._judge = judge
        self._laws = laws
        self._maintenance = maintenance
        self._registry = registry
        self._lifecycle = lifecycle
        self._guards = guards
        self._settings = settings
        self._configuration = configuration
        self._versions = versions
        self._clock = clock
        self._new_id = new_id
        self._reports = reports
        self._second = second
        self._scribe = Scribe(clock.moment, versions, registry.spec, reader.local)
        self._waiting = Waiting(db, reader, clock, self._scribe)
        self._step = step  # told the name of every boundary: for traces, and for tests that cut the power there

    def aside(self) -> str:
        """Return the request that waits for a second model; empty when none does."""
        return "" if self._second is None else self._second.aside()

    def handle(self, request: Request) -> Outcome | None:
        """Carry one request to its outcome, or to the person it waits for; None when it was set aside for later.

        Raises:
            StorageError: the decision could not be recorded; nothing was done.
        """
        heard = self._heard(request)
        self._step("taken")
        self._lifecycle.fire("hear")
        try:
            match request.body:
                case Confirmed() | Answer() | Event() | Approve() | Maintenance() if heard.is_too_late:
                    return self._turn_away(heard, "It expired before the device came to it.", "expired")
                case Ask() | Call() | Undo() as body:
                    return self._asked(heard, body)
                case Event() | Maintenance() as body:
                    return self._told(heard, body)
                case Approve() as body if self._laws.awaits(body.of):
                    return self._told(heard, body)
                case Confirmed() | Answer() | Approve() as body:
                    found = self._waiting.word(heard, body)
                    if isinstance(found, Away):
                        return self._turn_away(found.heard, found.reason, found.code)
                    # Judged anew: what was allowed when the question was put may not be now.
                    return self._decide(found.heard, found.plan)
                case _ as never:
                    assert_never(never)
        except StorageError:
            self._come_to_rest()
            raise

    def lapse(self) -> list[Outcome]:
        """Close what has waited too long for a person."""
        closed = []
        for parked in inbox.waiting(self._db):
            kept = Kept.model_validate(parked.waits_for, strict=False)
            if has_lapsed(kept, parked.expires_at, self._clock.moment()):
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
                self._laws.doubt(request)
                self._report(request, (), said)
                inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        else:
            said = self._close(self._heard(request), reason, "fault")
        self._come_to_rest()
        return said

    def _come_to_rest(self) -> None:
        if self._lifecycle.state is State.DECIDING:
            self._lifecycle.fire("refuse")
        elif self._lifecycle.state is State.ACTING:
            self._lifecycle.fire("settle")

    def _heard(self, request: Request) -> Heard:
        return Heard(request, self._lifecycle.state.value, self._clock.now(), time.perf_counter())

    def _asked(self, heard: Heard, body: Ask | Call | Undo) -> Outcome | None:
        begun = time.perf_counter()
        last = undo.last(self._db) if isinstance(body, Undo) else None
        plan = self._reader.request(body, heard.request.origin, heard.now, None if last is None else last.call)
        if last is not None:
            plan = plan.model_copy(update={"undoes": last.seq})
            heard = heard._replace(asked=last.call, undoes=RequestId(last.request_id))
        if isinstance(body, Call):
            heard = heard._replace(asked=body.call)
        if self._second is not None:
            said = self._second.word(heard.request.request_id, plan, self._registry.specs(), self._may_escalate)
            if said == "later":
                self._come_to_rest()
                return None
            plan = plan if said is None else self._reader.advised(plan, said, heard.now)
        return self._decide(heard._replace(reading_ms=_elapsed_ms(begun)), plan)

    def _may_escalate(self) -> bool:
        """Return whether anybody may be asked now: not while stopped or under maintenance, nor against a law."""
        self._laws.look()
        return not self._guards.is_locked() and not self._maintenance.text() and self._laws.escalates()

    def _decide(self, heard: Heard, plan: Plan) -> Outcome:
        self._step("read")
        begun = time.perf_counter()
        self._laws.look()
        guards = self._guarded(heard, plan)
        gate = self._gate(heard, guards)
        decision = self._judge.decide(plan, heard.request.origin, guards, gate)
        heard = heard._replace(gate=gate, judging_ms=_elapsed_ms(begun))
        match decision.comes_to:
            case "refuse":
                return self._refuse(heard, decision)
            case "ask":
                return self._park(heard, decision, "answer", self._settings.answer_expires_s)
            case "confirm":
                return self._park(heard, decision, "confirm", self._settings.confirm_expires_s)
            case "approve":
                return self._park(heard, decision, "approve", min(want.within_s for want in decision.wanted))
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
            self._laws.begin(request, 0, deeds[0].call)
        self._step("decided")  # committed: from here on the act may have happened
        told = 0
        unended: int | None = None
        barred: Verdict | None = None
        for n, deed in enumerate(deeds):
            begun = time.perf_counter()
            result = self._registry.perform(deed.call)
            self._step("performed")
            done = {"result": result, "state": result.status, "took_ms": _elapsed_ms(begun)}
            deeds = (*deeds[:n], deed.model_copy(update=done), *deeds[n + 1 :])
            if result.status != "done" or n + 1 == len(deeds):
                unended = n
                break
            try:
                barred = self._go_on(heard, decision, decided, deeds, n)
            except StorageError as error:
                # What was done gets its outcome; what was to follow is not begun without a record.
                self._guards.storage_failed(error)
                unended, barred = n, Deny(rule="recordable", reason=f"it could not be recorded ({error}).")
            if barred is not None:
                break
            told = n + 1
            self._step("stepped")
        # What was to follow was said in the belief that this would succeed, and would be allowed after it.
        deeds = tuple(d.model_copy(update={"state": "skipped"}) if d.state == "planned" else d for d in deeds)
        said = came_to(request.request_id, decision.plan, deeds, barred, heard.elapsed_ms())
        record = self._scribe.settled(heard, decided, deeds, said, range(told, len(deeds)))
        self._settle(request, record, decision.plan, deeds, said, unended)
        self._step("settled")
        self._lifecycle.fire("settle")
        return said

    def _go_on(self, heard: Heard, decision: Decision, decided: int, deeds: tuple[Deed, ...], n: int) -> Verdict | None:
        """End call *n* and begin the next one, unless what came of it, or time, forbids that now."""
        request = heard.request
        with self._db.atomic():
            result = deeds[n].result
            assert result is not None  # it was performed just now
            self._laws.end(request, n, deeds[n].call, result.status)
            self._laws.look()
            guards = self._guarded(heard, decision.plan)
            gate = self._gate(heard, guards)
            judged, _ = self._judge.judge(decision.plan, n + 1, request.origin, guards, gate)
            if judged.verdict.verdict != "allow":
                return judged.verdict
            audit.append(self._db, self._scribe.step(heard, decided, deeds, n))
            self._laws.begin(request, n + 1, deeds[n + 1].call)
        return None

    def _settle(
        self,
        request: Request,
        record: AuditRecord,
        plan: Plan,
        deeds: tuple[Deed, ...],
        said: Outcome,
        unended: int | None,
    ) -> None:
        while True:
            try:
                with self._db.atomic():
                    audit.append(self._db, record)
                    if unended is not None:
                        result = deeds[unended].result
                        came_to = "indeterminate" if result is None else result.status
                        self._laws.end(request, unended, deeds[unended].call, came_to)
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
            self._laws.deny(heard.request)
            self._report(heard.request, decision.deeds, said)
            inbox.done(self._db, heard.request.request_id, said.model_dump(mode="json"))
        self._step("refused")
        self._lifecycle.fire("refuse")
        return said

    def _park(self, heard: Heard, decision: Decision, waits: str, expires_s: float) -> Outcome:
        said = self._said(heard, decision, "asked" if waits == "answer" else "waiting")
        if waits == "approve":
            said = said.model_copy(update={"approval": still_wanted(decision.wanted, heard.given)})
        request_id = heard.request.request_id
        with self._db.atomic():
            # What has waited for one approval waits for the next no longer than for both.
            since = heard.since or self._clock.moment()
            until = heard.until or since.at + timedelta(seconds=expires_s)
            seq = audit.append(self._db, self._scribe.parked(heard, decision, self._cite(), said, until))
            self._report(heard.request, decision.deeds, said)
            kept = Kept(
                waits_for=waits,
                plan=decision.plan,
                outcome=said,
                seq=seq,
                since=since,
                wanted=decision.wanted,
                given=heard.given,
            )
            inbox.park(self._db, request_id, kept.model_dump(mode="json"), until)
        self._step("parked")
        self._lifecycle.fire("ask" if waits == "answer" else "hold")
        return said

    def _told(self, heard: Heard, body: Event | Approve | Maintenance) -> Outcome:
        """Carry what is said to a workflow, or to the device about itself; no tool acts by it."""
        request = heard.request
        self._laws.look()
        with self._db.atomic():
            answered = self._tell(request, body)
            said = outcome(
                request.request_id,
                "done" if answered.done else "refused",
                plan=heard.known,
                reason=answered.reason,
                code=answered.code,
                latency_ms=heard.elapsed_ms(),
            )
            audit.append(self._db, self._scribe.closed(heard, said))
            self._report(request, (), said)
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        self._step("told")
        self._lifecycle.fire("refuse")
        return said

    def _tell(self, request: Request, body: Event | Approve | Maintenance) -> Answered:
        match body:
            case Event():
                return self._laws.say(request, body.event, body.workflow)
            case Approve():
                return self._laws.approve(request, body.of, yes=body.yes)
            case Maintenance():
                return self._maintenance.set(request, on=body.on, why=body.why)

    def _guarded(self, heard: Heard, plan: Plan) -> Guards:
        request = heard.request
        at_device = request.origin.kind is OriginKind.OPERATOR
        return Guards(
            locked=self._guards.is_locked(),
            recordable=self._guards.is_recordable(),
            # A yes that was said beforehand was to one's own words, not to what a second model made of them.
            confirmed=plan.confirmed or (request.assume_yes and at_device and plan.escalated is None),
            maintenance=self._maintenance.text(),
            permitted=True,  # until the lifecycle says otherwise
        )

    def _gate(self, heard: Heard, guards: Guards) -> Gate:
        request = heard.request
        # Asked each time: somebody may have been removed since, and approved nothing then.
        given = still_good(heard.given, people.roles(self._db)) if heard.given else ()
        return self._laws.gate(
            Asking(request.request_id, self._clock.moment(), request.origin, guards.confirmed, given)
        )

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
            self._laws.deny(request)
            self._report(request, (), said)
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        return said

    def _said(self, heard: Heard, decision: Decision, status: RequestStatus) -> Outcome:
        advised = decision.plan.escalated is not None and status != "refused"
        return outcome(
            heard.request.request_id,
            status,
            plan=decision.plan,
            deeds=decision.deeds,
            reason=f"A second model reads it so. {decision.reason}" if advised else decision.reason,
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
