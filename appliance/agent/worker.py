"""The loop that takes requests from the inbox, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from appliance.agent.outcomes import Outcomes
from appliance.agent.turn import Turn
from appliance.contracts.clock import Clock
from appliance.contracts.local import Outcome
from appliance.contracts.request import Request
from appliance.errors import ApplianceError, StorageError
from appliance.storage import inbox, meta
from appliance.storage.database import Database

IDLE_S: Final = 0.25
"""Longest sleep: how late a timer may fire. Four short queries a second cost under 1% of a core."""

PRUNE_EVERY_N: Final = 200
INBOX_KEPT_N: Final = 5000
PROBE_BYTES: Final = 16_384
"""About what a turn writes."""


class Worker:
    """Runs turns until told to stop; a fault in one request never ends the loop."""

    def __init__(
        self,
        *,
        db: Database,
        turn: Turn,
        clock: Clock,
        outcomes: Outcomes,
        fire_due: Callable[[], bool],
        tick: Callable[[], None],
        is_recordable: Callable[[], bool],
        on_storage: Callable[[StorageError | None], None],
        on_fault: Callable[[Request | None, Exception | None], None],
        on_settled: Callable[[], None],
        on_log: Callable[[bool], None] = lambda _small: None,  # whether the write-ahead log is within its bound
    ) -> None:
        self._db = db
        self._queue = inbox.Queue(db)
        self._turn = turn
        self._clock = clock
        self._outcomes = outcomes
        self._fire_due = fire_due
        self._tick = tick
        self._is_recordable = is_recordable
        self._on_storage = on_storage
        self._on_fault = on_fault
        self._on_settled = on_settled
        self._on_log = on_log
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._abandoned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="turns", daemon=True)

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Finish the turn under way and take no other.

        Returns:
            Whether it came to an end in time.
        """
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Say that the inbox has something."""
        self._wake.set()

    def _run(self) -> None:
        turns_n = 0
        while not self._stopping.is_set():
            try:
                busy = self._fire_due()
                self._tick()
                request = self._queue.next(self._turn.aside())
                if request is None:
                    for lapsed in self._turn.lapse():
                        self._outcomes.announce(lapsed)
                else:
                    busy = True
                    self._one(request)
                    turns_n += 1
                    if turns_n % PRUNE_EVERY_N == 0:
                        inbox.prune(self._db, keep_n=INBOX_KEPT_N)
                        self._on_log(self._db.keep_log_small())
                if not self._is_recordable():
                    # Only a write tells whether writing works again.
                    meta.put(self._db, "probe", "x" * PROBE_BYTES)
                    meta.put(self._db, "probe", "")
                    self._on_storage(None)
                self._on_fault(None, None)
            except StorageError as error:
                self._on_storage(error)
                busy = False
            except Exception as error:  # noqa: BLE001 -- a tool's or a timer's fault must not end the loop that serves all
                self._on_fault(None, error)
                busy = False
            if not busy:
                self._wake.wait(IDLE_S)
                self._wake.clear()

    def _one(self, request: Request) -> None:
        if request.request_id in self._abandoned:
            # Its asker was told that it is not done; it is not done later, behind their back.
            self._turn.abandon(request, "It could not be recorded when it was asked for, so it was not done.")
            self._abandoned.discard(request.request_id)
            return
        try:
            said = self._turn.handle(request)
            if said is None:
                return  # it waits for a second model
            outcome = said
        except StorageError as error:
            self._abandoned.add(request.request_id)
            reason = f"Not done, because it could not be recorded: {error}"
            self._outcomes.announce(
                Outcome(request_id=request.request_id, status="refused", reason=reason, code="storage")
            )
            raise
        except ApplianceError as error:
            outcome = self._turn.abandon(request, str(error))
        except Exception as error:  # noqa: BLE001 -- one request's fault is recorded and must not end the device
            self._on_fault(request, error)
            outcome = self._turn.abandon(request, f"A fault in the appliance stopped this: {type(error).__name__}.")
        self._outcomes.announce(outcome)
        if outcome.request_id != request.request_id:  # a word on a request that waited
            self._outcomes.announce(outcome.model_copy(update={"request_id": request.request_id}))
        self._on_settled()
