"""Carries to the daemon what people do with bundles, and back how they are; asks for names, as the laws' desk does.

A canary takes minutes: the dialog closes when a person has signed, the screen goes on, and the answer is shown there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from textual.app import App
from textual.message import Message

from appliance.client import Appliance
from appliance.contracts.local import LocalReply
from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError
from appliance.tui.modelglance import Models, Report
from appliance.tui.screens.models import ModelsScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.signing import Asks, Signature, Signing
from appliance.tui.widgets.model_acts import ModelAct

SAFE: Final = "The appliance begins again then: outputs go to their safe state, as at every start."
PATH: Final = Asks("Path", "/media/usb/pointer-small-0.2.0.tar", "Say which file or folder, from the root on.", 400)
LIST_PATH: Final = Asks("Path", "/media/usb/revocations-2.json", "Say which file, from the root on.", 400)
ROOT_PATH: Final = Asks("Path", "/media/usb/root-2.json", "Say which file, from the root on.", 400)
UNDER_WAY: Final = {
    "install": "Looking at it: form, hashes, signatures ...",
    "verify": "Looking at it: form, hashes, signatures ...",
    "activate": "Trying it: golden answers, the safety suite, what was decided here ... a minute or more.",
    "rollback": "Going back ...",
    "revocations": "Looking at its signatures ...",
    "root": "Looking at its signatures ...",
}


class ModelsCame(Message):
    """The daemon has told how the bundles are; None where it did not answer."""

    def __init__(self, models: Models | None) -> None:
        super().__init__()
        self.models = models

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, ModelsCame)


class ModelsAnswered(Message):
    """What came of an act."""

    def __init__(self, text: str, result: JsonObject, *, good: bool) -> None:
        super().__init__()
        self.text = text
        self.result = result
        self.good = good


class ModelDesk:
    """Between the models' screen and the daemon."""

    def __init__(self, app: App[int], appliance: Appliance) -> None:
        self._app = app
        self._appliance = appliance
        self._is_asking = threading.Lock()

    def fetch(self) -> None:
        """Ask how the bundles are, unless that is being asked already."""
        if not self._is_asking.acquire(blocking=False):
            return

        def run() -> None:
            try:
                self._app.post_message(ModelsCame(Models.parse(self._appliance.bundles())))
            except ApplianceError:
                self._app.post_message(ModelsCame(None))  # the banner says that the daemon does not answer
            finally:
                self._is_asking.release()

        threading.Thread(target=run, name="console-bundles", daemon=True).start()

    def do(self, act: ModelAct) -> None:
        """Do *act* once a person has signed for it."""
        if isinstance(self._app.screen, SignScreen):
            return

        def signed(by: Signature) -> None:
            self._app.screen.dismiss()
            self._say(UNDER_WAY[act.kind], good=None)
            threading.Thread(target=lambda: self._run(act, by), name="console-bundle", daemon=True).start()

        self._app.push_screen(SignScreen(_asked(act), signed))

    def came(self, models: Models | None) -> None:
        """Hand down how the bundles are."""
        if models is not None:
            for screen in self._screens():
                screen.show_models(models)

    def answered(self, event: ModelsAnswered) -> None:
        """Show what came of an act."""
        for screen in self._screens():
            screen.show_report(Report.parse(event.result))
        self._say(event.text, good=event.good)
        self.fetch()

    def _run(self, act: ModelAct, by: Signature) -> None:
        try:
            reply = _WORK[act.kind](self._appliance, act, by)
        except ApplianceError as error:
            self._app.post_message(ModelsAnswered(str(error), {}, good=False))
            return
        text, good = _told(reply)
        self._app.post_message(ModelsAnswered(text, reply.result, good=good))

    def _say(self, text: str, *, good: bool | None) -> None:
        screens = self._screens()
        for screen in screens:
            screen.show_answer(text, good=good)
        if not screens and good is not None:
            self._app.notify(text, severity="information" if good else "error", timeout=10, markup=False)

    def _screens(self) -> list[ModelsScreen]:
        return [screen for screen in self._app.screen_stack if isinstance(screen, ModelsScreen) and screen.is_mounted]


_WORK: Final[dict[str, Callable[[Appliance, ModelAct, Signature], LocalReply]]] = {
    "install": lambda device, act, by: device.install(act.of or by.said, person=by.person, pin=by.pin),
    "verify": lambda device, act, by: device.look(act.of, person=by.person, pin=by.pin),
    "activate": lambda device, act, by: device.activate(act.of, again=act.is_again, person=by.person, pin=by.pin),
    "rollback": lambda device, _, by: device.roll_back(person=by.person, pin=by.pin),
    "revocations": lambda device, act, by: device.trust(act.of or by.said, "revocations", person=by.person, pin=by.pin),
    "root": lambda device, act, by: device.trust(act.of or by.said, "root", person=by.person, pin=by.pin),
}


def _asked(act: ModelAct) -> Signing:
    match act.kind:
        case "install":
            text = f"{act.of}\nForm, hashes and signatures are looked at. It decides nothing yet.".strip()
            return Signing("Install this?", text, "install", needs_person=False, asks=None if act.of else PATH)
        case "verify":
            text = f"{act.of}\nWhat it is, who signed it, and whether it would be taken. Nothing is changed."
            return Signing("Look at this?", text, "verify", needs_person=False)
        case "activate":
            text = f"The canary tries it; if that goes well it decides, on trial. {SAFE}"
            return Signing("Activate this?", text, act.label, needs_person=False)
        case "rollback":
            return Signing("Roll back?", f"What decides goes back {act.note}. {SAFE}", "roll back", needs_person=False)
        case "revocations":
            text = f"{act.of}\nIts own signatures say whether it counts. A bundle on it that decides here goes at once."
            asks = None if act.of else LIST_PATH
            return Signing("Take this revocation list?", text.strip(), "take it", needs_person=False, asks=asks)
        case "root":
            text = (
                f"{act.of}\nIt says whose word counts here from now on: who releases, who revokes, who makes the next"
                " root. It is taken if enough of the present root's people signed it. Compare it with them first."
            )
            asks = None if act.of else ROOT_PATH
            return Signing("Take this root of trust?", text.strip(), "take it", needs_person=False, asks=asks)


def _told(reply: LocalReply) -> tuple[str, bool]:
    """Return what the daemon said, and whether it was a yes."""
    refused, accepted = reply.result.get("refused"), reply.result.get("accepted")
    if isinstance(refused, dict):
        return str(refused.get("reason", "")), False
    if isinstance(accepted, dict):
        what = "Revocation list" if accepted.get("kind") == "revocations" else "Root"
        return f"{what} {accepted.get('number')} is in force.", True
    return reply.message, reply.ok
