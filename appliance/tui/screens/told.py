"""A screen that is told the device's status: what must be seen on every one of them is painted here."""

from __future__ import annotations

from textual.screen import Screen

from appliance.tui.glance import Glance
from appliance.tui.widgets.alarm import Alarm


class ToldScreen(Screen[None]):
    """Has an `Alarm` at its top; adds to `show_glance` what it shows of the status beyond."""

    def show_glance(self, glance: Glance | None, lost: str) -> None:
        """Raise or lower the banners."""
        # A screen that opens or closes has no widgets for a moment; it is told when it is there.
        for alarm in self.query(Alarm):
            alarm.show(glance, lost)
