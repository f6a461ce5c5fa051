"""What goes wrong, to what the device is told of it: a reason to be degraded, a line of log, and the lifecycle.

Covers: a disk that is full or damaged, a record that changed, a contradiction with what was signed, a log that a reader
holds back, a quota that cannot be kept, a fault in a tool or a timer. Each is said once when it comes, and once when it
goes. Does not cover: what is done about it; whoever reports it goes on as it can.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from appliance.agent.health import Health
from appliance.contracts.request import Request
from appliance.errors import DatabaseDamaged, StorageError
from appliance.policy.lifecycle import Lifecycle, State
from appliance.storage import reserve, soundness

LOG_HELD_BACK: Final = (
    "a program reads the database without letting go, so its log grows (appliance.db-wal); end that program"
)


class Log(Protocol):
    """Where lines go that tell of trouble; no room in them for what a person said."""

    def warning(self, message: str, *, request_id: str | None = None) -> None:
        """Say that something wants a look."""

    def error(self, message: str, *, error: BaseException | None = None, request_id: str | None = None) -> None:
        """Say that something does not work."""


class Troubles:
    """Takes every report of trouble, from any thread."""

    def __init__(
        self,
        home: Path,
        database: Path,
        *,
        health: Health,
        lifecycle: Lifecycle,
        log: Log,
        writable: Callable[[], None],
        touch: Callable[[], None],
    ) -> None:
        self._home = home
        self._database = database
        self._health = health
        self._lifecycle = lifecycle
        self._log = log
        self._writable = writable  # called when the ledger can be written again
        self._touch = touch  # called when the status has changed

    def is_recordable(self) -> bool:
        """Return whether an act could be recorded, as far as the last attempt tells."""
        return not any(self._health.has(part) for part in ("storage", "damage"))

    def settle(self) -> None:
        """Bring the lifecycle in line with what is missing."""
        state, missing = self._lifecycle.state, self._health.reasons()
        if missing and state is State.IDLE:
            self._lifecycle.fire("degrade")
        elif not missing and state is State.DEGRADED:
            self._lifecycle.fire("recover")
        self._touch()

    def storage(self, error: StorageError | None) -> None:
        """Something could not be written; None: it can be again."""
        if isinstance(error, DatabaseDamaged):
            # Stays until the next start, which salvages: that some page can be written says nothing of the others.
            soundness.mark(self._database)
            changed = self._health.set("damage", str(error))
        else:
            changed = self._health.clear("storage") if error is None else self._health.set("storage", str(error))
        if not changed:
            return
        if error is not None:
            reserve.release(self._home)
            self._log.error("storage", error=error)
        else:
            reserve.keep(self._home)
            self._writable()
        self.settle()

    def log_held_back(self, held: bool) -> None:  # noqa: FBT001 -- a fact
        """A reader keeps the database's log from being folded in, or no longer."""
        self._news("log", LOG_HELD_BACK if held else None)

    def record_damaged(self, fault: str) -> None:
        """A record is not the one that was written."""
        if self._news("records", fault):
            self._log.error("a record is damaged")

    def contradicted(self, reason: str) -> None:
        """The ledger is not the one that was signed: nothing is signed any more."""
        if self._news("signing", f"{reason}; nothing is signed until a restart begins a new epoch"):
            self._log.error("the ledger contradicts what was signed")

    def signed(self) -> None:
        """Something was signed: what stood in the way is gone."""
        self._news("signing", None)

    def link(self, part: str, text: str | None) -> None:
        """Something between the device and its controllers needs a person; None: it does not any more."""
        if self._news(f"link: {part}", text) and text is not None:
            self._log.warning("the link to the controllers needs a person")

    def quota(self, text: str | None) -> None:
        """The ledger fills its quota and nothing can go; acts go on, a person at the device comes first."""
        if self._news("quota", text) and text is not None:
            self._log.warning("the ledger fills its quota and nothing can be pruned")

    def between_turns(self, error: Exception | None) -> None:
        """A tool or a timer failed outside any request; None: it works again."""
        text = f"a timer or a tool fails between calls: {type(error).__name__}: {error}" if error else None
        if self._news("loop", text) and error is not None:
            self._log.error("fault between turns", error=error)

    def in_turn(self, request: Request, error: Exception) -> None:
        """A request failed by a fault of the software or of a tool."""
        self._log.error("fault in a turn", error=error, request_id=request.request_id)

    def _news(self, part: str, text: str | None) -> bool:
        changed = self._health.clear(part) if text is None else self._health.set(part, text)
        if changed:
            self.settle()
        return changed
