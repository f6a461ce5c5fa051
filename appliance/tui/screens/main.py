"""The screen that an operator lives in: say, understand, confirm, see what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer

from appliance.contracts.local import Outcome
from appliance.tui import wishes
from appliance.tui.examples import examples
from appliance.tui.glance import Glance
from appliance.tui.glyphs import Glyphs
from appliance.tui.queries import Entry
from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets.alarm import Alarm
from appliance.tui.widgets.card import Card
from appliance.tui.widgets.devices import Devices
from appliance.tui.widgets.glance_bar import GlanceBar
from appliance.tui.widgets.history_list import HistoryList
from appliance.tui.widgets.say_box import SayBox

BEAT_S: Final = 0.5
"""How often the sign of life of a running request moves; the first comes after this time."""


UNDO: Final = "undo"


class MainScreen(ToldScreen):
    """Say box, card, history and devices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Taken before the box in front sees them: a key sent right behind is for where they lead.
        Binding("f2", "focus_on('history')", "History", key_display="F2", priority=True),
        Binding("f3", "focus_on('card')", "Card", key_display="F3", show=False, priority=True),
        Binding("f4", "next_waiting", "Waiting", key_display="F4", priority=True),
        Binding("f6", "focus_on('devices')", "Devices", show=False, priority=True),
        Binding("ctrl+z", "undo", "Undo", priority=True, key_display="^Z"),
        Binding("escape", "leave", "Say box", show=False),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (140, "-huge")]  # noqa: RUF012 -- Textual declares it as an instance's
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012 -- the same

    def __init__(
        self,
        glyphs: Glyphs,
        *,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        new_token: Callable[[], str],
        zone: tzinfo | None,
    ) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._now = now
        self._monotonic_s = monotonic_s
        self._new_token = new_token
        self._zone = zone
        self._glance: Glance | None = None
        self._entries: dict[str, Entry] = {}
        self._token = ""
        """The running request whose outcome the card waits for."""
        self._text = ""
        self._since_s = 0.0

    def compose(self) -> ComposeResult:
        """Arrange the regions."""
        yield Alarm()
        yield GlanceBar(self._glyphs, self._now)
        with Horizontal(id="body"):
            with Vertical(id="talk"):
                yield Card(self._glyphs, self._monotonic_s, id="card")
                yield HistoryList(self._glyphs, self._zone, id="history")
            yield Devices(self._glyphs, self._monotonic_s, self._zone, id="devices")
        yield SayBox(id="say")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the say box."""
        self._card.welcome(examples({}))
        self._say.focus()
        self.set_interval(BEAT_S, self._beat)

    # ---- what the app hands down

    def show_glance(self, glance: Glance | None, lost: str) -> None:
        """Paint the device's status."""
        super().show_glance(glance, lost)
        self._glance = glance
        self.query_one(GlanceBar).show(glance, is_lost=bool(lost))
        if glance is not None:
            self.query_one(Devices).show(glance.devices)
            if self._card.outcome is None and not self._token:
                if glance.waiting:
                    self._put(glance.waiting[0])
                else:
                    self._card.welcome(examples(glance.devices))
            self._check_card(glance)
        self.refresh_bindings()

    def show_history(self, entries: list[Entry]) -> None:
        """Paint the ledger's newest part."""
        self._entries = {entry.key: entry for entry in entries}
        self.query_one(HistoryList).show(entries, self._now())
        if self._glance is not None:
            self._check_card(self._glance)

    def remember(self, said: list[str]) -> None:
        """Let the say box bring back what was said before."""
        self._say.remember(said)

    def show_outcome(self, token: str, outcome: Outcome) -> None:
        """Show what came of a request of this console."""
        if token != self._token:
            return  # a newer one is on the card; the history has this one
        self._token = ""
        self._put(outcome, takes_back=self._text == UNDO)
        match outcome.status:
            case "asked":
                self._ask()
            case "waiting" if not self._say.value and self.focused in (self._say, self._card):
                self._card.take_focus()
            case _ if self.focused is self._card:
                self._say.focus()

    def show_fault(self, token: str, reason: str) -> None:
        """Show that a request of this console got no answer."""
        self.notify(reason, title="Not answered", severity="error", timeout=12, markup=False)
        if token == self._token:
            self._token = ""
            if not self._say.value:
                self._say.value = self._text  # nothing that was typed is lost
            self._card.welcome(examples(self._glance.devices if self._glance else {}))
            self._say.focus()

    # ---- what the widgets say

    def on_say_box_said(self, event: SayBox.Said) -> None:
        """Submit the words."""
        self.post_message(wishes.Said(self._begin(event.text), event.text))

    def on_say_box_answered(self, event: SayBox.Answered) -> None:
        """Submit the answer."""
        self._answer(event.text)

    def on_card_replied(self, event: Card.Replied) -> None:
        """Submit the yes or no."""
        shown = self._card.outcome
        if shown is not None and shown.approval:
            self.post_message(wishes.Decided(event.request_id, shown.reason or shown.question, yes=event.yes))
            return
        text = shown.text if shown else ""
        self.post_message(wishes.Replied(self._begin(text), event.request_id, yes=event.yes))

    def on_card_picked(self, event: Card.Picked) -> None:
        """Submit a choice; an example goes to the say box, to be looked at first."""
        if event.request_id is not None:
            self._answer(event.text)
            return
        self._say.value = event.text
        self._say.cursor_position = len(event.text)
        self._say.focus()

    def on_card_opened(self, _: Card.Opened) -> None:
        """Take the answer in the say box."""
        self._ask()

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer F4 only while something waits."""
        if action == "next_waiting":
            return bool(self._glance and self._glance.waiting)
        return True

    def action_focus_on(self, region: str) -> None:
        """Go to a region."""
        # Not `Widget.focus`, which comes a moment later: a key sent right behind would go to the say box.
        self.set_focus(self.query_one(f"#{region}"))

    def action_leave(self) -> None:
        """Back to the say box; a question stays waiting."""
        self._say.question = ""
        self._say.focus()

    def action_next_waiting(self) -> None:
        """Show the next request that waits for a person."""
        waiting = self._glance.waiting if self._glance else ()
        if not waiting:
            return
        shown = self._card.outcome.request_id if self._card.outcome else ""
        ids = [outcome.request_id for outcome in waiting]
        at = (ids.index(shown) + 1) % len(ids) if shown in ids else 0
        self._token = ""
        self._put(waiting[at])
        if waiting[at].status == "asked":
            self._ask()
        else:
            self._card.take_focus()

    def action_undo(self) -> None:
        """Take back the last act."""
        self.post_message(wishes.Undone(self._begin(UNDO)))

    # ---- inside

    @property
    def _card(self) -> Card:
        return self.query_one(Card)

    @property
    def _say(self) -> SayBox:
        return self.query_one(SayBox)

    def _begin(self, text: str) -> str:
        self._token, self._text, self._since_s = self._new_token(), text, self._monotonic_s()
        self._say.question = ""
        self._card.deciding(text, 0.0)
        return self._token

    def _beat(self) -> None:
        if self._token:
            self._card.deciding(self._text, self._monotonic_s() - self._since_s)

    def _answer(self, text: str) -> None:
        asked = self._card.outcome
        if asked is not None and asked.status == "asked":
            self.post_message(wishes.Answered(self._begin(f"{asked.text} - {text}"), asked.request_id, text))

    def _ask(self) -> None:
        asked = self._card.outcome
        if asked is not None and asked.status == "asked":
            self._say.question = asked.question or asked.reason or "Answer"
            if asked.choices and not self._say.value:
                self._card.take_focus()
            else:
                self._say.focus()

    def _put(self, outcome: Outcome, *, takes_back: bool = False) -> None:
        self._say.question = ""
        self._card.show(outcome, takes_back=takes_back)

    def _check_card(self, glance: Glance) -> None:
        """Bring the card up to date when its request was answered elsewhere, or expired."""
        shown = self._card.outcome
        if shown is None or shown.status not in ("waiting", "asked"):
            return
        if shown.request_id in {outcome.request_id for outcome in glance.waiting}:
            return
        entry = self._entries.get(shown.request_id)
        match entry.status if entry else "":
            case "done" | "refused" | "failed" | "indeterminate" as status:
                reason = entry.reason if entry else ""
                self._put(shown.model_copy(update={"status": status, "reason": reason, "question": "", "code": ""}))
            case _:
                return
