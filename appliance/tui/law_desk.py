"""Carries to the daemon what people do with the laws: events, approvals, the maintenance lock; and asks for names.

A PIN goes from the box to the request and nowhere else: asked for each act, never kept, never in a message or a log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

from appliance.client import Appliance
from appliance.contracts.local import Outcome
from appliance.contracts.plainly import plain_name
from appliance.tui import follower
from appliance.tui.lawglance import LawDrawing
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.signing import Asks, Signature, Signing
from appliance.tui.widgets.act_list import Act

SIGN: Final = "sign"
"""Token of what a person signs: its answer goes to the dialog."""

ONE_MORE: Final = "approved"
"""Code of an approval that is counted and not enough yet."""

SAID: Final = "law"
"""Token of what needs no name: its answer goes to the laws' screen."""


WHY: Final = Asks("Why", "Why, in a few words", "Say why, so that whoever comes by knows.", 200)


class DrawingCame(Message):
    """A law has been described."""

    def __init__(self, drawing: LawDrawing) -> None:
        super().__init__()
        self.drawing = drawing


class LawDesk:
    """Between the screens of the laws and the daemon."""

    def __init__(self, app: App[int], appliance: Appliance) -> None:
        self._app = app
        self._appliance = appliance

    def fetch(self, workflow: str) -> None:
        """Ask for a law's drawing."""
        target: MessagePump = self._app

        def work() -> None:
            target.post_message(DrawingCame(LawDrawing.parse(self._appliance.law(workflow))))

        follower.tell(target, "drawing", work)

    def do(self, act: Act, *, signed: bool) -> None:
        """Do *act*; in a person's name where it takes one, or one is wanted."""
        if not signed:
            follower.ask(self._app, SAID, lambda: self._appliance.event(act.of, act.workflow))
            return
        match act.kind:
            case "say":
                asked = Signing(f"Say {plain_name(act.of)}", _said(act), "say it")
                self._sign(asked, lambda by: self._appliance.event(act.of, act.workflow, person=by.person, pin=by.pin))
            case _:
                self.decide(act.of, act.note if act.kind == "approve" else "", yes=act.kind == "approve")

    def decide(self, of: str, question: str, *, yes: bool) -> None:
        """Approve or refuse what waits for enrolled people."""
        asked = (
            Signing("Approve this?", question, "approve")
            if yes
            else Signing("Refuse this?", f"{question}\nOne refusal is enough.".strip(), "refuse")
        )
        self._sign(asked, lambda by: self._appliance.approve(of, yes=yes, person=by.person, pin=by.pin))

    def maintain(self, *, on: bool) -> None:
        """Set the maintenance lock, or let it go."""
        if on:
            text = "While the lock is set nothing acts, whoever asks; reading and the emergency stop go on."
            asked = Signing("Lock for maintenance", text, "lock", needs_person=False, asks=WHY)
        else:
            text = "Is everybody clear? Whoever set the lock releases it, or an admin. Nothing switches on by itself."
            asked = Signing("Release the maintenance lock?", text, "release", needs_person=False)
        self._sign(asked, lambda by: self._appliance.maintenance(on=on, why=by.said, person=by.person, pin=by.pin))

    def settled(self, token: str, outcome: Outcome) -> None:
        """Show what the device answered."""
        good = outcome.status in ("done", "waiting")
        dialog = self._app.screen
        if token == SIGN and isinstance(dialog, SignScreen):
            if outcome.code == ONE_MORE or (outcome.status == "waiting" and outcome.approval):
                dialog.again(f"{outcome.reason} The next person, please, or Esc.")
                return
            if not good:
                dialog.failed(_answer(outcome))
                return
            dialog.dismiss()
        self._told(_answer(outcome), good=good)

    def faulted(self, token: str, reason: str) -> None:
        """Show why there was no answer, or why a PIN did not count."""
        dialog = self._app.screen
        if token == SIGN and isinstance(dialog, SignScreen):
            dialog.failed(reason.removesuffix(" (not_allowed)"))
            return
        self._told(reason, good=False)

    def _sign(self, asked: Signing, work: Callable[[Signature], Outcome]) -> None:
        if isinstance(self._app.screen, SignScreen):
            return
        self._app.push_screen(
            SignScreen(asked, lambda signature: follower.ask(self._app, SIGN, lambda: work(signature)))
        )

    def _told(self, text: str, *, good: bool) -> None:
        shown = [screen for screen in self._app.screen_stack if isinstance(screen, LawsScreen)]
        for screen in shown:
            screen.show_answer(text, good=good)
        if not shown and text:
            self._app.notify(text, severity="information" if good else "error", timeout=10, markup=False)


def _said(act: Act) -> str:
    who = f"It is for: {', '.join(act.by)}." if act.by else ""
    return f"{act.note}\n{who}".strip()


def _answer(outcome: Outcome) -> str:
    """Write what the device said; of a denial also what is allowed now, and how to get there."""
    names = ", ".join(map(plain_name, outcome.allowed)) or ("nothing" if outcome.allows_nothing else "")
    allowed = f"Allowed now: {names}." if names else ""
    return " ".join(part for part in (outcome.reason, allowed, outcome.remedy) if part)
