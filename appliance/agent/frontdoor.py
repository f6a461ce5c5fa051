"""The local protocol's requests to inbox rows and answers; every local client ends here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final, Protocol, assert_never

from appliance.agent.outcomes import Outcomes
from appliance.contracts.clock import Clock
from appliance.contracts.local import (
    CallTool,
    Checkpoint,
    Hello,
    LocalReply,
    LocalRequest,
    Outcome,
    Quit,
    Release,
    Reply,
    Resolve,
    RotateKey,
    Say,
    Status,
    Stop,
    UndoLast,
    Watch,
)
from appliance.contracts.record import JsonObject
from appliance.contracts.request import (
    MAX_TEXT_CHARS,
    Answer,
    Ask,
    Body,
    Call,
    Confirmed,
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

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

WATCH_LOOK_S: Final = 1.0
WATCH_BEAT_S: Final = 10.0
"""A watcher hears at least this often, so that a dead daemon is noticed."""


class Controls(Protocol):
    """What the daemon lets a local client do beside asking."""

    def status(self) -> JsonObject:
        """Return what the console shows at a glance."""

    def stop_now(self, reason: str, peer: str) -> tuple[str, ...]:
        """Emergency stop; returns the outputs that could not be written."""

    def storage_failed(self, error: StorageError) -> None:
        """Take note that something could not be written."""

    def release(self, peer: str) -> bool:
        """Let go of the latch."""

    def resolve(self, request_id: str, happened: bool, note: str, peer: str) -> bool:  # noqa: FBT001 -- a fact
        """Record what became of an indeterminate act."""

    def checkpoint(self) -> str | None:
        """Sign how far the ledger is, now; None when that cannot be done."""

    def rotate_key(self, reason: str, compromised: bool, peer: str) -> JsonObject:  # noqa: FBT001 -- a fact
        """Give the device a new key; returns the old one's id and the new one's."""

    def retain(self, request: RetainingRequest, peer: str) -> LocalReply:
        """Hold, release, redact or prune records of the ledger."""

    def quit(self) -> None:
        """End the daemon in good order."""


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
        request_expires_s: float,
    ) -> None:
        self._db = db
        self._outcomes = outcomes
        self._controls = controls
        self._clock = clock
        self._new_id = new_id
        self._wake = wake
        self._expires_s = request_expires_s

    def handle(self, request: LocalRequest, peer: Peer) -> LocalReply | Iterator[LocalReply | None]:
        """Answer one line of a client; a fault becomes an error reply."""
        who = f"uid:{peer.uid} pid:{peer.pid}"
        try:
            return self._handle(request, who)
        except StorageError as error:
            self._controls.storage_failed(error)
            return LocalReply(ok=False, error="storage", message=str(error))
        except ApplianceError as error:
            return LocalReply(ok=False, error="failed", message=str(error))

    def _handle(self, request: LocalRequest, who: str) -> LocalReply | Iterator[LocalReply | None]:
        match request:
            case Hello() | Status():
                return LocalReply(ok=True, result=self._controls.status())
            case Say():
                return self._submit(Ask(text=request.text), who, request.request_id, request.wait_s, yes=request.yes)
            case CallTool():
                call = Call(call=ToolCall(tool=request.tool, literals=request.arguments))
                return self._submit(call, who, request.request_id, request.wait_s, yes=request.yes)
            case Reply(op="confirm"):
                of = RequestId(request.request_id)
                return self._submit(
                    Confirmed(of=of, yes=request.yes, edits=request.edits), who, None, request.wait_s, about=of
                )
            case Reply():
                of = RequestId(request.request_id)
                return self._submit(Answer(of=of, text=request.text), who, None, request.wait_s, about=of)
            case UndoLast():
                return self._submit(Undo(), who, None, request.wait_s)
            case Watch():
                return self._watch()
            case Stop() | Release() | Resolve() | Checkpoint() | RotateKey() | Quit():
                return self._control(request, who)
            case HoldRecords() | ReleaseHold() | RedactRecords() | PruneRecords():
                return self._controls.retain(request, who)
            case _ as never:
                assert_never(never)

    def _control(self, request: Stop | Release | Resolve | Checkpoint | RotateKey | Quit, who: str) -> LocalReply:
        match request:
            case Stop():
                refused = self._controls.stop_now(request.reason[:MAX_TEXT_CHARS], who)
                if refused:
                    return LocalReply(ok=True, message=f"Stopped, but NOT everything is safe: {'; '.join(refused)}")
                return LocalReply(ok=True, message="Stopped: every output is safe, and stays so until released.")
            case Release():
                released = self._controls.release(who)
                return LocalReply(ok=True, message="Released." if released else "It was not stopped.")
            case Resolve():
                found = self._controls.resolve(request.request_id, request.happened, request.note, who)
                if found:
                    return LocalReply(ok=True, message="Recorded.")
                return LocalReply(ok=False, error="not_allowed", message="Nothing indeterminate has that id.")
            case Checkpoint():
                note = self._controls.checkpoint()
                if note is not None:
                    return LocalReply(ok=True, result={"note": note})
                message = "The ledger cannot be signed at present; `appliance status` says why."
                return LocalReply(ok=False, error="storage", message=message)
            case RotateKey():
                return LocalReply(
                    ok=True,
                    message="The device has a new key.",
                    result=self._controls.rotate_key(request.reason[:MAX_TEXT_CHARS], request.compromised, who),
                )
            case Quit():
                self._controls.quit()
                return LocalReply(ok=True, message="The daemon is ending.")
            case _ as never:
                assert_never(never)

    def _submit(
        self, body: Body, who: str, wanted: str | None, wait_s: float, *, yes: bool = False, about: str | None = None
    ) -> LocalReply:
        now = self._clock.now()
        request_id = RequestId(f"local-{wanted}" if wanted else self._new_id())
        origin = Origin(kind=OriginKind.OPERATOR, peer=who, expires_at=now + timedelta(seconds=self._expires_s))
        request = Request(request_id=request_id, received_at=now, origin=origin, body=body, assume_yes=yes)
        watched = about or request_id
        if about:
            self._outcomes.expect(about)
        if wanted is not None and not _ID.fullmatch(wanted):
            return LocalReply(ok=False, error="malformed", message="an id has 1 to 64 letters, digits, '.', '_' or '-'")
        if not inbox.submit(self._db, request):
            before = inbox.find(self._db, request_id)
            asked = body.model_dump(mode="json")
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
