"""The local protocol's requests to inbox rows and answers; every local client ends here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final, Protocol, assert_never

from appliance.agent import controls, enrolling, least_roles
from appliance.agent.controls import Controls
from appliance.agent.enrolling import Enrolling
from appliance.agent.outcomes import Outcomes
from appliance.agent.people import Asking, People
from appliance.contracts.clock import Clock
from appliance.contracts.known import Known
from appliance.contracts.local import (
    ActivateBundle,
    BundleChange,
    CallTool,
    ChangePin,
    Checkpoint,
    DescribeLaw,
    EnrolPerson,
    GiveApproval,
    Hello,
    InstallBundle,
    ListBundles,
    ListPeople,
    LoadLaws,
    LocalReply,
    LocalRequest,
    Outcome,
    Quit,
    Release,
    RemovePerson,
    Reply,
    Resolve,
    RollBackBundle,
    RotateKey,
    Say,
    SayEvent,
    SetMaintenance,
    Status,
    Stop,
    SyncExport,
    SyncImport,
    TrustDocument,
    UndoLast,
    Watch,
)
from appliance.contracts.people import PersonRole
from appliance.contracts.request import (
    Answer,
    Approve,
    Ask,
    Body,
    Call,
    Confirmed,
    Event,
    Maintenance,
    Origin,
    OriginKind,
    Request,
    RequestId,
    Undo,
)
from appliance.contracts.retaining import (
    HoldRecords,
    PruneRecords,
    RedactRecords,
    ReleaseHold,
    RetainingRequest,
)
from appliance.contracts.toolcall import ToolCall
from appliance.errors import ApplianceError, StorageError
from appliance.storage import inbox
from appliance.storage.database import Database
from appliance.storage.redaction import wordless_request

_Unsigned = Hello | Status | Watch | ListPeople | DescribeLaw | ListBundles | Stop | Checkpoint
_Submitted = Say | CallTool | Reply | UndoLast | SayEvent | GiveApproval | SetMaintenance
_Carried = SyncImport | SyncExport
_Kept = BundleChange | RetainingRequest | _Carried
_Signed = _Submitted | LoadLaws | Enrolling | Release | Resolve | RotateKey | Quit | _Kept

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

WATCH_LOOK_S: Final = 1.0
WATCH_BEAT_S: Final = 10.0
"""A watcher hears at least this often, so that a dead daemon is noticed."""


class Peer(Protocol):
    """Who is at the other end, as the kernel says."""

    @property
    def uid(self) -> int:
        """User id of the client process."""

    @property
    def pid(self) -> int:
        """Process id of the client."""


class FrontDoor:
    """Answers local clients."""

    def __init__(
        self,
        *,
        db: Database,
        outcomes: Outcomes,
        controls: Controls,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
        people: People,
        unnamed: PersonRole,
        request_expires_s: float,
    ) -> None:
        """Keep what is handed in.

        Args:
            unnamed: the role of whoever gives no PIN.
        """
        self._db = db
        self._outcomes = outcomes
        self._controls = controls
        self._clock = clock
        self._new_id = new_id
        self._wake = wake
        self._people = people
        self._unnamed = unnamed
        self._expires_s = request_expires_s

    def handle(self, request: LocalRequest, peer: Peer) -> LocalReply | Iterator[LocalReply | None]:
        """Answer one line of a client; a fault becomes an error reply."""
        who = f"uid:{peer.uid} pid:{peer.pid}"
        try:
            if not isinstance(request, Known):
                return self._handle(request, who)
            asking = enrolling.signer(self._people, request, uid=peer.uid, peer=who)
            if isinstance(asking, LocalReply):
                return asking
            if why := least_roles.against(request.op, self._role(asking), has_admin=self._people.has_admin()):
                return LocalReply(ok=False, error="not_allowed", message=why)
            return self._handle_known(request, asking)
        except StorageError as error:
            self._controls.storage_failed(error)
            return LocalReply(ok=False, error="storage", message=str(error))
        except ApplianceError as error:
            return LocalReply(ok=False, error="failed", message=str(error))

    def _handle(self, request: _Unsigned, who: str) -> LocalReply | Iterator[LocalReply | None]:
        match request:
            case Hello() | Status():
                return LocalReply(ok=True, result=self._controls.status())
            case Watch():
                return self._watch()
            case ListPeople():
                return enrolling.everybody(self._people, self._unnamed)
            case ListBundles():
                return self._controls.bundles()
            case DescribeLaw():
                return self._controls.law(request.workflow)
            case Stop() | Checkpoint():
                return controls.control(self._controls, request, who)
            case _ as never:
                assert_never(never)

    def _handle_known(self, request: _Signed, asking: Asking) -> LocalReply:
        match request:
            case Say():
                return self._submit(Ask(text=request.text), asking, request.request_id, request.wait_s, yes=request.yes)
            case CallTool():
                call = Call(call=ToolCall(tool=request.tool, literals=request.arguments))
                return self._submit(call, asking, request.request_id, request.wait_s, yes=request.yes)
            case Reply(op="confirm"):
                of = RequestId(request.request_id)
                body = Confirmed(of=of, yes=request.yes, edits=request.edits)
                return self._submit(body, asking, None, request.wait_s, about=of)
            case Reply():
                of = RequestId(request.request_id)
                return self._submit(Answer(of=of, text=request.text), asking, None, request.wait_s, about=of)
            case UndoLast():
                return self._submit(Undo(), asking, None, request.wait_s)
            case SayEvent():
                event = Event(event=request.event, workflow=request.workflow)
                return self._submit(event, asking, request.request_id, request.wait_s)
            case GiveApproval():
                return self._submit(Approve(of=request.of, yes=request.yes), asking, None, request.wait_s)
            case SetMaintenance():
                return self._submit(Maintenance(on=request.on, why=request.why), asking, None, request.wait_s)
            case LoadLaws():
                return self._controls.load_laws()
            case Release() | Resolve() | RotateKey() | Quit():
                return controls.control(self._controls, request, asking.told)
            case InstallBundle() | ActivateBundle() | RollBackBundle() | TrustDocument():
                return self._controls.bundle(request, asking.told)
            case SyncImport() | SyncExport():
                return self._controls.carry(request, asking.told)
            case HoldRecords() | ReleaseHold() | RedactRecords() | PruneRecords():
                return self._controls.retain(request, asking.told)
            case EnrolPerson() | RemovePerson() | ChangePin():
                reply = enrolling.change(self._people, request, asking)
                self._outcomes.touch()
                return reply
            case _ as never:
                assert_never(never)

    def _role(self, asking: Asking) -> PersonRole:
        return asking.person.role if asking.person else self._unnamed

    def _origin(self, asking: Asking) -> Origin:
        return Origin(
            kind=OriginKind.OPERATOR,
            peer=asking.peer,
            role=self._role(asking),
            person=asking.name,
            expires_at=self._clock.now() + timedelta(seconds=self._expires_s),
        )

    def _submit(
        self,
        body: Body,
        asking: Asking,
        wanted: str | None,
        wait_s: float,
        *,
        yes: bool = False,
        about: str | None = None,
    ) -> LocalReply:
        request_id = RequestId(f"local-{wanted}" if wanted else self._new_id())
        request = Request(
            request_id=request_id,
            received_at=self._clock.now(),
            origin=self._origin(asking),
            body=body,
            assume_yes=yes,
        )
        watched = about or request_id
        if about:
            self._outcomes.expect(about)
        if wanted is not None and not _ID.fullmatch(wanted):
            return LocalReply(ok=False, error="malformed", message="an id has 1 to 64 letters, digits, '.', '_' or '-'")
        if not inbox.submit(self._db, request):
            before = inbox.find(self._db, request_id)
            asked = body.model_dump(mode="json")
            if before is not None and before.origin.person != request.origin.person:
                message = f"the id {wanted!r} was used by somebody else; every request has its own"
                return LocalReply(ok=False, error="not_allowed", message=message)
            # Once the words are erased, only what was not words can be compared.
            if before is not None and before.body.model_dump(mode="json") not in (asked, wordless_request(asked)):
                message = f"the id {wanted!r} was used for something else; every request has its own"
                return LocalReply(ok=False, error="not_allowed", message=message)
            known = inbox.outcome(self._db, request_id)
            if known is not None:
                return LocalReply(ok=True, result=known)
            parked = inbox.parked(self._db, request_id)
            if parked is not None:
                outcome = parked.waits_for["outcome"]
                return LocalReply(ok=True, result=outcome if isinstance(outcome, dict) else {})
        self._wake()
        said = self._outcomes.wait(request_id if about else watched, min(max(wait_s, 0.0), 600.0))
        if said is None:
            reason = "Accepted; still under way."
            if self._outcomes.has_ended:
                reason = "Accepted, but the daemon is ending; its next start does it, or refuses it as too old."
            said = Outcome(request_id=request_id, status="waiting", code="in-progress", reason=reason)
        elif about:
            said = self._outcomes.wait(about, 0.0) or said
        return LocalReply(ok=True, result=said.model_dump(mode="json"))

    def _watch(self) -> Iterator[LocalReply | None]:
        seen, told_s = -1, -WATCH_BEAT_S
        while True:
            now_seen = self._outcomes.wait_change(seen, WATCH_LOOK_S)
            if now_seen == seen and self._clock.monotonic_s() - told_s < WATCH_BEAT_S:
                yield None  # lets the server notice that the watcher has hung up
                continue
            seen, told_s = now_seen, self._clock.monotonic_s()
            yield LocalReply(ok=True, result=self._controls.status())
