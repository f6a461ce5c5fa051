"""Everything that the ledger holds of one request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Static

from appliance.contracts.audit import AuditRow
from appliance.tui.glyphs import Glyphs
from appliance.tui.queries import Entry
from appliance.tui.screens.told import ToldScreen
from appliance.tui.story import raw_lines, story_lines
from appliance.tui.widgets.alarm import Alarm


class DetailScreen(ToldScreen):
    """The story of a request, row by row; j shows the very bytes that were hashed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back"),
        Binding("j", "toggle_raw", "Raw rows"),
        Binding("h", "resolve(True)", "It happened"),
        Binding("d", "resolve(False)", "It did not"),
    ]

    DEFAULT_CSS = """
    DetailScreen {
        #story { padding: 0 2; background: $surface; border: solid $line; border-title-color: $foreground; }
        #story:focus { border: solid $primary; }
        #story-text { width: 1fr; height: auto; }
    }
    """

    class Resolved(Message):
        """A person says what became of an act in doubt."""

        def __init__(self, request_id: str, *, happened: bool) -> None:
            super().__init__()
            self.request_id = request_id
            self.happened = happened

    def __init__(self, entry: Entry, story: Sequence[AuditRow], glyphs: Glyphs, zone: tzinfo | None) -> None:
        super().__init__()
        self._entry = entry
        self._story = story
        self._glyphs = glyphs
        self._zone = zone
        self._is_raw = False

    def compose(self) -> ComposeResult:
        """Hold one long text."""
        yield Alarm()
        with VerticalScroll(id="story", can_focus=True):
            yield Static(id="story-text")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Paint the story."""
        is_request = self._entry.kind == "request"
        self.query_one("#story").border_title = f"Request {self._entry.key}" if is_request else "The device"
        self.query_one("#story").focus()
        self._paint()

    def show_story(self, entry: Entry, story: Sequence[AuditRow]) -> None:
        """Take over what has been written since."""
        self._entry, self._story = entry, story
        self._paint()
        self.refresh_bindings()

    @property
    def key(self) -> str:
        """Which entry is shown."""
        return self._entry.key

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to resolve only what is in doubt."""
        return self._entry.status == "indeterminate" if action == "resolve" else True

    def action_toggle_raw(self) -> None:
        """Switch between the story and the rows as they were hashed."""
        self._is_raw = not self._is_raw
        self._paint()

    def action_resolve(self, happened: bool) -> None:  # noqa: FBT001 -- Textual passes an action's parameters in order
        """Say what became of it."""
        self.post_message(self.Resolved(self._entry.key, happened=happened))

    def _paint(self) -> None:
        lines = (
            raw_lines(self._story) if self._is_raw else story_lines(self._entry, self._story, self._glyphs, self._zone)
        )
        self.query_one("#story-text", Static).update(Content("\n").join(list(lines)))
