"""A recorded decision to the same decision made again, by the device's own reader and judge."""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from appliance.agent.deciding import Decision, Judge
from appliance.agent.ledger_facts import Heard, Scribe
from appliance.agent.model import Model
from appliance.agent.plan import Plan, Versions
from appliance.agent.reading import Reader
from appliance.contracts import decision as forms
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.manifest import Thresholds
from appliance.contracts.request import Ask, Call, Origin, Request, RequestId, Undo
from appliance.contracts.toolcall import ToolCall
from appliance.policy.rules import PolicySettings
from appliance.policy.workflow.gate import Gate
from appliance.replay.laws import Laws
from appliance.replay.models import Models, Remembering
from appliance.replay.recorded import UNREADABLE, CannotReplay, Ledger, Recorded, Setup


class Again(NamedTuple):
    """A decision made again, in the form in which the first was recorded."""

    facts: forms.Decision
    record: AuditRecord
    """Only for comparing; it is never written."""

    setup: Setup
    model: Model | None
    """What read the words; None where none were read."""


class Replayer:
    """Decides again what a ledger recorded.

    Args:
        other: the hash of the bundle to read by, in place of the recorded ones.
    """

    def __init__(self, ledger: Ledger, models: Models, *, other: str | None = None) -> None:
        self._ledger = ledger
        self._models = models
        self._other = other
        self._decoders: dict[str, Remembering] = {}
        self._laws = Laws()

    def again(self, recorded: Recorded) -> Again:
        """Decide *recorded* again.

        Raises:
            CannotReplay: what it needs is not here; the message says what.
            BundleError: the bundle it needs is here and cannot be used.
        """
        facts, setup = recorded.facts, self._ledger.setup(recorded.facts.configured)
        plan, known = self._plan(recorded)
        read_by = self._model(setup) if plan.by_model else None
        judge = Judge(setup.catalogue, self._thresholds(setup, read_by), _policy(setup))
        origin = _origin(facts.origin)
        gate = self._laws.gate(recorded, setup, origin, _zone(recorded, setup))
        decision = judge.decide(plan, origin, facts.guards, gate)
        record = _written(recorded, decision, known, setup, read_by, gate)
        return Again(forms.Decided.from_json(record.facts), record, setup, read_by)

    def _plan(self, recorded: Recorded) -> tuple[Plan, Plan]:
        """Read the request again; the second is the plan that it goes on from, empty for a first look."""
        facts = recorded.facts
        reader, now = self._reader(recorded), facts.context.now
        if facts.continues is None:
            body, back = _body(recorded)
            plan = reader.request(body, _origin(facts.origin), now, back)
            # What a second model said is taken as recorded: nobody is asked again.
            return plan if facts.escalated is None else reader.advised(plan, facts.escalated, now), Plan()
        if facts.approval is None:
            raise CannotReplay("its record does not say who answered")
        known, _ = self._plan(self._ledger.decision(facts.continues))
        if facts.approval.asked_as == "approve":
            return known, known
        said = self._ledger.note(facts.approval.note)
        if facts.approval.asked_as == "answer":
            return reader.answered(known, str(said.get("text", "")), now), known
        edits = said.get("edits", {})
        if not isinstance(edits, dict):
            raise CannotReplay(UNREADABLE)
        return reader.edited(known, edits, now).model_copy(update={"confirmed": True}), known

    def _reader(self, recorded: Recorded) -> Reader:
        setup = self._ledger.setup(recorded.facts.configured)
        approval = recorded.facts.approval
        # An answer that does not fit its question alone is read again together with the request.
        needed = recorded.facts.asked_as == "ask" or (approval is not None and approval.asked_as == "answer")
        loaded = self._model(setup) if needed else None
        decoder = None
        if loaded is not None:
            decoder = self._decoders.setdefault(loaded.sha256, Remembering(loaded))
        return Reader(decoder, setup.catalogue, self._thresholds(setup, loaded), _zone(recorded, setup))

    def _model(self, setup: Setup) -> Model | None:
        wanted = self._other or setup.configuration.bundle_sha256
        if not wanted:
            return None  # the device had no usable model then, and said so
        loaded = self._models.find(wanted)
        if loaded is None:
            name = f"{setup.configuration.bundle}/{setup.configuration.bundle_version}"
            raise CannotReplay(f"the bundle that decided, {name} (sha256 {wanted[:16]}...), is not here")
        return loaded

    def _thresholds(self, setup: Setup, loaded: Model | None) -> Thresholds:
        other = self._other is not None and loaded is not None
        return loaded.bundle.manifest.thresholds if other and loaded else setup.configuration.thresholds


def _body(recorded: Recorded) -> tuple[Ask | Call | Undo, ToolCall | None]:
    """Return what was asked; for an undo also the call that takes the act back."""
    facts = recorded.facts
    call = None
    if facts.asked is not None:
        hidden = recorded.said("asked") or {}
        literals = {**facts.asked.arguments, **hidden}
        call = ToolCall(tool=facts.asked.tool, literals=literals, confidence=facts.asked.confidence)
    match facts.asked_as:
        case "ask":
            return Ask(text=recorded.said("text") or ""), None
        case "undo":
            return Undo(), call
        case "call" if call is not None:
            return Call(call=call), None
    raise CannotReplay("its record does not say what was asked")


def _origin(asker: forms.Asker) -> Origin:
    return Origin(**dict(asker))


def _policy(setup: Setup) -> PolicySettings:
    try:
        return PolicySettings.model_validate(setup.configuration.policy, strict=False)
    except ValueError as error:
        raise CannotReplay("its policy has settings that this software does not know") from error


def _zone(recorded: Recorded, setup: Setup) -> tzinfo | None:
    """Return the zone of the site; where that was the device's own, its offset at that moment."""
    name = setup.configuration.zone
    try:
        return ZoneInfo(name) if name else recorded.facts.context.now.tzinfo
    except (KeyError, OSError, ValueError) as error:
        raise CannotReplay(f"this system knows no time zone {name}") from error


def _written(
    recorded: Recorded, decision: Decision, known: Plan, setup: Setup, read_by: Model | None, gate: Gate
) -> AuditRecord:
    """Write the decision as the device would have."""
    facts = recorded.facts
    body, back = (Undo(), None) if facts.continues is not None else _body(recorded)
    request = Request(
        request_id=RequestId(recorded.request_id),
        received_at=facts.received_at,
        origin=_origin(facts.origin),
        body=body,
        assume_yes=facts.assume_yes,
    )
    heard = Heard(
        request,
        facts.state,
        facts.context.now,
        0.0,
        asked=back or (body.call if isinstance(body, Call) else None),
        continues=facts.continues,
        known=known,
        approval=facts.approval,
        gate=gate,
    )
    manifest = None if read_by is None else read_by.bundle.manifest
    versions = Versions(
        software=facts.versions.software,
        bundle=manifest.name if manifest else "",
        bundle_version=manifest.version if manifest else "",
        bundle_sha256=read_by.sha256 if read_by else "",
    )
    moment = Moment(at=recorded.at, monotonic_s=0.0, boot=0, clock="untrusted")
    return Scribe(lambda: moment, versions, setup.catalogue.spec).decided(heard, decision, facts.configured)
