"""A law's drawing in a scrolling box; painted anew only when something on it changed."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.widgets import Static

from appliance.contracts.plainly import plain_name
from appliance.tui import lawmap
from appliance.tui.glyphs import Glyphs
from appliance.tui.lawglance import LawDrawing, Passed, Run
from appliance.tui.widgets.map_text import map_lines

EDGES_N = 4
"""Columns that border, padding and scroll bar take."""


class LawMap(VerticalScroll, can_focus=True):
    """Follows the state that is lit."""

    DEFAULT_CSS = """
    LawMap {
        width: 1fr; height: 1fr; border: solid $line; background: $surface; padding: 0 1;
        border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $quiet;
        &:focus { border: solid $primary; }
        Static { width: auto; height: auto; }
    }
    """

    def __init__(self, glyphs: Glyphs, *, is_plain: bool, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self._glyphs = glyphs
        self._is_plain = is_plain
        self._drawing: LawDrawing | None = None
        self._run: Run | None = None
        self._painted: tuple[str, str, tuple[str, ...], tuple[Passed, ...], int] | None = None

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Static(id="law-map-text")

    def on_resize(self) -> None:
        """Set the columns anew."""
        self._paint()

    def show(self, drawing: LawDrawing | None, run: Run | None) -> None:
        """Show *drawing* with *run* lit on it."""
        self._drawing, self._run = drawing, run
        self._paint()

    def _paint(self) -> None:
        run, width = self._run, self.size.width - 1
        if self._drawing is None or run is None:
            self._painted = None
            self.border_title = self.border_subtitle = ""
            self.query_one("#law-map-text", Static).update("")
            return
        shown = (self._drawing.digest, run.state, run.stack, run.path, width)
        if shown == self._painted or width < EDGES_N:
            return
        moved = self._painted is None or self._painted[1] != run.state
        self._painted = shown
        self.border_title = plain_name(run.workflow)
        self.border_subtitle = "numbers: the last path" if run.path else ""
        lines = lawmap.draw(self._drawing, run)
        painted = map_lines(lines, self._glyphs, width, is_plain=self._is_plain)
        self.query_one("#law-map-text", Static).update(Content("\n").join(list(painted)))
        if moved:
            self.call_after_refresh(self._follow, lines)

    def _follow(self, lines: list[lawmap.Line]) -> None:
        at = [n for n, line in enumerate(lines) if line.standing == "here"]
        if at:
            self.scroll_to_region(Region(0, at[0], 1, len(at)), animate=False)
