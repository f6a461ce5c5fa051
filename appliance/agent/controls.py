"""What the daemon lets a local client do beside asking for something, and the answers to that."""

from __future__ import annotations

from typing import Protocol, assert_never

from appliance.contracts.local import (
    BundleChange,
    Checkpoint,
    LocalReply,
    Quit,
    Release,
    Resolve,
    RotateKey,
    Stop,
    SyncExport,
    SyncImport,
)
from appliance.contracts.record import JsonObject
from appliance.contracts.request import MAX_TEXT_CHARS
from appliance.contracts.retaining import RetainingRequest
from appliance.errors import StorageError

Control = Stop | Release | Resolve | Checkpoint | RotateKey | Quit


class Controls(Protocol):
    """The daemon, as the front door sees it."""

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

    def bundles(self) -> LocalReply:
        """List what lies in the slots, what decides, and how its trial does."""

    def bundle(self, request: BundleChange, peer: str) -> LocalReply:
        """Install, activate or roll back bundles, or take what says whom to trust."""

    def carry(self, request: SyncExport | SyncImport, peer: str) -> LocalReply:
        """Read or write a stick between this device and its fleet."""

    def load_laws(self) -> LocalReply:
        """Read the owner's laws again; whole or not at all."""

    def law(self, workflow: str) -> LocalReply:
        """Describe a law in force, and where its run is."""

    def quit(self) -> None:
        """End the daemon in good order."""


def control(controls: Controls, request: Control, who: str) -> LocalReply:
    """Do what *who* wants of the daemon itself."""
    match request:
        case Stop():
            refused = controls.stop_now(request.reason[:MAX_TEXT_CHARS], who)
            if refused:
                return LocalReply(ok=True, message=f"Stopped, but NOT everything is safe: {'; '.join(refused)}")
            return LocalReply(ok=True, message="Stopped: every output is safe, and stays so until released.")
        case Release():
            released = controls.release(who)
            return LocalReply(ok=True, message="Released." if released else "It was not stopped.")
        case Resolve():
            found = controls.resolve(request.request_id, request.happened, request.note, who)
            if found:
                return LocalReply(ok=True, message="Recorded.")
            return LocalReply(ok=False, error="not_allowed", message="Nothing indeterminate has that id.")
        case Checkpoint():
            note = controls.checkpoint()
            if note is not None:
                return LocalReply(ok=True, result={"note": note})
            message = "The ledger cannot be signed at present; `appliance status` says why."
            return LocalReply(ok=False, error="storage", message=message)
        case RotateKey():
            return LocalReply(
                ok=True,
                message="The device has a new key.",
                result=controls.rotate_key(request.reason[:MAX_TEXT_CHARS], request.compromised, who),
            )
        case Quit():
            controls.quit()
            return LocalReply(ok=True, message="The daemon is ending.")
        case _ as never:
            assert_never(never)
