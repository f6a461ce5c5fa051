"""The local protocol, version 1: JSON lines over the home's Unix socket.

A client writes one `LocalRequest` a line and reads one `LocalReply` a line, in order. `watch` answers with a reply for
every change until the client hangs up. docs/reference/local-protocol.md is printed from these records.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.contracts.known import Known
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold

VERSION = 1
MAX_LINE_BYTES = 64 * 1024


class Hello(Record):
    """Which daemon answers: version, device, boot, bundle, lifecycle state."""

    op: Literal["hello"] = "hello"
    protocol: int = VERSION


class Say(Known):
    """Submit words; wait for the outcome, or for what is needed next."""

    op: Literal["say"] = "say"
    text: str
    yes: bool = False
    """Confirmed beforehand by the person who says it."""

    request_id: str | None = None
    """The client's own id: sent twice, it acts once and gets the same answer."""

    wait_s: float = 30.0


class CallTool(Known):
    """Submit a tool call; like `say` without inference."""

    op: Literal["call"] = "call"
    tool: str
    arguments: JsonObject = Field(default_factory=dict)
    yes: bool = False
    request_id: str | None = None
    wait_s: float = 30.0


class Reply(Known):
    """Say yes or no to a request that waits for confirmation, or answer its question."""

    op: Literal["confirm", "answer"]
    request_id: str
    yes: bool = True
    text: str = ""
    edits: JsonObject = Field(default_factory=dict)
    wait_s: float = 30.0


class UndoLast(Known):
    """Take back the last act that can be taken back."""

    op: Literal["undo"] = "undo"
    wait_s: float = 30.0


class SayEvent(Known):
    """Say an event to a workflow; wait for what it did."""

    op: Literal["event"] = "event"
    event: str
    workflow: str = ""
    """Which; the only one that knows the event, when empty."""

    request_id: str | None = None
    wait_s: float = 30.0


class GiveApproval(Known):
    """Approve, or refuse, an arrow or a call that waits for enrolled people."""

    op: Literal["approve"] = "approve"
    of: str
    """The approval's id, or the id of the request that waits."""

    yes: bool = True
    wait_s: float = 30.0


class SetMaintenance(Known):
    """Set the maintenance lock, so that nothing acts, or let it go."""

    op: Literal["maintenance"] = "maintenance"
    on: bool
    why: str = ""
    wait_s: float = 30.0


class LoadLaws(Known):
    """Read HOME/laws again; whole or not at all."""

    op: Literal["load_laws"] = "load_laws"


class DescribeLaw(Record):
    """Return a law in force as a drawing needs it: states, arrows, and where its run is."""

    op: Literal["law"] = "law"
    workflow: str


class EnrolPerson(Known):
    """Enrol a person, or give one another role or PIN; by an admin, or whoever runs the device while there is none."""

    op: Literal["enrol_person"] = "enrol_person"
    name: str
    role: str = ""
    """viewer, operator, approver or admin; empty keeps the role of somebody who is enrolled."""

    new_pin: str = Field(default="", repr=False)
    """Empty keeps the PIN of somebody who is enrolled."""


class RemovePerson(Known):
    """Take a person off the list."""

    op: Literal["remove_person"] = "remove_person"
    name: str


class ChangePin(Known):
    """Change one's own PIN."""

    op: Literal["change_pin"] = "change_pin"
    new_pin: str = Field(repr=False)


class ListPeople(Record):
    """Who is enrolled, in which role."""

    op: Literal["people"] = "people"


class Stop(Record):
    """Emergency stop: at once, latched, past every queue."""

    op: Literal["stop"] = "stop"
    reason: str = ""


class Release(Known):
    """Let go of the emergency stop's latch; only locally."""

    op: Literal["release"] = "release"


class Status(Record):
    """What the console shows at a glance."""

    op: Literal["status"] = "status"


class Watch(Record):
    """Follow changes: one reply for the present status, then one for each change."""

    op: Literal["watch"] = "watch"


class Resolve(Known):
    """Say what became of an act whose outcome is indeterminate."""

    op: Literal["resolve"] = "resolve"
    request_id: str
    happened: bool
    note: str = ""


class Checkpoint(Record):
    """Sign how far the ledger is, now; the result holds the signed note."""

    op: Literal["checkpoint"] = "checkpoint"


class RotateKey(Known):
    """Give the device a new key; the old one vouches for it, unless it was compromised."""

    op: Literal["rotate_key"] = "rotate_key"
    reason: str
    compromised: bool = False


class TrustDocument(Known):
    """Take a root of trust or a revocation list from a file, as if it had been brought on a stick."""

    op: Literal["trust_document"] = "trust_document"
    path: str
    kind: Literal["", "root", "revocations"] = ""
    """What a person has signed for: it is taken only if it is that. Empty: whichever it is."""

    fingerprint: str = ""
    """Of a first root: what its owner told the person who brings it."""

    replace: bool = False
    """The device changes hands: another owner's first root."""


class ListBundles(Record):
    """What lies in the slots, what decides, and how its trial does."""

    op: Literal["bundles"] = "bundles"


class InstallBundle(Known):
    """Admit a delivery, a file or folder that this device can read, into a free slot."""

    op: Literal["install_bundle"] = "install_bundle"
    path: str
    """Absolute, on the device: a stick, or where a download was put."""

    only_look: bool = False
    """Say what it is and whether it would be taken; nothing is put anywhere, and no time begins to count."""


class ActivateBundle(Known):
    """Try an installed bundle with the canary, and let it decide, on trial; takes a minute or more."""

    op: Literal["activate_bundle"] = "activate_bundle"
    bundle: str
    """Its slot, name, `name/version`, or the first eight or more digits of its hash."""

    again: bool = False
    """Also one that was sent back before."""


class RollBackBundle(Known):
    """Let the bundle before decide again."""

    op: Literal["roll_back_bundle"] = "roll_back_bundle"


class SyncImport(Known):
    """Take what a controller put on a stick for this device."""

    op: Literal["sync_import"] = "sync_import"
    path: str
    """Absolute, on the device."""


class SyncExport(Known):
    """Put on a stick what no controller has yet, sealed to the controller."""

    op: Literal["sync_export"] = "sync_export"
    path: str
    """Absolute, on the device."""


BundleChange = InstallBundle | ActivateBundle | RollBackBundle | TrustDocument


class Quit(Known):
    """End the daemon in good order: the turn under way is finished, outputs are driven safe."""

    op: Literal["quit"] = "quit"


LocalRequest = Annotated[
    Hello
    | Say
    | CallTool
    | Reply
    | UndoLast
    | SayEvent
    | GiveApproval
    | SetMaintenance
    | LoadLaws
    | DescribeLaw
    | EnrolPerson
    | RemovePerson
    | ChangePin
    | ListPeople
    | Stop
    | Release
    | Status
    | Watch
    | Resolve
    | Checkpoint
    | RotateKey
    | HoldRecords
    | ReleaseHold
    | RedactRecords
    | PruneRecords
    | ListBundles
    | InstallBundle
    | ActivateBundle
    | RollBackBundle
    | TrustDocument
    | SyncImport
    | SyncExport
    | Quit,
    Field(discriminator="op"),
]


class LocalReply(Record):
    """The daemon's answer to one line."""

    ok: bool
    error: str | None = None
    """A code: malformed, too_long, unknown_op, busy, ending, not_allowed, storage, failed."""

    message: str = ""
    result: JsonObject = Field(default_factory=dict)


RequestStatus = Literal["done", "waiting", "asked", "refused", "failed", "indeterminate"]


class Outcome(Record):
    """What became of a request; `say --json` prints exactly this."""

    request_id: str
    status: RequestStatus
    calls: tuple[JsonObject, ...] = ()
    """Per call: name, arguments, spans, confidence, verdict, status, message, postcondition."""

    reason: str = ""
    question: str = ""
    choices: tuple[str, ...] = ()
    code: str = ""
    text: str = ""
    allowed: tuple[str, ...] = ()
    """Of a denial: the tools that may be called now."""

    remedy: str = ""
    """Of a denial: how to get there."""

    approval: JsonObject = Field(default_factory=dict)
    """Where enrolled people are waited for: role, people_n, and the names of those who have approved."""

    latency_ms: float = 0.0

    @property
    def allows_nothing(self) -> bool:
        """A workflow denied it and allows nothing at all now; other denials do not say what is allowed."""
        denied = next((call for call in self.calls if call.get("verdict") == "deny"), None)
        by_law = denied is not None and str(denied.get("rule", "")).startswith(("workflow:", "rule:"))
        return self.status == "refused" and by_law and not self.allowed
