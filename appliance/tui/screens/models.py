"""The models: which bundle decides, how its trial does, what lies in the slots, whose word counts, what was brought."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from appliance.tui.glance import Glance
from appliance.tui.glyphs import Glyphs
from appliance.tui.modelglance import PLACES, Models, Report
from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets import model_text
from appliance.tui.widgets.alarm import Alarm
from appliance.tui.widgets.model_acts import ModelActList, acts

LOOK_S: Final = 2.0
"""How often the daemon is asked while this screen is open."""

EDGES_N: Final = 4
"""Columns that the border and the list's own padding take."""


class ModelsScreen(ToldScreen):
    """Choose a place, read what lies there, do what can be done; `t` shows whom this device trusts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f8,backspace", "back", "Back"),
        Binding("t", "toggle_trust", "Trust"),
        *(Binding(str(n), f"choose({n})", f"Choice {n}", show=False) for n in range(1, 10)),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 -- Textual declares it as an instance's

    DEFAULT_CSS = """
    ModelsScreen {
        #model-body { height: 1fr; }
        #model-side { width: 1fr; }
        #model-list {
            height: auto; border: solid $line; border-title-color: $foreground; border-title-style: bold;
            background: $surface; padding: 0; text-wrap: nowrap;
            &:focus { border: solid $primary; }
            &:focus > .option-list--option-highlighted {
                background: $primary 30%; color: $foreground; text-style: bold;
            }
        }
        #model-acts { max-height: 40%; }
        #model-now, #model-trust {
            height: 1fr; min-height: 4; padding: 0 1; background: $surface; border: solid $line;
            border-title-color: $foreground; border-title-style: bold;
            &:focus { border: solid $primary; }
            Static { width: 1fr; height: auto; }
        }
        #model-answer { display: none; height: auto; max-height: 12; padding: 0 2; background: $panel; }
        #model-answer.-on { display: block; }
        #model-trust { display: none; width: 1fr; }
        &.-wide #model-side { width: 66; }
        &.-wide #model-trust { display: block; }
        &.-trust #model-side { display: none; }
        &.-trust #model-trust { display: block; }
    }
    """

    class Wanted(Message):
        """The list is to be fetched."""

    def __init__(self, glyphs: Glyphs, now: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._now = now
        self._monotonic_s = monotonic_s
        self._models: Models | None = None
        self._told_at_s = 0.0
        self._report: Report | None = None

    def compose(self) -> ComposeResult:
        """Arrange the regions."""
        yield Alarm()
        with Horizontal(id="model-body"):
            with Vertical(id="model-side"):
                yield OptionList(id="model-list")
                with VerticalScroll(id="model-now", can_focus=True):
                    yield Static(id="model-now-text")
                yield Static(id="model-answer")
                yield ModelActList(id="model-acts")
            with VerticalScroll(id="model-trust", can_focus=True):
                yield Static(id="model-trust-text")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the list; look again every two seconds, count every second."""
        self._list.border_title = "Models"
        self.query_one("#model-trust").border_title = "Trust"
        self.query_one("#model-now-text", Static).update("Asking the device ...")
        self.set_focus(self._list)
        self.set_interval(LOOK_S, lambda: self.post_message(self.Wanted()))
        self.set_interval(1.0, self._tick)
        self.post_message(self.Wanted())

    # ---- what the app hands down

    def show_glance(self, glance: Glance | None, lost: str) -> None:
        """Raise or lower the banners; whatever changed may have changed here, too."""
        super().show_glance(glance, lost)
        if glance is not None and not lost:
            self.post_message(self.Wanted())

    def show_models(self, models: Models) -> None:
        """Take over how the bundles are."""
        is_first = self._models is None
        self._models, self._told_at_s = models, self._monotonic_s()
        self._paint()
        if is_first:
            self._list.highlighted = PLACES.index(models.chosen) if models.chosen in PLACES else 0

    def show_answer(self, text: str, *, good: bool | None) -> None:
        """Say what came of the last act.

        Args:
            good: None while it is under way.
        """
        sign, style = {
            True: (self._glyphs.done, "$text-success"),
            False: (self._glyphs.refused, "$text-error"),
            None: (self._glyphs.acting, "$text-primary"),
        }[good]
        answer = self.query_one("#model-answer", Static)
        answer.set_class(bool(text), "-on")
        answer.update(Content.assemble((f"{sign} ", f"bold {style}"), text))

    def show_report(self, report: Report | None) -> None:
        """Show the canary's table in place of the details, until another place is chosen."""
        self._report = report if report is not None and report.checks else None
        self._paint()

    # ---- what the widgets say

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the place that was chosen."""
        if event.option_list is self._list:
            self._report = None
            self._paint()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go on to what can be done."""
        if event.option_list is self._list:
            self.set_focus(self.query_one(ModelActList))

    # ---- keys

    def action_back(self) -> None:
        """From the trust to the details, from the acts to the list, from the list to where one came from."""
        if self.has_class("-trust"):
            self.remove_class("-trust")
            self.set_focus(self._list)
        elif self.focused is self.query_one(ModelActList):
            self.set_focus(self._list)
        else:
            self.app.pop_screen()

    def action_toggle_trust(self) -> None:
        """Show whom this device trusts on the whole screen, or the places again."""
        self.toggle_class("-trust")
        self.set_focus(self.query_one("#model-trust") if self.has_class("-trust") else self._list)
        self.call_after_refresh(self._paint)

    def action_choose(self, n: int) -> None:
        """Highlight what can be done by its number."""
        self.query_one(ModelActList).action_choose(n)

    def on_resize(self) -> None:
        """Set the lines anew."""
        self.call_after_refresh(self._paint)

    # ---- inside

    @property
    def _list(self) -> OptionList:
        return self.query_one("#model-list", OptionList)

    @property
    def _place(self) -> str:
        chosen = self._list.highlighted
        return PLACES[chosen] if chosen is not None else PLACES[0]

    def _tick(self) -> None:
        if self._models is not None and self._models.trying is not None:
            self._paint()

    def _paint(self) -> None:
        models = self._models
        if models is None:
            return
        waited_s, now, place = self._monotonic_s() - self._told_at_s, self._now(), self._place
        self._show_rows(models, waited_s)
        box = self.query_one("#model-now")
        width = max(30, box.size.width - 1)
        if self._report is not None:
            box.border_title = "What the canary asked"
            lines = list(model_text.report_lines(self._report, self._glyphs, width))
        else:
            box.border_title = "What came with the software" if place == "shipped" else f"Slot {place}"
            lines = list(model_text.place_lines(models, place, self._glyphs, now, width, waited_s))
        self.query_one("#model-now-text", Static).update(Content("\n").join(lines))
        width = max(30, self.query_one("#model-trust").size.width - 1)
        trust = list(model_text.trust_lines(models, now, width))
        self.query_one("#model-trust-text", Static).update(Content("\n").join(trust))
        self.query_one(ModelActList).show(list(acts(models, place)))

    def _show_rows(self, models: Models, waited_s: float) -> None:
        width = max(20, self._list.size.width - EDGES_N)
        rows = [model_text.row(models, place, self._glyphs, width, waited_s) for place in PLACES]
        if not self._list.option_count:
            self._list.add_options([Option(row, id=place) for row, place in zip(rows, PLACES, strict=True)])
            self._list.highlighted = 0
            return
        for n, row in enumerate(rows):
            if row != self._list.get_option_at_index(n).prompt:
                self._list.replace_option_prompt_at_index(n, row)
