"""What must be seen on every screen: the emergency stop, and a daemon that does not answer."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static


class Alarm(Vertical):
    """Two banners at the top; nothing while all is well."""

    DEFAULT_CSS = """
    Alarm {
        dock: top;
        height: auto;
        Static { display: none; width: 1fr; text-align: center; }
        Static.-on { display: block; }
        #alarm-stop { background: $alarm; color: $alarm-text; text-style: bold; padding: 1 1; }
        #alarm-lost { background: $warning; color: $background; text-style: bold; padding: 0 1; }
    }
    """

    def compose(self) -> ComposeResult:
        """Hold both banners."""
        yield Static(id="alarm-stop")
        yield Static(id="alarm-lost")

    def show(self, *, is_locked: bool, lost: str) -> None:
        """Raise or lower the banners.

        Args:
            lost: why the daemon does not answer; empty when it does.
        """
        stop, gone = self.query_one("#alarm-stop", Static), self.query_one("#alarm-lost", Static)
        stop.set_class(is_locked, "-on")
        stop.update("EMERGENCY STOP - every output is safe and stays so. Ctrl+R releases." if is_locked else "")
        gone.set_class(bool(lost), "-on")
        gone.update(lost)
