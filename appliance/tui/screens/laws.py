"""The laws in force: where each workflow is, what is due, whom it waits for, and its drawing with the state lit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, OptionList, Static

from appliance.tui.glance import Glance
from appliance.tui.glyphs import Glyphs
from appliance.tui.lawglance import LawDrawing, Laws, Run
from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets import law_text
from appliance.tui.widgets.act_list import ActList, acts
from appliance.tui.widgets.alarm import Alarm
from appliance.tui.widgets.law_map import LawMap
from appliance.tui.widgets.workflow_list import WorkflowList

NO_LAWS = """No laws are in force: the device's own rules alone decide.

A law says which tools may be called in which state, by whom, and after whose approval.
To begin: appliance workflow new gate -o gate.yaml, then put it into the home's laws folder."""


class LawsScreen(ToldScreen):
    """Choose a workflow, read where it is, do what can be done; `d` shows the drawing alone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f7,backspace", "back", "Back"),
        Binding("d", "toggle_map", "Drawing"),
        Binding("l", "focus_on('law-list')", "Laws", show=False),
        *(Binding(str(n), f"choose({n})", f"Choice {n}", show=False) for n in range(1, 10)),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 -- Textual declares it as an instance's

    DEFAULT_CSS = """
    LawsScreen {
        #law-body { height: 1fr; }
        #law-side { width: 1fr; }
        #law-list { max-height: 35%; }
        #law-acts { max-height: 40%; }
        #law-now {
            height: 1fr; min-height: 4; padding: 0 1; background: $surface; border: solid $line;
            border-title-color: $foreground; border-title-style: bold;
            &:focus { border: solid $primary; }
            Static { width: 1fr; height: auto; }
        }
        #law-answer { display: none; height: auto; max-height: 8; padding: 0 2; background: $panel; }
        #law-answer.-on { display: block; }
        #law-map { display: none; }
        &.-wide #law-side { width: 54; }
        &.-wide #law-map { display: block; }
        &.-map #law-side { display: none; }
        &.-map #law-map { display: block; }
    }
    """

    class Wanted(Message):
        """The drawing of *workflow* is not here yet."""

        def __init__(self, workflow: str) -> None:
            super().__init__()
            self.workflow = workflow

    def __init__(
        self, glyphs: Glyphs, monotonic_s: Callable[[], float], zone: tzinfo | None, *, is_plain: bool
    ) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._monotonic_s = monotonic_s
        self._zone = zone
        self._is_plain = is_plain
        self._laws: Laws | None = None
        self._told_at_s = 0.0
        self._drawings: dict[tuple[str, str], LawDrawing] = {}
        """By workflow and digest."""

        self._wanted: tuple[str, str] = ("", "")
        self._shown = ""

    def compose(self) -> ComposeResult:
        """Arrange the regions."""
        yield Alarm()
        with Horizontal(id="law-body"):
            with Vertical(id="law-side"):
                yield WorkflowList(self._glyphs, id="law-list")
                with VerticalScroll(id="law-now", can_focus=True):
                    yield Static(id="law-now-text")
                yield Static(id="law-answer")
                yield ActList(id="law-acts")
            yield LawMap(self._glyphs, is_plain=self._is_plain, id="law-map")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin with the list; count down once a second."""
        self.query_one("#law-now").border_title = "Now"
        self.set_focus(self._list)
        self.set_interval(1.0, self._tick)

    # ---- what the app hands down

    def show_glance(self, glance: Glance | None, lost: str) -> None:
        """Take over where every workflow is."""
        super().show_glance(glance, lost)
        if glance is not None and self.query("#law-list"):
            self._laws, self._told_at_s = glance.laws, self._monotonic_s()
            self._paint()

    def show_drawing(self, drawing: LawDrawing) -> None:
        """Take over what a law looks like."""
        self._drawings[drawing.workflow, drawing.digest] = drawing
        self._paint()

    def show_answer(self, text: str, *, good: bool) -> None:
        """Say what came of the last act; a denial with what is allowed now and how to get there."""
        sign, style = (self._glyphs.done, "$text-success") if good else (self._glyphs.refused, "$text-error")
        answer = self.query_one("#law-answer", Static)
        answer.set_class(bool(text), "-on")
        answer.update(Content.assemble((f"{sign} ", f"bold {style}"), text))

    # ---- what the widgets say

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the workflow that was chosen."""
        if event.option_list is self._list:
            self._paint()

    def on_workflow_list_opened(self, _: WorkflowList.Opened) -> None:
        """Go on to what can be done."""
        self.set_focus(self.query_one(ActList))

    # ---- keys

    def action_back(self) -> None:
        """From the drawing to the words, from the acts to the list, from the list to where one came from."""
        if self.has_class("-map"):
            self.remove_class("-map")
        elif self.focused is self.query_one(ActList):
            self.set_focus(self._list)
        else:
            self.app.pop_screen()

    def action_toggle_map(self) -> None:
        """Show the drawing on the whole screen, or the words again."""
        self.toggle_class("-map")
        self.set_focus(self.query_one(LawMap) if self.has_class("-map") else self._list)
        self._paint()

    def action_choose(self, n: int) -> None:
        """Highlight what can be done by its number."""
        self.query_one(ActList).action_choose(n)

    def action_focus_on(self, region: str) -> None:
        """Go to a region."""
        self.set_focus(self.query_one(f"#{region}"))

    # ---- inside

    @property
    def _list(self) -> WorkflowList:
        return self.query_one(WorkflowList)

    @property
    def _run(self) -> Run | None:
        return self._laws.run(self._list.chosen) if self._laws is not None else None

    def _tick(self) -> None:
        runs = self._laws.workflows if self._laws is not None else ()
        if any(run.due_s is not None or run.pending is not None for run in runs):
            self._paint()

    def _paint(self) -> None:
        if self._laws is None:
            return
        elapsed_s = self._monotonic_s() - self._told_at_s
        self._list.show(self._laws.workflows, elapsed_s)
        self._list.border_subtitle = _standing(self._laws)
        lines = list(law_text.trouble_lines(self._laws))
        run = self._run
        if run is not None and run.workflow != self._shown:
            self._shown = run.workflow
            self.show_answer("", good=True)  # what was answered was about another law
        self._list.display = bool(self._laws.workflows)
        self.query_one(ActList).display = run is not None
        if run is None:
            lines += [] if lines else [Content(NO_LAWS)]
        else:
            width = max(30, self.query_one("#law-now").size.width - 1)
            lines += law_text.now_lines(run, elapsed_s, self._glyphs, self._zone, width)
        self.query_one("#law-now-text", Static).update(Content("\n").join(lines))
        self.query_one(ActList).show(list(acts(run)) if run is not None else [])
        drawing = self._drawings.get((run.workflow, run.digest)) if run is not None else None
        self.query_one(LawMap).show(drawing, run)
        if run is not None and drawing is None and self._wanted != (run.workflow, run.digest):
            self._wanted = (run.workflow, run.digest)
            self.post_message(self.Wanted(run.workflow))


def _standing(laws: Laws) -> str:
    signed = f", signed by {laws.signed_by}" if laws.signed_by else ""
    return f"set {laws.number}{signed}" if laws.number else ""
