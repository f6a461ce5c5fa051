"""What each light, machine, door and sensor does now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from appliance.contracts.record import JsonObject
from appliance.tui.glyphs import Glyphs
from appliance.tui.widgets.device_lines import device_lines


class Devices(VerticalScroll, can_focus=True):
    """A line per device, grouped by family; a running machine counts down."""

    DEFAULT_CSS = """
    Devices {
        border: solid $line;
        border-title-color: $foreground;
        border-title-style: bold;
        background: $surface;
        padding: 0 1;
        &:focus { border: solid $primary; }
        Static { width: 1fr; height: auto; }
    }
    """

    def __init__(
        self,
        glyphs: Glyphs,
        monotonic_s: Callable[[], float],
        zone: tzinfo | None,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._zone = zone
        self._monotonic_s = monotonic_s
        self._state: JsonObject = {}
        self._read_at_s = 0.0
        self.border_title = "Devices"

    def compose(self) -> ComposeResult:
        """Hold one text."""
        yield Static(Content.styled("No word from the device yet.", "$quiet"), id="devices-text")

    def on_mount(self) -> None:
        """Count down once a second, and only while something counts."""
        self.set_interval(1.0, self._tick)

    def show(self, state: JsonObject) -> None:
        """Show the status's `devices`."""
        self._state, self._read_at_s = state, self._monotonic_s()
        self._paint()

    def _tick(self) -> None:
        machines = self._state.get("machines")
        if isinstance(machines, dict) and any(isinstance(m, dict) and m.get("left_s") for m in machines.values()):
            self._paint()

    def _paint(self) -> None:
        elapsed_s = self._monotonic_s() - self._read_at_s
        width = max(16, self.size.width - 1)
        lines = list(device_lines(self._state, self._glyphs, elapsed_s, self._zone, width))
        text = Content("\n").join(lines) if lines else Content.styled("No devices are described yet.", "$quiet")
        self.query_one("#devices-text", Static).update(text)

    def on_resize(self) -> None:
        """Set the columns anew."""
        if self._state:
            self._paint()
