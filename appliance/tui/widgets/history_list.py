"""What was asked and what came of it, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from appliance.tui.glyphs import STATUS_STYLES, STATUS_WORDS, Glyphs
from appliance.tui.queries import Entry


class HistoryList(OptionList):
    """A line per request; Enter opens everything that the ledger holds of it."""

    DEFAULT_CSS = """
    HistoryList {
        height: 1fr;
        border: solid $line;
        border-title-color: $foreground;
        border-title-style: bold;
        background: $surface;
        padding: 0;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &:focus { border: solid $primary; }
        &:focus > .option-list--option-highlighted {
            background: $primary 30%;
            color: $foreground;
            text-style: bold;
        }
    }
    """

    class Chosen(Message):
        """The operator wants to see one entry whole."""

        def __init__(self, entry: Entry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, glyphs: Glyphs, zone: tzinfo | None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._glyphs = glyphs
        self._zone = zone
        self._entries: dict[str, Entry] = {}
        self.border_title = "History"

    def show(self, entries: Sequence[Entry], today: datetime) -> None:
        """Show *entries*, newest first; what was highlighted stays so."""
        highlighted = self.highlighted_option.id if self.highlighted_option else None
        self._entries = {entry.key: entry for entry in entries}
        self.clear_options()
        if not entries:
            self.add_option(Option(Content.styled(" Nothing yet. What you say appears here.", "$quiet"), disabled=True))
            return
        self.add_options([Option(self._line(entry, today), id=entry.key) for entry in entries])
        if highlighted in self._entries:
            self.highlighted = self.get_option_index(str(highlighted))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the entry."""
        event.stop()
        entry = self._entries.get(event.option_id or "")
        if entry is not None:
            self.post_message(self.Chosen(entry))

    def _line(self, entry: Entry, today: datetime) -> Content:
        local, now = entry.at.astimezone(self._zone), today.astimezone(self._zone)
        when = f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%d %b %H:%M}"
        if entry.kind != "request":
            style = "bold $text-error" if entry.text.isupper() or "EMERGENCY" in entry.text else "$quiet"
            return Content.assemble((when, "$quiet"), " ", (f"{self._glyphs.event} {entry.text}", style))
        status_style = STATUS_STYLES.get(entry.status, "$quiet")
        origin = "" if entry.origin in ("operator", "") else f"[{entry.origin}] "
        status = "" if entry.status == "done" else f"  {STATUS_WORDS.get(entry.status, entry.status)}"
        return Content.assemble(
            (when, "$quiet"),
            " ",
            (self._glyphs.of(entry.status), f"bold {status_style}"),
            " ",
            (origin, "$text-accent"),
            entry.text.replace("\n", " ") or "(words erased)",
            (status, status_style),
        )
