"""Commands that take their time, one after the other, on a thread of their own.

An errand is a row until its answer is final; what a power cut interrupted is begun again, which changes nothing that
was done already (`Doer`). Its expiry is looked at again when its turn comes.

Covers: a power cut at any point, a full disk (tried again), a doer with a fault (answered, recorded, next one).
Does not cover: the emergency stop, which never waits for an errand.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from appliance.agent.commands.deeds import Doer, Done
from appliance.contracts.clock import Clock
from appliance.contracts.envelope import Command, Response, payload_of
from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError, StorageError
from appliance.storage import replies
from appliance.storage.database import Database
from appliance.storage.replies import Errand

_log = logging.getLogger(__name__)

LOOK_S: Final = 60.0
RETRY_S: Final = 1.0


class Errands:
    """Does what is owed; the constructor starts nothing."""

    def __init__(
        self,
        db: Database,
        doers: Mapping[str, Doer],
        *,
        clock: Clock,
        record: Callable[[JsonObject], None],
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._doers = doers
        self._clock = clock
        self._record = record
        self._wake_uplink = wake
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)

    def knows(self, name: str) -> bool:
        """Tell whether this device can do *name*."""
        return name in self._doers

    def start(self) -> None:
        """Begin, with what the last start left."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Begin no other; one that is under way is begun again by the next start."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """Say that there is one."""
        self._wake.set()

    def step(self) -> bool:
        """Do the oldest errand.

        Returns:
            Whether there was one.

        Raises:
            StorageError: its answer could not be kept; it is done again.
        """
        errand = replies.next_errand(self._db)
        if errand is None:
            return False
        owed = replies.find(self._db, errand.request_id)
        if owed is None:
            replies.errand_done(self._db, errand.request_id)  # nobody is owed anything any more
            return True
        command = Command.model_validate(errand.command, strict=False)
        now = self._clock.now()
        before = Response.model_validate(owed.response, strict=False)
        if errand.expires_at is not None and now > errand.expires_at:
            done = Done("expired", 410, "expired", "It expired before the device came to it.")
        else:
            replies.update(self._db, errand.request_id, payload_of(_accepted(before, now)), final=False)
            self._wake_uplink()
            done = self._do(command)
        self._settle(errand, command, before, done)
        return True

    def _do(self, command: Command) -> Done:
        try:
            return self._doers[command.body.kind](command)
        except StorageError:
            raise
        except ApplianceError as error:
            return Done("failed", 500, "failed", str(error))
        except Exception as error:  # noqa: BLE001 -- a doer's fault is an answer, and must not end the thread
            _log.exception("an errand failed")
            return Done("failed", 500, "fault", f"A fault in the appliance stopped this: {type(error).__name__}.")

    def _settle(self, errand: Errand, command: Command, before: Response, done: Done) -> None:
        after = before.model_copy(
            update={
                "life": done.life,
                "status": done.status,
                "code": done.code,
                "text": done.text[:2000],
                "result": done.result,
                "at": self._clock.now(),
            }
        )
        with self._db.atomic():
            self._record(told(command, errand.request_id, done))
            replies.update(self._db, errand.request_id, payload_of(after), final=True)
            replies.errand_done(self._db, errand.request_id)
        self._wake_uplink()

    def _run(self) -> None:
        while not self._stopping:
            try:
                busy = self.step()
            except StorageError as error:
                _log.warning("an errand waits", exc_info=error)
                self._wake.wait(RETRY_S)
                continue
            if not busy and not self._stopping:
                self._wake.wait(LOOK_S)
                self._wake.clear()


def told(command: Command, request_id: str, done: Done) -> JsonObject:
    """Return what the ledger says of a command that is no request."""
    return {
        "command": command.body.kind,
        "issuer": command.issuer,
        "correlation": command.correlation,
        "request_id": request_id,
        "life": done.life,
        "status": done.status,
        "code": done.code,
        **done.facts,
    }


def _accepted(before: Response, now: datetime) -> Response:
    return before.model_copy(
        update={"life": "accepted", "status": 202, "code": "accepted", "text": "Under way.", "at": now}
    )
