"""What an outsider needs to hold this device to its word: the newest checkpoint, the key, and how to use them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from appliance.tui.glance import Glance, Ledger
from appliance.tui.glyphs import Glyphs
from appliance.tui.proof import Proof
from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets.alarm import Alarm
from appliance.tui.widgets.proof_text import proof_lines

ROOM_N: Final = 7
"""Columns that border, padding and scroll bar take."""


class LedgerScreen(ToldScreen):
    """The ledger's standing, to read and to carry away; c and k copy through the terminal (OSC 52)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f5,backspace", "app.pop_screen", "Back"),
        Binding("c", "copy_note", "Copy note"),
        Binding("k", "copy_key", "Copy key"),
    ]

    DEFAULT_CSS = """
    LedgerScreen {
        #proof { padding: 0 2; background: $surface; border: solid $line; border-title-color: $foreground;
            border-title-style: bold; }
        #proof:focus { border: solid $primary; }
        #proof-text { width: 1fr; height: auto; }
    }
    """

    def __init__(self, proof: Proof, glyphs: Glyphs, now: Callable[[], datetime], zone: tzinfo | None) -> None:
        super().__init__()
        self._proof = proof
        self._glyphs = glyphs
        self._now = now
        self._zone = zone
        self._ledger = Ledger()

    def compose(self) -> ComposeResult:
        """Hold one long text."""
        yield Alarm()
        with VerticalScroll(id="proof", can_focus=True):
            yield Static(id="proof-text")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#proof").border_title = "Ledger"
        self.query_one("#proof").focus()
        self._paint()

    def show_glance(self, glance: Glance | None, lost: str) -> None:
        """Raise or lower the banners, and take over how far the ledger is."""
        super().show_glance(glance, lost)
        if glance is not None:
            self._ledger = glance.ledger
            self._paint()

    def show_proof(self, proof: Proof) -> None:
        """Take over what has been signed since."""
        self._proof = proof
        self._paint()

    def on_resize(self) -> None:
        """Set the lines anew."""
        self._paint()

    def action_copy_note(self) -> None:
        """Hand the newest checkpoint to the terminal's clipboard."""
        if self._proof.newest is not None:
            self._copy("The checkpoint", self._proof.newest.note)

    def action_copy_key(self) -> None:
        """Hand the verifier to the terminal's clipboard."""
        if self._ledger.verifier:
            self._copy("The verifier", f"{self._ledger.verifier}\n")

    def _copy(self, what: str, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} was handed to your terminal. If nothing arrives, the terminal forbids OSC 52.")

    def _paint(self) -> None:
        width = max(40, self.size.width - ROOM_N)
        lines = proof_lines(self._ledger, self._proof, self._now(), self._glyphs, self._zone, width)
        # None while the screen is taken down: what is known may still change then.
        for text in self.query("#proof-text").results(Static):
            text.update(Content("\n").join(list(lines)))
