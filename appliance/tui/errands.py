"""Carries what an operator wants from the screens to the daemon, and a law's drawing back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from textual.app import App
from textual.reactive import reactive

from appliance.client import Appliance
from appliance.tui import follower, law_desk, model_desk, wishes
from appliance.tui.glance import Glance
from appliance.tui.screens.detail import DetailScreen
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.models import ModelsScreen
from appliance.tui.widgets.act_list import ActList
from appliance.tui.widgets.model_acts import ModelActList

STOP: Final = "stop"


class Errands(App[int]):
    """The half of the console that speaks; none of it waits."""

    glance: reactive[Glance | None] = reactive(None)

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.appliance = Appliance(home)
        self.desk = law_desk.LawDesk(self, self.appliance)
        self.models = model_desk.ModelDesk(self, self.appliance)

    def on_said(self, event: wishes.Said) -> None:
        """Submit words; the token makes a repetition harmless."""
        follower.ask(self, event.token, lambda: self.appliance.say(event.text, request_id=f"console-{event.token}"))

    def on_replied(self, event: wishes.Replied) -> None:
        """Submit a yes or no."""
        follower.ask(self, event.token, lambda: self.appliance.confirm(event.request_id, yes=event.yes))

    def on_answered(self, event: wishes.Answered) -> None:
        """Submit an answer."""
        follower.ask(self, event.token, lambda: self.appliance.answer(event.request_id, event.text))

    def on_undone(self, event: wishes.Undone) -> None:
        """Submit an undo."""
        follower.ask(self, event.token, self.appliance.undo)

    def on_decided(self, event: wishes.Decided) -> None:
        """Ask for the name of whoever approves or refuses."""
        self.desk.decide(event.request_id, event.question, yes=event.yes)

    def on_laws_screen_wanted(self, event: LawsScreen.Wanted) -> None:
        """Fetch a law's drawing."""
        self.desk.fetch(event.workflow)

    def on_act_list_chosen(self, event: ActList.Chosen) -> None:
        """Do what a person chose to do with a workflow."""
        self.desk.do(event.act, signed=event.signed)

    def on_detail_screen_resolved(self, event: DetailScreen.Resolved) -> None:
        """Record what a person knows."""
        follower.tell(self, "resolve", lambda: self.appliance.resolve(event.request_id, happened=event.happened))

    def on_drawing_came(self, event: law_desk.DrawingCame) -> None:
        """Hand a law's drawing down."""
        for screen in self.screen_stack:
            if isinstance(screen, LawsScreen):
                screen.show_drawing(event.drawing)

    def on_models_screen_wanted(self, _: ModelsScreen.Wanted) -> None:
        """Ask how the bundles are."""
        self.models.fetch()

    def on_models_came(self, event: model_desk.ModelsCame) -> None:
        """Hand down how the bundles are."""
        self.models.came(event.models)

    def on_model_act_list_chosen(self, event: ModelActList.Chosen) -> None:
        """Do what a person chose to do with the bundles."""
        self.models.do(event.act)

    def on_models_answered(self, event: model_desk.ModelsAnswered) -> None:
        """Hand down what came of it."""
        self.models.answered(event)

    def action_emergency_stop(self) -> None:
        """Stop everything; asked of nobody, and again as often as the key is pressed."""
        follower.tell(self, STOP, lambda: self.appliance.stop("console"))

    def action_maintenance(self) -> None:
        """Set the maintenance lock, or let it go; asks first."""
        self.desk.maintain(on=self.glance is None or not self.glance.laws.maintenance)
