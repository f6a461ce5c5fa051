"""Threads that talk to the daemon, so that the screen never waits for it.

Every call has a thread of its own, not one of a pool: the emergency stop must not wait for a free one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from textual.message import Message
from textual.message_pump import MessagePump

from appliance.client import Appliance
from appliance.contracts.local import Outcome
from appliance.errors import ApplianceError
from appliance.tui.glance import Glance

RETRY_S: Final = 1.0


class GlanceCame(Message):
    """The daemon has told its status."""

    def __init__(self, glance: Glance) -> None:
        super().__init__()
        self.glance = glance

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, GlanceCame)


class DaemonLost(Message):
    """The daemon does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, DaemonLost)


class Settled(Message):
    """A request of this console was answered."""

    def __init__(self, token: str, outcome: Outcome) -> None:
        super().__init__()
        self.token = token
        self.outcome = outcome


class Faulted(Message):
    """A request of this console could not be answered."""

    def __init__(self, token: str, reason: str) -> None:
        super().__init__()
        self.token = token
        self.reason = reason


class Follower:
    """Watches the daemon and posts what it tells; tries again for as long as it runs."""

    def __init__(self, appliance: Appliance, target: MessagePump) -> None:
        self._appliance = appliance
        self._target = target
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="console-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread notices at the daemon's next word and keeps nobody waiting."""
        self._ended.set()

    def _follow(self) -> None:
        while not self._ended.is_set():
            try:
                with self._appliance.watch() as statuses:
                    for status in statuses:
                        if self._ended.is_set():
                            return
                        self._target.post_message(GlanceCame(Glance.parse(status)))
                reason = "The daemon has stopped."
            except ApplianceError as error:
                reason = str(error)
            if self._ended.is_set():
                return
            self._target.post_message(DaemonLost(reason))
            self._ended.wait(RETRY_S)


def ask(target: MessagePump, token: str, work: Callable[[], Outcome]) -> None:
    """Run *work* on a thread of its own and post what came of it under *token*."""

    def run() -> None:
        try:
            target.post_message(Settled(token, work()))
        except ApplianceError as error:
            target.post_message(Faulted(token, str(error)))

    threading.Thread(target=run, name=f"console-{token}", daemon=True).start()


def tell(target: MessagePump, token: str, work: Callable[[], object]) -> None:
    """Run *work* on a thread of its own; only its failure is posted."""

    def run() -> None:
        try:
            work()
        except ApplianceError as error:
            target.post_message(Faulted(token, str(error)))

    threading.Thread(target=run, name=f"console-{token}", daemon=True).start()
