"""What a person can do with bundles now: activate, go back, install what was brought, take a list or a root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Literal, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from appliance.tui.modelglance import Models
from appliance.tui.widgets.model_text import brief, size, spell

BROUGHT_N: Final = 3
"""Deliveries, and documents, that are offered by name; every other one by its path."""

_STYLES: Final = {"activate": "$text-success", "rollback": "$text-warning", "install": "$text-accent"}


class ModelAct(NamedTuple):
    """One thing that can be done."""

    kind: Literal["activate", "rollback", "install", "verify", "revocations", "root"]
    of: str
    """The slot or the path; an empty path is asked for."""

    label: str
    note: str = ""
    is_again: bool = False
    """It was sent back before, and a person insists."""


def acts(models: Models, place: str) -> Iterator[ModelAct]:
    """Yield what can be done, what concerns *place* first."""
    is_busy = models.trying is not None or models.named_in_settings
    if place in ("a", "b") and models.chosen != place and models.at(place) is not None and not is_busy:
        is_again = models.sent_back(place) is not None
        label = "activate again" if is_again else "activate"
        waits_s = models.waits_s.get(place, 0.0)
        note = (
            f"not before another {spell(waits_s)}" if waits_s > 0 else f"try {models.called(place)}, and let it decide"
        )
        yield ModelAct("activate", place, label, note, is_again)
    if models.chosen != "shipped" and models.trying is None:
        yield ModelAct("rollback", models.chosen, "roll back", f"to {models.called(models.before)}")
    bundles = [one for one in models.deliveries if one.kind == "bundle"][:BROUGHT_N]
    for one in bundles:
        yield ModelAct("install", one.path, "install", f"{brief(one.path)} {size(one.bytes_n)}".rstrip())
        yield ModelAct("verify", one.path, "verify", "look at it, and at who signed it; changes nothing")
    yield ModelAct("install", "", "install ...", "a delivery, by its path")
    for one in [one for one in models.deliveries if one.kind != "bundle"][:BROUGHT_N]:
        if one.kind == "root":
            yield ModelAct("root", one.path, "new root", f"of trust: {brief(one.path)}")
        elif one.kind == "revocations":
            yield ModelAct("revocations", one.path, "revoke", f"by the list {brief(one.path)}")
    yield ModelAct("revocations", "", "revoke ...", "by a signed list, by its path")
    if models.root is not None:
        yield ModelAct("root", "", "new root ...", "of trust after the present one, by its path")


class ModelActList(OptionList):
    """A number chooses, Enter does it, after asking who."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Do it")]

    DEFAULT_CSS = """
    ModelActList {
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

        def __init__(self, act: ModelAct) -> None:
            super().__init__()
            self.act = act

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(id=id)
        self._acts: tuple[ModelAct, ...] = ()
        self.border_title = "What can be done now"

    def show(self, found: Sequence[ModelAct]) -> None:
        """Show *found*; nothing is painted while it stays the same."""
        if tuple(found) == self._acts:
            return
        chosen = self._acts[self.highlighted] if self.highlighted is not None and self._acts else None
        self._acts = tuple(found)
        self.clear_options()
        self.add_options([Option(_line(n, act)) for n, act in enumerate(found, start=1)])
        # Whoever was about to do one thing must not do another because a stick came.
        self.highlighted = self._acts.index(chosen) if chosen in self._acts else 0 if self._acts else None

    def action_choose(self, n: int) -> None:
        """Highlight the act with this number; Enter does it."""
        if n <= len(self._acts):
            self.highlighted = n - 1
            self.screen.set_focus(self)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Do it."""
        event.stop()
        self.post_message(self.Chosen(self._acts[event.option_index]))


def _line(n: int, act: ModelAct) -> Content:
    style = _STYLES.get(act.kind, "$text-error")
    return Content.assemble((f" {n} ", f"reverse {style}"), " ", (f"{act.label:<14}", "bold"), " ", act.note)
