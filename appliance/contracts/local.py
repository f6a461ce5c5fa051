"""The local protocol, version 1: JSON lines over the home's Unix socket.

A client writes one `LocalRequest` a line and reads one `LocalReply` a line, in order. `watch` answers with a reply for
every change until the client hangs up. docs/reference/local-protocol.md is printed from these records.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold

VERSION = 1
MAX_LINE_BYTES = 64 * 1024


class Hello(Record):
    """Which daemon answers: version, device, boot, bundle, lifecycle state."""

    op: Literal["hello"] = "hello"
    protocol: int = VERSION


class Say(Record):
    """Submit words; wait for the outcome, or for what is needed next."""

    op: Literal["say"] = "say"
    text: str
    yes: bool = False
    """Confirmed beforehand by the person who says it."""

    request_id: str | None = None
    """The client's own id: sent twice, it acts once and gets the same answer."""

    wait_s: float = 30.0


class CallTool(Record):
    """Submit a tool call; like `say` without inference."""

    op: Literal["call"] = "call"
    tool: str
    arguments: JsonObject = Field(default_factory=dict)
    yes: bool = False
    request_id: str | None = None
    wait_s: float = 30.0


class Reply(Record):
    """Say yes or no to a request that waits for confirmation, or answer its question."""

    op: Literal["confirm", "answer"]
    request_id: str
    yes: bool = True
    text: str = ""
    edits: JsonObject = Field(default_factory=dict)
    wait_s: float = 30.0


class UndoLast(Record):
    """Take back the last act that can be taken back."""

    op: Literal["undo"] = "undo"
    wait_s: float = 30.0


class Stop(Record):
    """Emergency stop: at once, latched, past every queue."""

    op: Literal["stop"] = "stop"
    reason: str = ""


class Release(Record):
    """Let go of the emergency stop's latch; only locally."""

    op: Literal["release"] = "release"


class Status(Record):
    """What the console shows at a glance."""

    op: Literal["status"] = "status"


class Watch(Record):
    """Follow changes: one reply for the present status, then one for each change."""

    op: Literal["watch"] = "watch"


class Resolve(Record):
    """Say what became of an act whose outcome is indeterminate."""

    op: Literal["resolve"] = "resolve"
    request_id: str
    happened: bool
    note: str = ""


class Checkpoint(Record):
    """Sign how far the ledger is, now; the result holds the signed note."""

    op: Literal["checkpoint"] = "checkpoint"


class RotateKey(Record):
    """Give the device a new key; the old one vouches for it, unless it was compromised."""

    op: Literal["rotate_key"] = "rotate_key"
    reason: str
    compromised: bool = False


class Quit(Record):
    """End the daemon in good order: the turn under way is finished, outputs are driven safe."""

    op: Literal["quit"] = "quit"


LocalRequest = Annotated[
    Hello
    | Say
    | CallTool
    | Reply
    | UndoLast
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
    latency_ms: float = 0.0
