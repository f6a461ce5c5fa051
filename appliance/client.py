"""The appliance as a Python object: what a program on the same machine needs to talk to its daemon.

    >>> from appliance.client import Appliance
    >>> appliance = Appliance("/var/lib/appliance")         # doctest: +SKIP
    >>> appliance.say("dim the workshop lights to 30 percent").status      # doctest: +SKIP
    'done'

docs/how-to/use-the-python-client.md shows more.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.contracts.bundle import DocumentKind
from appliance.contracts.local import (
    ActivateBundle,
    CallTool,
    DescribeLaw,
    GiveApproval,
    Hello,
    InstallBundle,
    ListBundles,
    LocalReply,
    Outcome,
    Release,
    Reply,
    Resolve,
    RollBackBundle,
    Say,
    SayEvent,
    SetMaintenance,
    Status,
    Stop,
    TrustDocument,
    UndoLast,
    Watch,
)
from appliance.contracts.record import JsonObject, Record
from appliance.errors import ApplianceError, DaemonUnavailable, UsageError, WireError
from appliance.transport.local import LocalClient

_PATIENCE_S: Final = 10.0
"""What the daemon may take beyond the time that a request asks to wait."""

_INSTALL_S: Final = 300.0
_CANARY_S: Final = 4 * 3600.0
"""Longer than any canary may take."""

SILENCE_S: Final = 30.0
"""A daemon that is being watched says something at least every 10 s; one that is silent for so long hangs."""


class Appliance:
    """The daemon of one home; every method may be called from any thread.

    A refusal is an `Outcome`. What is raised is a fault: `DaemonUnavailable` (nothing answers), `UsageError` (the
    request cannot be read), `ApplianceError` (the daemon could not do it), `WireError` (something else listens there).
    """

    def __init__(self, home: Path | str, *, wait_s: float = 30.0) -> None:
        self._client = LocalClient(Path(home))
        self._wait_s = wait_s

    def hello(self) -> JsonObject:
        """Return which daemon answers: version, device, boot, bundle, lifecycle state."""
        return self._ask(Hello()).result

    def say(
        self, text: str, *, yes: bool = False, person: str = "", pin: str = "", request_id: str | None = None
    ) -> Outcome:
        """Say *text* and wait for what becomes of it, or for what is needed next.

        Args:
            yes: the person who says it confirms beforehand whatever wants a confirmation.
            person: who is enrolled says it, which *pin* shows; nobody in particular when empty.
            request_id: sent twice, it acts once and gets the same answer; made up when absent.
        """
        return self._outcome(
            Say(
                text=text,
                yes=yes,
                person=person,
                pin=pin,
                request_id=request_id or new_request_id(),
                wait_s=self._wait_s,
            )
        )

    def call(
        self,
        tool: str,
        arguments: JsonObject | None = None,
        *,
        yes: bool = False,
        person: str = "",
        pin: str = "",
        request_id: str | None = None,
    ) -> Outcome:
        """Propose a tool call; it passes the same laws as words do."""
        return self._outcome(
            CallTool(
                tool=tool,
                arguments=arguments or {},
                yes=yes,
                person=person,
                pin=pin,
                request_id=request_id or new_request_id(),
                wait_s=self._wait_s,
            )
        )

    def confirm(
        self, request_id: str, *, yes: bool = True, edits: JsonObject | None = None, person: str = "", pin: str = ""
    ) -> Outcome:
        """Say yes or no to a request that waits; *edits* are arguments corrected by hand, by name."""
        return self._outcome(
            Reply(
                op="confirm",
                request_id=request_id,
                yes=yes,
                edits=edits or {},
                person=person,
                pin=pin,
                wait_s=self._wait_s,
            )
        )

    def answer(self, request_id: str, text: str, *, person: str = "", pin: str = "") -> Outcome:
        """Answer the question of a request that waits for it."""
        return self._outcome(
            Reply(op="answer", request_id=request_id, text=text, person=person, pin=pin, wait_s=self._wait_s)
        )

    def undo(self, *, person: str = "", pin: str = "") -> Outcome:
        """Take back the last act that can be taken back."""
        return self._outcome(UndoLast(person=person, pin=pin, wait_s=self._wait_s))

    def event(
        self, event: str, workflow: str = "", *, person: str = "", pin: str = "", request_id: str | None = None
    ) -> Outcome:
        """Say *event* to a workflow, in the name of *person* where a PIN is given, and wait for what it did.

        Args:
            workflow: which; the only one that knows the event, when empty.
        """
        return self._outcome(
            SayEvent(
                event=event,
                workflow=workflow,
                person=person,
                pin=pin,
                request_id=request_id or new_request_id(),
                wait_s=self._wait_s,
            )
        )

    def approve(self, of: str, *, person: str, pin: str, yes: bool = True) -> Outcome:
        """Approve, or refuse, what waits for enrolled people; *of* is the approval's id, or that of the request."""
        return self._outcome(GiveApproval(of=of, yes=yes, person=person, pin=pin, wait_s=self._wait_s))

    def maintenance(self, *, on: bool, why: str = "", person: str = "", pin: str = "") -> Outcome:
        """Set the maintenance lock, so that nothing acts, or let it go."""
        return self._outcome(SetMaintenance(on=on, why=why, person=person, pin=pin, wait_s=self._wait_s))

    def law(self, workflow: str) -> JsonObject:
        """Return a law in force as a drawing needs it: states and arrows."""
        return self._ask(DescribeLaw(workflow=workflow)).result

    def bundles(self) -> JsonObject:
        """Return what lies in the slots, which bundle decides, how its trial does, and whose word counts."""
        return self._ask(ListBundles()).result

    def install(self, path: Path | str, *, person: str = "", pin: str = "") -> LocalReply:
        """Take the delivery at *path*, as the device sees it, into a free slot; a no is an answer, with its reason."""
        request = InstallBundle(path=str(path), person=person, pin=pin)
        return self._client.request(request, timeout_s=_INSTALL_S)

    def look(self, path: Path | str, *, person: str = "", pin: str = "") -> LocalReply:
        """Say what the delivery at *path* is, who signed it, and whether `install` would take it; changes nothing."""
        request = InstallBundle(path=str(path), only_look=True, person=person, pin=pin)
        return self._client.request(request, timeout_s=_INSTALL_S)

    def activate(self, bundle: str, *, again: bool = False, person: str = "", pin: str = "") -> LocalReply:
        """Have the canary try *bundle*, and let it decide, on trial; takes minutes.

        Args:
            again: also one that was sent back before.
        """
        request = ActivateBundle(bundle=bundle, again=again, person=person, pin=pin)
        return self._client.request(request, timeout_s=_CANARY_S)

    def roll_back(self, *, person: str = "", pin: str = "") -> LocalReply:
        """Let the bundle before decide again."""
        return self._client.request(RollBackBundle(person=person, pin=pin), timeout_s=_PATIENCE_S)

    def trust(self, path: Path | str, kind: DocumentKind, *, person: str = "", pin: str = "") -> LocalReply:
        """Bring a revocation list, or the root after the present one, from a file that the device can read."""
        request = TrustDocument(path=str(path), kind=kind, person=person, pin=pin)
        return self._client.request(request, timeout_s=_INSTALL_S)

    def resolve(
        self, request_id: str, *, happened: bool, note: str = "", person: str = "", pin: str = ""
    ) -> JsonObject:
        """Say what became of an act whose outcome is indeterminate."""
        request = Resolve(request_id=request_id, happened=happened, note=note, person=person, pin=pin)
        return self._ask(request).result

    def stop(self, reason: str = "") -> JsonObject:
        """Stop everything at once: outputs go safe and stay so until `release`."""
        return self._ask(Stop(reason=reason)).result

    def release(self, *, person: str = "", pin: str = "") -> JsonObject:
        """Let go of the emergency stop."""
        return self._ask(Release(person=person, pin=pin)).result

    def status(self) -> JsonObject:
        """Return what the console shows at a glance."""
        return self._ask(Status()).result

    @contextmanager
    def watch(self) -> Iterator[Iterator[JsonObject]]:
        """Follow the status: what it is now, then what it is after each change.

        The iterator ends when the daemon does, and raises `DaemonUnavailable` when it hangs.

            with appliance.watch() as statuses:
                for status in statuses:
                    print(status["state"])
        """
        replies = self._client.follow(Watch(), timeout_s=SILENCE_S)
        try:
            yield (_accepted(reply).result for reply in replies)
        finally:
            replies.close()

    def _ask(self, request: Record) -> LocalReply:
        return _accepted(self._client.request(request, timeout_s=_PATIENCE_S))

    def _outcome(
        self, request: Say | CallTool | Reply | UndoLast | SayEvent | GiveApproval | SetMaintenance
    ) -> Outcome:
        reply = _accepted(self._client.request(request, timeout_s=request.wait_s + _PATIENCE_S))
        try:
            return Outcome.model_validate(reply.result, strict=False)
        except ValidationError as error:
            raise WireError(f"an outcome that is not ours: {error.errors()[0]['msg']}") from error


def new_request_id() -> str:
    """Make up an id for a request."""
    return f"cli-{secrets.token_hex(8)}"


def _accepted(reply: LocalReply) -> LocalReply:
    if reply.ok:
        return reply
    message = f"{reply.message or 'the daemon said no'} ({reply.error})"
    match reply.error:
        case "malformed" | "too_long" | "unknown_op":
            raise UsageError(message)
        case "busy" | "ending":
            raise DaemonUnavailable(message)
        case _:
            raise ApplianceError(message)
