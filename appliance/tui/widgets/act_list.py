"""What a person can do with a workflow now: say an event, approve or refuse what waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from appliance.contracts.plainly import plain_name
from appliance.tui.lawglance import Run
from appliance.tui.widgets import law_text

UNSIGNED: Final = "operator"
"""The role of whoever sits at the console and has given no name."""


class Act(NamedTuple):
    """One thing that can be done."""

    kind: Literal["say", "approve", "refuse"]
    workflow: str
    of: str
    """The event, or the approval's id."""

    label: str
    note: str = ""
    by: tuple[str, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Whether it takes an enrolled person's name and PIN."""
        return self.kind != "say" or UNSIGNED not in self.by


def acts(run: Run) -> Iterator[Act]:
    """Yield what can be done with *run* now, what waits for people first."""
    if run.pending is not None:
        of, question = run.pending.approval_id, plain_name(run.pending.question)
        yield Act("approve", run.workflow, of, "approve", question or law_text.people(run.pending))
        yield Act("refuse", run.workflow, of, "refuse", "it lapses at once")
    for event in run.events:
        yield Act("say", run.workflow, event.event, f"say {plain_name(event.event)}", event.about, event.by)


class ActList(OptionList):
    """A number chooses, Enter does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Do it"),
        Binding("p", "sign", "As a person"),
        *(Binding(str(n), f"choose({n})", f"Choice {n}", show=False) for n in range(1, 10)),
    ]

    DEFAULT_CSS = """
    ActList {
        height: auto;
        border: solid $line;
        border-title-color: $foreground;
        border-title-style: bold;
        background: $surface;
        padding: 0;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &:focus { border: solid $primary; }
        &:focus > .option-list--option-highlighted { background: $primary 30%; color: $foreground; text-style: bold; }
    }
    """

    class Chosen(Message):
        """The operator wants *act* done."""

        def __init__(self, act: Act, *, signed: bool) -> None:
            super().__init__()
            self.act = act
            self.signed = signed
            """In an enrolled person's name."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self._acts: tuple[Act, ...] = ()
        self.border_title = "What can be done now"

    def show(self, found: Sequence[Act]) -> None:
        """Show *found*; nothing is painted while it stays the same."""
        if tuple(found) == self._acts and self.option_count:
            return
        chosen = self.highlighted or 0
        self._acts = tuple(found)
        self.clear_options()
        if not found:
            self.add_option(
                Option(Content.styled(" Nothing by a person; it goes on by itself.", "$quiet"), disabled=True)
            )
            return
        self.add_options([Option(_line(n, act)) for n, act in enumerate(found, start=1)])
        self.highlighted = min(chosen, len(found) - 1)

    def action_choose(self, n: int) -> None:
        """Highlight the act with this number; Enter does it."""
        if n <= len(self._acts):
            self.highlighted = n - 1
            self.screen.set_focus(self)

    def action_sign(self) -> None:
        """Do the highlighted act in a person's name."""
        if self.highlighted is not None and self._acts:
            self.post_message(self.Chosen(self._acts[self.highlighted], signed=True))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Do it."""
        event.stop()
        act = self._acts[event.option_index]
        self.post_message(self.Chosen(act, signed=act.needs_person))


def _line(n: int, act: Act) -> Content:
    style = {"say": "$text-accent", "approve": "$text-success", "refuse": "$text-error"}[act.kind]
    who = f"  [{', '.join(act.by)}]" if act.by and UNSIGNED not in act.by else ""
    return Content.assemble(
        (f" {n} ", f"reverse {style}"),
        " ",
        (act.label, "bold"),
        (f"  {act.note}" if act.note else "", ""),
        (who, "$quiet"),
    )
