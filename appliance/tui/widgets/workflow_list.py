"""Every law in force, a line each: where it is, what is due, whom it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from appliance.tui.glyphs import Glyphs
from appliance.tui.lawglance import Run
from appliance.tui.widgets import law_text

EDGES_N = 4
"""Columns that the border and the list's own padding take."""


class WorkflowList(OptionList):
    """Up and down choose a workflow; Enter goes to what can be done with it."""

    DEFAULT_CSS = """
    WorkflowList {
        height: auto;
        border: solid $line;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        background: $surface;
        padding: 0;
        text-wrap: nowrap;
        &:focus { border: solid $primary; }
        &:focus > .option-list--option-highlighted { background: $primary 30%; color: $foreground; text-style: bold; }
    }
    """

    class Opened(Message):
        """The operator wants to do something with the chosen workflow."""

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self._glyphs = glyphs
        self._names: tuple[str, ...] = ()
        self.border_title = "Laws"

    def show(self, runs: Sequence[Run], elapsed_s: float) -> None:
        """Show *runs*; only lines that changed are painted."""
        width = max(20, self.size.width - EDGES_N)
        name_n = max((len(run.workflow) for run in runs), default=0)
        rows = [law_text.row(run, elapsed_s, self._glyphs, width, name_n) for run in runs]
        names = tuple(run.workflow for run in runs)
        if names != self._names:
            chosen = self.chosen
            self._names = names
            self.clear_options()
            self.add_options([Option(row, id=name) for row, name in zip(rows, names, strict=True)])
            self.highlighted = names.index(chosen) if chosen in names else 0 if names else None
            return
        for n, row in enumerate(rows):
            if row != self.get_option_at_index(n).prompt:
                self.replace_option_prompt_at_index(n, row)

    @property
    def chosen(self) -> str:
        """Which workflow is highlighted; empty when there is none."""
        return (self.highlighted_option.id or "") if self.highlighted_option is not None else ""

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go on to what can be done."""
        event.stop()
        self.post_message(self.Opened())
