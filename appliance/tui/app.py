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

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from appliance.contracts.home import Home
from appliance.errors import StorageError
from appliance.tui import commands, follower, glyphs, law_desk, looks, proof
from appliance.tui.errands import STOP, Errands
from appliance.tui.queries import Entry, History
from appliance.tui.screens.detail import DetailScreen
from appliance.tui.screens.help import HelpScreen
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.ledger import LedgerScreen
from appliance.tui.screens.main import MainScreen
from appliance.tui.screens.models import ModelsScreen
from appliance.tui.screens.release import ReleaseScreen
from appliance.tui.screens.told import ToldScreen
from appliance.tui.widgets.history_list import HistoryList

POLL_S: Final = 0.5
"""How often one pragma asks whether the ledger has grown."""


class ConsoleApp(Errands):
    """A client of the daemon: closing it, or killing it, changes nothing on the device."""

    TITLE = "appliance"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS_PATH = "console.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f12,ctrl+e", "emergency_stop", "STOP", priority=True, key_display="F12"),
        Binding("ctrl+r", "release", "Release", priority=True, key_display="^R"),
        Binding("f1", "help", "Help", key_display="F1"),
        Binding("f2", "go('history')", "History", show=False),
        Binding("f3", "go('card')", "Card", show=False),
        Binding("f4", "next_waiting", "Waiting", show=False),
        Binding("f5", "ledger", "Ledger", show=False),
        Binding("f6", "go('devices')", "Devices", show=False),
        Binding("f7", "laws", "Laws", key_display="F7"),
        Binding("f8", "models", "Models", key_display="F8"),
        Binding("ctrl+o", "maintenance", "Maintenance", show=False),
        Binding("ctrl+p", "command_palette", "Menu", key_display="^P", priority=True),
        Binding("ctrl+t", "toggle_theme", "Theme", show=False, priority=True),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

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
        super().__init__(home)
        for theme in (looks.DARK, looks.LIGHT):
            self.register_theme(theme)
        self.theme = looks.DARK.name
        self._database = Home(home).database
        self._history = History(self._database)
        self._follower = follower.Follower(self.appliance, self)
        self._zone = zone
        self._now = now
        self._glyphs = glyphs.PLAIN if plain else glyphs.RICH
        self._is_plain = plain
        self._main = MainScreen(self._glyphs, now=now, monotonic_s=monotonic_s, new_token=new_token, zone=zone)
        self._monotonic_s = monotonic_s
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
        if not self.is_running:
            return
        if event.token in (law_desk.SIGN, law_desk.SAID):
            self.desk.settled(event.token, event.outcome)
        else:
            self._main.show_outcome(event.token, event.outcome)
        self._poll()

    def on_faulted(self, event: follower.Faulted) -> None:
        """Hand a failure down; one of the emergency stop is shouted."""
        if not self.is_running:
            return
        if event.token == STOP:
            reason = f"Use the switch of the machine itself. {event.reason}"
            self.notify(reason, title="THE EMERGENCY STOP WAS NOT HEARD", severity="error", timeout=60, markup=False)
        elif event.token in (law_desk.SIGN, law_desk.SAID):
            self.desk.faulted(event.token, event.reason)
        else:
            self._main.show_fault(event.token, event.reason)

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
        await self._open(DetailScreen(event.entry, rows, self._glyphs, self._zone))

    # ---- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the release only while there is something to release."""
        if action == "release":
            return self.glance is not None and self.glance.locked
        return True

    def action_release(self) -> None:
        """Ask, then let go."""
        if isinstance(self.screen, ReleaseScreen):
            return

        def decided(yes: bool | None) -> None:  # noqa: FBT001 -- Textual hands in the dialog's result
            if yes:
                follower.tell(self, "release", self.appliance.release)

        self.push_screen(ReleaseScreen(), decided)

    async def action_go(self, region: str) -> None:
        """Go to a region of the main screen, wherever one is."""
        await self._to_main()
        self._main.action_focus_on(region)

    async def action_next_waiting(self) -> None:
        """Go to the next request that waits for a person, wherever one is."""
        await self._to_main()
        self._main.action_next_waiting()

    async def action_help(self) -> None:
        """Open the help."""
        if not isinstance(self.screen, HelpScreen):
            await self._open(HelpScreen())

    async def action_ledger(self) -> None:
        """Open what an outsider needs to check the ledger."""
        found = self._proof()
        if found is not None and not isinstance(self.screen, LedgerScreen):
            await self._to_main()
            await self._open(LedgerScreen(found, self._glyphs, self._now, self._zone))

    async def action_laws(self) -> None:
        """Open the laws in force."""
        if not isinstance(self.screen, LawsScreen):
            await self._to_main()
            await self._open(LawsScreen(self._glyphs, self._monotonic_s, self._zone, is_plain=self._is_plain))

    async def action_models(self) -> None:
        """Open the bundles: which decides, and whose word counts."""
        if not isinstance(self.screen, ModelsScreen):
            await self._to_main()
            await self._open(ModelsScreen(self._glyphs, self._now, self._monotonic_s))

    def action_toggle_theme(self) -> None:
        """Dark to light, and back."""
        self.theme = looks.LIGHT.name if self.theme == looks.DARK.name else looks.DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Name every command for the palette."""
        return commands.commands(self, self._main, is_main=screen is self._main)

    # ---- inside

    def _show_glance(self) -> None:
        if not self.is_running:
            return
        for screen in self.screen_stack:
            if isinstance(screen, ToldScreen) and screen.is_mounted:
                screen.show_glance(self.glance, self.lost)
        self.refresh_bindings()

    async def _open(self, screen: ToldScreen) -> None:
        await self.push_screen(screen)
        self._show_glance()

    async def _to_main(self) -> None:
        """Close what lies over the main screen."""
        while self.screen is not self._main:
            await self.pop_screen()

    def _poll(self) -> None:
        # A console that closes has no cards any more, while the ledger still grows.
        if not self.is_running or not self._history.has_changed():
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
