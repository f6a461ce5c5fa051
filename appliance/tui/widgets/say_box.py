"""Where the operator says things, and answers questions."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input

from appliance.contracts.request import MAX_TEXT_CHARS

REMEMBERED_N: Final = 200


class SayBox(Input):
    """One line of plain words; up and down bring back what was said."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "older", "Said before", show=False),
        Binding("down", "newer", "Said after", show=False),
    ]

    DEFAULT_CSS = """
    SayBox {
        border: solid $line;
        border-title-color: $primary;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0 1;
        &:focus { border: solid $primary; }
        &.-answering { border: solid $warning; border-title-color: $warning; }
    }
    """

    question: reactive[str] = reactive("")
    """What the next line answers; empty when it is a new request."""

    class Said(Message):
        """The operator has said something."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Answered(Message):
        """The operator has answered the question that stands in the box."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id, max_length=MAX_TEXT_CHARS, select_on_focus=False)
        self._said: list[str] = []
        self._at = 0

    def remember(self, said: list[str]) -> None:
        """Take over what was said earlier, oldest first; what was said since comes last."""
        self._said = [*said, *self._said][-REMEMBERED_N:]
        self._at = len(self._said)

    def watch_question(self, question: str) -> None:
        """Show whether the next line is an answer."""
        self.set_class(bool(question), "-answering")
        self.border_title = "Answer" if question else "Say"
        self.border_subtitle = "Enter answers, Esc leaves it waiting" if question else ""
        self.placeholder = question or "Say what you want, in plain words"

    def action_older(self) -> None:
        """Bring back what was said before."""
        self._go(self._at - 1)

    def action_newer(self) -> None:
        """Go back towards the empty line."""
        self._go(self._at + 1)

    def _go(self, at: int) -> None:
        if self._said:
            self._at = min(max(at, 0), len(self._said))
            self.value = self._said[self._at] if self._at < len(self._said) else ""
            self.cursor_position = len(self.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Say it."""
        event.stop()
        text = event.value.strip()
        if not text:
            return
        self.value = ""
        if self.question:
            self.post_message(self.Answered(text))
            return
        self.remember([text] if not self._said or self._said[-1] != text else [])
        self._said, self._at = [s for s in self._said if s], len(self._said)
        self.post_message(self.Said(text))
