"""The console: joins the daemon's socket and the ledger's rows to the screens."""

from __future__ import annotations

import locale
import os
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.errors import StorageError
from appliance.tui import follower, glyphs, looks, proof
from appliance.tui.glance import Glance
from appliance.tui.queries import Entry, History
from appliance.tui.screens.detail import DetailScreen
from appliance.tui.screens.help import HelpScreen
from appliance.tui.screens.ledger import LedgerScreen
from appliance.tui.screens.main import MainScreen
from appliance.tui.screens.release import ReleaseScreen
from appliance.tui.widgets.alarm import Alarm
from appliance.tui.widgets.history_list import HistoryList

STOP: Final = "stop"

POLL_S: Final = 0.5
"""How often one pragma asks whether the ledger has grown."""


class ConsoleApp(App[int]):
    """A client of the daemon: closing it, or killing it, changes nothing on the device."""

    TITLE = "appliance"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS_PATH = "console.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f12,ctrl+e", "emergency_stop", "STOP", priority=True, key_display="F12"),
        Binding("ctrl+r", "release", "Release", priority=True, key_display="^R"),
        Binding("f1", "help", "Help", key_display="F1"),
        Binding("f5", "ledger", "Ledger", show=False),
        Binding("ctrl+p", "command_palette", "Commands", key_display="^P", priority=True),
        Binding("ctrl+t", "toggle_theme", "Theme", show=False, priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True, key_display="^Q"),
    ]

    glance: reactive[Glance | None] = reactive(None)
    lost: reactive[str] = reactive("")

    def __init__(
        self,
        home: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_s: Callable[[], float] = time.monotonic,
        new_token: Callable[[], str] = lambda: secrets.token_hex(4),
        zone: tzinfo | None = None,
        plain: bool = False,
    ) -> None:
        """Keep what is needed.

        Args:
            zone: time zone of what is shown; the system's when absent.
            plain: draw with ASCII only.
        """
        super().__init__()
        for theme in (looks.DARK, looks.LIGHT):
            self.register_theme(theme)
        self.theme = looks.DARK.name
        self._appliance = Appliance(home)
        self._database = Home(home).database
        self._history = History(self._database)
        self._follower = follower.Follower(self._appliance, self)
        self._zone = zone
        self._now = now
        self._glyphs = glyphs.PLAIN if plain else glyphs.RICH
        self._is_plain = plain
        self._main = MainScreen(self._glyphs, now=now, monotonic_s=monotonic_s, new_token=new_token, zone=zone)
        self._home = home

    def get_default_screen(self) -> Screen[None]:
        """Begin on the main screen."""
        return self._main

    def on_ready(self) -> None:
        """Begin to listen, once there is something to show it on."""
        self.set_class(self._is_plain, "-plain")
        self._follower.start()
        self.set_interval(POLL_S, self._poll)
        entries = self._entries()
        self._main.show_history(entries)
        self._main.remember([e.text for e in reversed(entries) if e.origin == "operator" and e.text])

    def on_unmount(self) -> None:
        """Let go of the file and the socket."""
        self._follower.stop()
        self._history.close()

    # ---- what comes in

    def on_glance_came(self, event: follower.GlanceCame) -> None:
        """Take over the status; a daemon that is back may have begun a new file."""
        if self.lost or self.glance is None:
            self._history.reopen()
            self._poll()
        self.lost = ""
        self.glance = event.glance

    def on_daemon_lost(self, event: follower.DaemonLost) -> None:
        """Say so, and what to do."""
        self.lost = f"The daemon does not answer; trying again. To start it: appliance --home {self._home} run"
        self.log.warning(event.reason)

    def watch_glance(self) -> None:
        """Hand the status down."""
        self._show_glance()

    def watch_lost(self) -> None:
        """Hand the loss down."""
        self._show_glance()

    def on_settled(self, event: follower.Settled) -> None:
        """Hand an outcome down."""
        self._main.show_outcome(event.token, event.outcome)
        self._poll()

    def on_faulted(self, event: follower.Faulted) -> None:
        """Hand a failure down; one of the emergency stop is shouted."""
        if event.token == STOP:
            reason = f"Use the switch of the machine itself. {event.reason}"
            self.notify(reason, title="THE EMERGENCY STOP WAS NOT HEARD", severity="error", timeout=60, markup=False)
            return
        self._main.show_fault(event.token, event.reason)

    # ---- what the screens say

    def on_main_screen_said(self, event: MainScreen.Said) -> None:
        """Submit words; the token makes a repetition harmless."""
        follower.ask(self, event.token, lambda: self._appliance.say(event.text, request_id=f"console-{event.token}"))

    def on_main_screen_replied(self, event: MainScreen.Replied) -> None:
        """Submit a yes or no."""
        follower.ask(self, event.token, lambda: self._appliance.confirm(event.request_id, yes=event.yes))

    def on_main_screen_answered(self, event: MainScreen.Answered) -> None:
        """Submit an answer."""
        follower.ask(self, event.token, lambda: self._appliance.answer(event.request_id, event.text))

    def on_main_screen_undone(self, event: MainScreen.Undone) -> None:
        """Submit an undo."""
        follower.ask(self, event.token, self._appliance.undo)

    async def on_history_list_chosen(self, event: HistoryList.Chosen) -> None:
        """Open everything that the ledger holds of an entry."""
        try:
            rows = (
                self._history.story(event.entry.key)
                if event.entry.kind == "request"
                else self._history.row(event.entry.seq)
            )
        except StorageError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        screen = DetailScreen(event.entry, rows, self._glyphs, self._zone)
        await self.push_screen(screen)
        self._show_glance()

    def on_detail_screen_resolved(self, event: DetailScreen.Resolved) -> None:
        """Record what a person knows."""
        follower.tell(self, "resolve", lambda: self._appliance.resolve(event.request_id, happened=event.happened))

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the release only while there is something to release."""
        if action == "release":
            return self.glance is not None and self.glance.locked
        return True

    def action_emergency_stop(self) -> None:
        """Stop everything; asked of nobody, and again as often as the key is pressed."""
        follower.tell(self, STOP, lambda: self._appliance.stop("console"))

    def action_release(self) -> None:
        """Ask, then let go."""
        if isinstance(self.screen, ReleaseScreen):
            return

        def decided(yes: bool | None) -> None:  # noqa: FBT001 -- Textual hands in the dialog's result
            if yes:
                follower.tell(self, "release", self._appliance.release)

        self.push_screen(ReleaseScreen(), decided)

    async def action_help(self) -> None:
        """Open the help."""
        if not isinstance(self.screen, HelpScreen):
            await self.push_screen(HelpScreen())
            self._show_glance()

    async def action_ledger(self) -> None:
        """Open what an outsider needs to check the ledger."""
        if isinstance(self.screen, LedgerScreen):
            return
        found = self._proof()
        if found is not None:
            await self.push_screen(LedgerScreen(found, self._glyphs, self._now, self._zone))
            self._show_glance()

    def action_toggle_theme(self) -> None:
        """Dark to light, and back."""
        self.theme = looks.LIGHT.name if self.theme == looks.DARK.name else looks.DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Name every command for the palette."""
        yield SystemCommand("Emergency stop", "Every output safe, at once, until released", self.action_emergency_stop)
        if self.glance is not None and self.glance.locked:
            yield SystemCommand("Release", "Let go of the emergency stop (asks first)", self.action_release)
        if screen is self._main:
            yield SystemCommand("Undo", "Take back the last act that can be undone", self._main.action_undo)
            yield SystemCommand("Waiting", "The next request that waits for a person", self._main.action_next_waiting)
            for region in ("history", "card", "devices"):
                yield SystemCommand(
                    region.capitalize(), f"Go to the {region}", lambda r=region: self._main.action_focus_on(r)
                )
        yield SystemCommand("Ledger", "The newest checkpoint, the key, and how to verify", self.action_ledger)
        yield SystemCommand("Help", "Keys, and how to talk to the device", self.action_help)
        yield SystemCommand("Dark or light", "Switch the theme", self.action_toggle_theme)
        yield SystemCommand("Quit", "Leave; the appliance goes on", self.action_quit)

    # ---- inside

    def _show_glance(self) -> None:
        for screen in self.screen_stack:
            # A screen that opens or closes has no widgets for a moment; it is told when it is there.
            if not screen.is_mounted or not screen.query(Alarm):
                continue
            if isinstance(screen, MainScreen | DetailScreen | HelpScreen | LedgerScreen):
                screen.show_glance(self.glance, self.lost)
        self.refresh_bindings()

    def _poll(self) -> None:
        if not self._history.has_changed():
            return
        entries = self._entries()
        self._main.show_history(entries)
        screen = self.screen
        if isinstance(screen, LedgerScreen):
            found = self._proof()
            if found is not None:
                screen.show_proof(found)
        if isinstance(screen, DetailScreen):
            entry = self._history.find(screen.key)
            if entry is not None and entry.kind == "request":
                screen.show_story(entry, self._history.story(entry.key))

    def _proof(self) -> proof.Proof | None:
        try:
            return proof.read(self._database)
        except StorageError as error:
            self.notify(str(error), severity="error", markup=False)
            return None

    def _entries(self) -> list[Entry]:
        try:
            return self._history.entries()
        except StorageError as error:
            self.notify(str(error), severity="error", markup=False)
            return []


def run_console(home: Path) -> int:
    """Open the console on *home* until the operator leaves.

    Returns:
        An exit code.
    """
    if not glyphs.has_colour(os.environ):
        os.environ["NO_COLOR"] = "1"  # Textual's own switch
    app = ConsoleApp(home, plain=glyphs.is_plain(os.environ, locale.getpreferredencoding()))
    return app.run() or 0
