"""What must be seen on every screen: emergency stop, a daemon that is silent, maintenance, laws that cannot be used."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from appliance.tui.glance import Glance

BANNERS: Final = ("stop", "barred", "maintenance", "complaints", "lost")


class Alarm(Vertical):
    """Banners at the top; nothing while all is well."""

    DEFAULT_CSS = """
    Alarm {
        dock: top;
        height: auto;
        Static { display: none; width: 1fr; text-align: center; text-style: bold; padding: 0 1; max-height: 3; }
        Static.-on { display: block; }
        #alarm-stop { background: $alarm; color: $alarm-text; padding: 1 1; }
        #alarm-barred { background: $alarm; color: $alarm-text; }
        #alarm-maintenance, #alarm-complaints, #alarm-lost { background: $warning; color: $background; }
    }
    """

    def compose(self) -> ComposeResult:
        """Hold the banners."""
        for name in BANNERS:
            yield Static(id=f"alarm-{name}", markup=False)

    def show(self, glance: Glance | None, lost: str) -> None:
        """Raise or lower the banners.

        Args:
            lost: why the daemon does not answer; empty when it does.
        """
        said = dict.fromkeys(BANNERS, "")
        said["lost"] = lost
        if glance is not None:
            laws = glance.laws
            if glance.locked:
                said["stop"] = "EMERGENCY STOP - every output is safe and stays so. Ctrl+R releases."
            if laws.barred:
                said["barred"] = f"NO LAWS - nothing acts, reading goes on. F7 says what to do. {laws.barred}"
            if laws.maintenance:
                said["maintenance"] = f"MAINTENANCE - nothing acts. Ctrl+O releases. Locked by {laws.maintenance}"
            if laws.complaints and not laws.barred:
                said["complaints"] = "The laws on disk cannot be used; the accepted ones stay in force (F7)."
        for name, text in said.items():
            banner = self.query_one(f"#alarm-{name}", Static)
            if banner.has_class("-on") != bool(text) or text != str(banner.content):
                banner.set_class(bool(text), "-on")
                banner.update(text)
