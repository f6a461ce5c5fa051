"""Every command by name, for the palette."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from appliance.tui.screens.main import MainScreen

if TYPE_CHECKING:
    from appliance.tui.app import ConsoleApp


def commands(app: ConsoleApp, main: MainScreen, *, is_main: bool) -> Iterable[SystemCommand]:
    """Name what can be done now.

    Args:
        is_main: the main screen is the one in front.
    """
    glance = app.glance
    yield SystemCommand("Emergency stop", "Every output safe, at once, until released", app.action_emergency_stop)
    if glance is not None and glance.locked:
        yield SystemCommand("Release", "Let go of the emergency stop (asks first)", app.action_release)
    if glance is not None and glance.laws.maintenance:
        yield SystemCommand("Maintenance off", "Release the maintenance lock (asks first)", app.action_maintenance)
    else:
        yield SystemCommand("Maintenance", "Lock the device while somebody works on it", app.action_maintenance)
    if is_main:
        yield SystemCommand("Undo", "Take back the last act that can be undone", main.action_undo)
        yield SystemCommand("Waiting", "The next request that waits for a person", main.action_next_waiting)
        for region in ("history", "card", "devices"):
            yield SystemCommand(region.capitalize(), f"Go to the {region}", lambda r=region: main.action_focus_on(r))
    yield SystemCommand("Laws", "Where every workflow is, what waits for people, what may be said", app.action_laws)
    yield SystemCommand("Models", "Which bundle decides, its trial, install, activate, roll back", app.action_models)
    yield SystemCommand("Ledger", "The newest checkpoint, the key, and how to verify", app.action_ledger)
    yield SystemCommand("Help", "Keys, and how to talk to the device", app.action_help)
    yield SystemCommand("Dark or light", "Switch the theme", app.action_toggle_theme)
    yield SystemCommand("Quit", "Leave; the appliance goes on", app.action_quit)
