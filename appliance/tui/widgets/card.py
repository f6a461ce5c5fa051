"""What was understood, what the laws said, and what became of it: one request at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from appliance.contracts.local import Outcome
from appliance.tui.glyphs import Glyphs
from appliance.tui.widgets import card_text

SETTLE_S: Final = 0.4
"""A key pressed so soon after the card took the focus by itself was meant for the say box."""


class Card(VerticalScroll, can_focus=True):
    """Shows a request; takes the operator's yes, no or choice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "reply(True)", "Confirm", key_display="y"),
        Binding("n", "reply(False)", "Reject", key_display="n"),
        Binding("a", "answer", "Answer"),
        *(Binding(str(n), f"pick({n})", f"Choice {n}", show=False) for n in range(1, 10)),
    ]

    DEFAULT_CSS = """
    Card {
        height: auto;
        max-height: 70%;
        min-height: 6;
        border: solid $line;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
        &:focus { border: solid $primary; }
        &.-waiting { border: solid $warning; border-title-color: $warning; }
        &.-refused { border-title-color: $text-warning; }
        &.-failed { border: solid $error; border-title-color: $error; }
        Static { width: 1fr; height: auto; }
    }
    """

    class Replied(Message):
        """The operator has said yes or no."""

        def __init__(self, request_id: str, *, yes: bool) -> None:
            super().__init__()
            self.request_id = request_id
            self.yes = yes

    class Picked(Message):
        """The operator has chosen an answer, or an example."""

        def __init__(self, text: str, request_id: str | None) -> None:
            super().__init__()
            self.text = text
            self.request_id = request_id
            """None for an example."""

    class Opened(Message):
        """The operator wants to answer in words."""

    def __init__(self, glyphs: Glyphs, monotonic_s: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glyphs = glyphs
        self._monotonic_s = monotonic_s
        self._held_until_s = 0.0
        self._examples: tuple[str, ...] = ()
        self._outcome: Outcome | None = None
        self._is_busy = False

    @property
    def outcome(self) -> Outcome | None:
        """The request that is shown."""
        return self._outcome

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Static(id="card-text")

    def welcome(self, examples: tuple[str, ...]) -> None:
        """Show what one could say."""
        self._outcome, self._examples, self._is_busy = None, examples, False
        self._paint("Welcome", "", card_text.welcome(examples))

    def deciding(self, text: str, elapsed_s: float) -> None:
        """Show that *text* is being worked on."""
        self._outcome, self._examples, self._is_busy = None, (), True
        self._paint("Working", f"{elapsed_s:.0f} s" if elapsed_s >= 1 else "", card_text.deciding(text, elapsed_s))

    def show(self, outcome: Outcome, *, takes_back: bool = False) -> None:
        """Show what became of a request, or what it waits for.

        Args:
            takes_back: it was an undo; what is shown is the call that took the act back.
        """
        self._outcome, self._examples, self._is_busy = outcome, (), False
        subtitle = f"{outcome.latency_ms:.0f} ms" if outcome.latency_ms else ""
        title = "Taken back" if takes_back and outcome.status == "done" else card_text.title(outcome)
        self._paint(title, subtitle, card_text.card(outcome, self._glyphs))
        self.scroll_home(animate=False)

    def take_focus(self) -> None:
        """Come to the front for a decision; keys that are on their way do not count."""
        self._held_until_s = self._monotonic_s() + SETTLE_S
        self.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what the shown request waits for."""
        status = self._outcome.status if self._outcome else ""
        match action:
            case "reply":
                return status == "waiting" and not self._is_under_way()
            case "answer":
                return status == "asked"
            case _:
                return True

    def action_reply(self, yes: bool) -> None:  # noqa: FBT001 -- Textual passes an action's parameters in order
        """Say yes or no."""
        if self._outcome is not None and self._monotonic_s() >= self._held_until_s:
            self.post_message(self.Replied(self._outcome.request_id, yes=yes))

    def action_answer(self) -> None:
        """Answer in words."""
        self.post_message(self.Opened())

    def action_pick(self, n: int) -> None:
        """Take the choice with this number."""
        choices = self._outcome.choices if self._outcome and self._outcome.status == "asked" else self._examples
        if n <= len(choices) and self._monotonic_s() >= self._held_until_s:
            self.post_message(self.Picked(choices[n - 1], self._outcome.request_id if self._outcome else None))

    def _is_under_way(self) -> bool:
        return self._outcome is not None and self._outcome.code == "in-progress"

    def _paint(self, title: str, subtitle: str, text: Content) -> None:
        self.border_title, self.border_subtitle = title, subtitle
        status = self._outcome.status if self._outcome else ""
        self.set_class(status in ("waiting", "asked"), "-waiting")
        self.set_class(status == "refused", "-refused")
        self.set_class(status in ("failed", "indeterminate"), "-failed")
        self.query_one("#card-text", Static).update(text)
        self.refresh_bindings()
