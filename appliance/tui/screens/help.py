"""Keys and a few words on how to talk to the device."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets.alarm import Alarm

KEYS: Final = (
    ("F12, Ctrl+E", "emergency stop: every output safe, at once, unasked"),
    ("Ctrl+R", "release the emergency stop (asks first)"),
    ("Enter", "say what stands in the box, or answer a question"),
    ("Up, Down", "bring back what was said before"),
    ("y, n", "confirm or reject what the card asks"),
    ("1 to 9", "take a choice, or an example, on the card"),
    ("Ctrl+Z", "undo the last act that can be undone"),
    ("F2", "history; Enter opens all the ledger holds of a request"),
    ("F3", "the card"),
    ("F4", "the next request that waits for a person"),
    ("F5", "the ledger: the newest checkpoint, the key, how to verify"),
    ("F6", "devices"),
    ("F7", "laws: where workflows are, approvals, what may be said"),
    ("F8", "models: which bundle decides; install, activate, go back"),
    ("Ctrl+O", "maintenance lock: nothing acts until it is released"),
    ("Esc", "back to the say box"),
    ("Ctrl+T", "dark or light"),
    ("Ctrl+P", "every command by name"),
    ("Ctrl+Q", "leave; the appliance goes on"),
)

WORDS: Final = (
    "Letters tie an argument to the words it came from: what has no letter was not said in words.",
    "The bar says how sure the model is. Below the site's limits it asks, or refuses; it never guesses in silence.",
    "Risky acts wait for a yes. What waits is listed at the top; it expires by itself, and then nothing happens.",
    "Approvals need an enrolled person's name and PIN, asked for each act and kept nowhere.",
    "In doubt: the power failed between decision and outcome. Open it in the history and say whether it happened.",
)


class HelpScreen(ToldScreen):
    """Help, one key away."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,backspace", "app.pop_screen", "Back")]

    DEFAULT_CSS = """
    HelpScreen {
        #help { padding: 0 2; background: $surface; border: solid $line; border-title-style: bold;
            border-title-color: $foreground; }
        #help Static { width: 1fr; height: auto; }
    }
    """

    def compose(self) -> ComposeResult:
        """Write the keys."""
        yield Alarm()
        with VerticalScroll(id="help", can_focus=True):
            yield Static(Content("\n").join(_lines()))
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#help").border_title = "Help"
        self.query_one("#help").focus()


def _lines() -> list[Content]:
    keys = [Content.assemble((key.ljust(13), "bold $text-primary"), what) for key, what in KEYS]
    words = [line for word in WORDS for line in (Content(""), Content(word))]
    return [*keys, *words]
