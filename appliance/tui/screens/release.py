"""Asks before the emergency stop is released."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class ReleaseScreen(ModalScreen[bool]):
    """Yes or no; no is a slip of the finger away, yes is not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Release"),
        Binding("n,escape,enter", "dismiss(False)", "Keep stopped"),
    ]

    DEFAULT_CSS = """
    ReleaseScreen {
        align: center middle;
        #release {
            width: 62; max-width: 90%; height: auto; padding: 1 2;
            background: $panel; border: solid $error; border-title-style: bold; border-title-color: $error;
        }
        Static { width: 1fr; height: auto; }
    }
    """

    def compose(self) -> ComposeResult:
        """Put the question."""
        with Vertical(id="release"):
            yield Static(
                Content.assemble(
                    "Is everybody clear, and the cause of the stop dealt with?\n\n",
                    "Releasing switches nothing on: every output stays safe until something is asked for again.\n\n",
                    (" y ", "reverse bold $text-error"),
                    " Release    ",
                    (" n ", "reverse bold $text-success"),
                    " Keep stopped",
                )
            )

    def on_mount(self) -> None:
        """Name the box."""
        self.query_one("#release").border_title = "Release the emergency stop?"
