"""Where a PIN is typed: masked, never copied, emptied as soon as it is taken."""

from __future__ import annotations

from typing import Final

from rich.text import Text
from textual.widgets import Input

MAX_PIN_CHARS: Final = 64


class PinBox(Input):
    """Masks with a sign that every terminal has; its text never reaches a clipboard."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id, password=True, max_length=MAX_PIN_CHARS)

    @property
    def _value(self) -> Text:
        return Text("*" * len(self.value), no_wrap=True, overflow="ignore", end="")

    def take(self) -> str:
        """Hand the PIN over; the box is empty afterwards."""
        pin, self.value = self.value, ""
        return pin

    def action_copy(self) -> None:
        """Refuse: the clipboard belongs to the terminal, and to whatever watches it."""

    def action_cut(self) -> None:
        """Delete what is selected, without a copy of it."""
        self.delete_selection()
