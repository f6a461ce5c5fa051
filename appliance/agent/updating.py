"""Carries out what a controller wants done with bundles, once, and answers for it.

    row of `updates`  -> begun (committed) -> install, activate or roll back -> the final answer, and the row goes

Activation restarts the daemon's parts: the answer is a row by then, and leaves after the restart.

Covers: a command that came twice, a restart or a power cut at any point (not begun: it is done afterwards unless it has
expired; begun: it is not done again, and the answer says so and what decides now), a disk that is full.
Does not cover: which bundle may be taken; `bundles` asks the same of a stick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from appliance.contracts.audit import RecordKind
from appliance.contracts.clock import Clock
from appliance.contracts.envelope import Command, LifeCycle, Response, UpdateBody, payload_of
from appliance.contracts.local import LocalReply
from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError, StorageError
from appliance.storage import replies, updates
from appliance.storage.database import Database
from appliance.storage.updates import Wanted

STOP_S: Final = 2.0
"""An installation that is nearly done may end; a canary is left behind, and changes nothing any more."""

_LOOK_S: Final = 5.0
"""How often a row is looked for that no call has told of: after a full disk."""

_log = logging.getLogger(__name__)


def wanted_of(command: Command, request_id: str, controller: str, until: datetime) -> Wanted:
    """Return what *command*, an update, wants.

    Args:
        controller: its name, for the ledger.
        until: by this device's own clock; looked at again when its turn comes.
    """
    body = command.body
    assert isinstance(body, UpdateBody)
    return Wanted(
        request_id=request_id,
        peer=f"controller:{command.issuer} name:{controller}",
        action=body.action,
        name=body.delivery or body.bundle or "",
        expires_at=until,
    )


class Append(Protocol):
    """Writes a record that belongs to no request."""

    def __call__(self, kind: RecordKind, facts: JsonObject) -> None:
        """Append it to the ledger."""


class Updater:
    """One thread that does one update at a time."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        carry_out: Callable[[Wanted], LocalReply],
        standing: Callable[[], str],
        append: Append,
        answered: Callable[[], None],
    ) -> None:
        """Keep what is handed in.

        Args:
            standing: says which bundle decides now.
            answered: wakes whoever sends answers.
        """
        self._db = db
        self._clock = clock
        self._carry_out = carry_out
        self._standing = standing
        self._append = append
        self._answered = answered
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier run had begun is answered for, not done again."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is a row."""
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing more, and leave behind what does not end soon."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        is_first = True
        while not self._stopping.is_set():
            try:
                self._look(is_first=is_first)
                is_first = False
            except StorageError as error:
                if not self._stopping.is_set():
                    _log.warning("an update waits for the database", exc_info=error)
            except Exception:  # noqa: BLE001 -- the thread that updates must not die of one update
                if self._stopping.is_set():
                    return  # the database was closed under a canary that came too late
                _log.exception("fault in an update")
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def _look(self, *, is_first: bool) -> None:
        wanted = updates.find(self._db)
        if wanted is None:
            return
        if wanted.is_begun:
            # Of this run only when its end could not be written; of an earlier one when the power failed meanwhile.
            ended = "the appliance ended" if is_first else "the disk was full"
            text = f"It was under way when {ended}, and is not done again. {self._standing()}."
            self._settle(wanted, "indeterminate", 500, "interrupted", text)
            return
        expired = wanted.expires_at is not None and wanted.expires_at <= self._clock.now()
        if expired:
            self._settle(wanted, "expired", 410, "expired", "It expired before it could be begun; nothing was changed.")
            return
        with self._db.atomic():
            updates.begin(self._db)
            self._answer(wanted, "accepted", 202, "accepted", _UNDER_WAY[wanted.action], final=False)
        self._answered()
        try:
            reply = self._carry_out(wanted)
        except StorageError:
            raise
        except ApplianceError as error:
            self._settle(wanted, "failed", 500, "failed", str(error))
            return
        except Exception as error:
            if self._stopping.is_set():
                raise
            _log.exception("fault in an update")
            text = f"A fault in the appliance stopped this: {type(error).__name__}. {self._standing()}."
            self._settle(wanted, "failed", 500, "fault", text)
            return
        if reply.ok:
            self._settle(wanted, "executed", 200, "done", reply.message)
        elif reply.error in _AS_WISHED:
            self._settle(wanted, "executed", 200, reply.error or "", reply.message)
        else:
            self._settle(wanted, "rejected", 422, reply.error or "refused", reply.message)

    def _settle(self, wanted: Wanted, life: LifeCycle, status: int, code: str, text: str) -> None:
        with self._db.atomic():
            facts: JsonObject = {"event": "commanded", "action": wanted.action, "wanted": wanted.name}
            self._append("bundle", {**facts, "life": life, "code": code, "peer": wanted.peer})
            self._answer(wanted, life, status, code, text, final=True)
            updates.done(self._db)
        self._answered()

    def _answer(self, wanted: Wanted, life: LifeCycle, status: int, code: str, text: str, *, final: bool) -> None:
        owed = replies.find(self._db, wanted.request_id)
        if owed is None:
            return
        before = Response.model_validate(owed.response, strict=False)
        changes = {"life": life, "status": status, "code": code, "text": text[:2000], "at": self._clock.now()}
        after = before.model_copy(update=changes)
        replies.update(self._db, wanted.request_id, payload_of(after), final=final)


_AS_WISHED: Final = frozenset({"installed", "active", "gone"})
"""What says that it is so already: whoever wants it a second time, for one device or for many, has it."""

_UNDER_WAY: Final = {
    "install": "Looking at it: form, hashes, signatures.",
    "activate": "Trying it with the canary; a minute or more.",
    "rollback": "Going back.",
}
