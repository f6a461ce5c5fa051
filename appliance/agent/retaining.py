"""Keeps the ledger within its bounds: a small step now and then, and what a person asks for at once.

Each step is one short transaction, so that a decision waits for at most one of them. What was asked for by a person and
what age demands is written into the ledger in the same transaction.

Covers: quota and age, words that have grown old, answers that nobody will ask for again, the write-ahead log after an
erasure, a controller that is away for long (nothing it lacks is pruned; the device says so).
Does not cover: what has left the device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from appliance.agent.horizon import Horizon
from appliance.contracts.clock import Clock
from appliance.contracts.local import LocalReply
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold, RetainingRequest
from appliance.storage import holds, outbox, redaction, retention
from appliance.storage.database import Database
from appliance.storage.redaction import Erased, Reach, Row
from appliance.storage.retention import Gone, Limits
from appliance.storage.usage import STOPS, filled

LOOK_S: Final = 60.0
"""How often something is looked for when the last look found nothing to do."""

STEP_S: Final = 0.5
"""Pause between two steps while there is something to do."""

ANSWERED_S: Final = 86_400.0
"""How long the answer to a request is kept word for word for whoever asks again with the same id."""

ANSWERS_KEPT_N: Final = 1000
"""And for how many of the newest requests at most."""

_BY_HAND_N: Final = 100_000
"""Steps that a person's `prune` makes at most: 25 million records."""


class Bounds(NamedTuple):
    """What the owner has set."""

    keep_days: int
    quota_mb: int
    personal_days: int


class Retaining:
    """Prunes, erases and holds, for the daemon, or for a command while no daemon runs."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        bounds: Bounds,
        *,
        enrolled: Callable[[], bool],
        on_pruned: Callable[[], object] = lambda: None,
        on_full: Callable[[str | None], None] = lambda _text: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._bounds = bounds
        self._enrolled = enrolled
        self._on_pruned = on_pruned
        self._on_full = on_full
        self._records = Horizon(db, clock, "records", bounds.keep_days)
        self._words = Horizon(db, clock, "words", bounds.personal_days)
        self._next_s = clock.monotonic_s()
        self._log_is_cut = False  # what the last run erased may still lie in its log
        # A person's request and a step of the daemon's never meet half-way.
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Do one step if one is due.

        Raises:
            StorageError: no room for it; it is tried again.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_s = now_s + LOOK_S
            if self._step():
                self._next_s = now_s + STEP_S
        finally:
            self._lock.release()

    def handle(self, request: RetainingRequest, peer: str) -> LocalReply:
        """Do what a person asks for, and write down who it was.

        Raises:
            StorageError: it could not be written down; what was not written down was not done.
        """
        with self._lock:
            match request:
                case HoldRecords():
                    return self._hold(request, peer)
                case ReleaseHold():
                    return self._release(request, peer)
                case RedactRecords():
                    return self._redact(request, peer)
                case PruneRecords():
                    return self._prune(peer)
                case _ as never:
                    assert_never(never)

    def limits(self, *, by_hand: bool = False) -> Limits:
        """Return what may go now; a person does not wait for a horizon that only moves slowly."""
        enrolled = self._enrolled()
        horizon = self._records.now()
        if by_hand and horizon is not None:
            horizon = self._clock.now() - timedelta(days=self._bounds.keep_days)
        return Limits(
            quota_bytes=self._bounds.quota_mb * 2**20,
            horizon=horizon,
            acked=outbox.mark(self._db, "audit").acked if enrolled else None,
            # Nobody will acknowledge what an earlier epoch left; whether it may go then is for a person to say.
            with_past=by_hand or not enrolled,
        )

    def _step(self) -> bool:
        """Do the first thing that is due.

        Returns:
            Whether there may be more.
        """
        if not self._log_is_cut:
            self._log_is_cut = self._db.cut_log()
            if not self._log_is_cut:
                return False  # somebody reads; the next look tries again
        before = self._clock.now() - timedelta(seconds=ANSWERED_S)
        if redaction.forget_answers(self._db, before=before, keep_n=ANSWERS_KEPT_N) == redaction.AT_ONCE_N:
            return True
        horizon = self._words.now()
        if horizon is not None and self._erase_old(horizon):
            return True
        limits = self.limits()
        found = retention.step(self._db, limits, moment=self._clock.moment())
        if found == "unacknowledged" and retention.drop_events(self._db, moment=self._clock.moment()):
            return True  # reports give way before records do: the ledger has what they say
        self._tell(limits)
        if isinstance(found, Gone):
            # Until the record of it is signed, a verifier rightly calls the missing records missing.
            self._on_pruned()
        return isinstance(found, Gone)

    def _erase_old(self, horizon: datetime) -> bool:
        reach = redaction.reached(self._db)
        rows, ended = redaction.older(self._db, horizon, reach)
        if ended == reach:
            return False
        redaction.erase(
            self._db, rows, fields=(), by="device", why="age", reason="", moment=self._clock.moment(), reach=ended
        )
        self._log_is_cut = False
        return True

    def _tell(self, limits: Limits) -> None:
        with self._db.reading() as connection:
            share, stop = filled(connection, limits)
        if not stop:
            self._on_full(None)
            return
        over = "has reached" if share >= 1 else "comes near"
        quota = f"its quota of {self._bounds.quota_mb} MB"
        self._on_full(f"the ledger {over} {quota}, and nothing can be pruned: {stop}")

    def _hold(self, request: HoldRecords, peer: str) -> LocalReply:
        with self._db.atomic():
            found = holds.find(self._db, request.records)
            if isinstance(found, str):
                return LocalReply(ok=False, error="not_allowed", message=found)
            epoch, first, last = found
            placed = holds.place(
                self._db, epoch, first, last, reason=request.reason, by=peer, moment=self._clock.moment()
            )
        if isinstance(placed, str):
            return LocalReply(ok=False, error="not_allowed", message=placed)
        return LocalReply(
            ok=True,
            message=f"Hold {placed}: records {first:,} to {last:,} stay as they are until it is released.",
            result={"hold_id": placed, "epoch": epoch, "first": first, "last": last},
        )

    def _release(self, request: ReleaseHold, peer: str) -> LocalReply:
        with self._db.atomic():
            found = holds.release(
                self._db, request.hold_id, reason=request.reason, by=peer, moment=self._clock.moment()
            )
            if found is None:
                message = f"there is no hold {request.hold_id} in force; `appliance audit hold list` shows them"
                return LocalReply(ok=False, error="not_allowed", message=message)
            redaction.begin_again(self._db)
        return LocalReply(
            ok=True,
            message=f"Hold {found.hold_id} on records {found.first:,} to {found.last:,} is released.",
            result={"hold_id": found.hold_id},
        )

    def _redact(self, request: RedactRecords, peer: str) -> LocalReply:
        if sum(where is not None for where in (request.request_id, request.seq, request.older_than_days)) != 1:
            message = "say which records in one way: a request, a number, or an age in days"
            return LocalReply(ok=False, error="malformed", message=message)
        if request.older_than_days is not None:
            return self._redact_old(request, request.older_than_days, peer)
        with self._db.atomic():
            rows = (
                redaction.of_request(self._db, request.request_id)
                if request.request_id is not None
                else redaction.of_number(self._db, request.seq or 0)
            )
            if isinstance(rows, str):
                return LocalReply(ok=False, error="not_allowed", message=rows)
            if (hold := redaction.held(self._db, rows)) is not None:
                message = (
                    f"hold {hold.hold_id} is on records {hold.first:,} to {hold.last:,} ({hold.reason}):"
                    " nothing of them is erased until it is released"
                )
                return LocalReply(ok=False, error="not_allowed", message=message)
            erased = self._erase(rows, request, peer)
        return self._told(erased, some_held=False)

    def _redact_old(self, request: RedactRecords, days: float, peer: str) -> LocalReply:
        if not self._clock.is_trusted():
            message = "nothing vouches for this device's clock, so nobody knows how old a record is; name it instead"
            return LocalReply(ok=False, error="not_allowed", message=message)
        horizon = self._clock.now() - timedelta(days=days)
        total, reach = Erased(0, 0, 0), Reach()
        while True:
            with self._db.atomic():
                rows, ended = redaction.older(self._db, horizon, reach)
                if ended == reach:
                    break
                more = self._erase(rows, request, peer)
            total, reach = Erased(*(a + b for a, b in zip(total, more, strict=True))), ended
        with self._db.reading() as connection:
            some_held = bool(holds.active(connection))
        return self._told(total, some_held=some_held)

    def _erase(self, rows: list[Row], request: RedactRecords, peer: str) -> Erased:
        return redaction.erase(
            self._db,
            rows,
            fields=request.fields,
            by=peer,
            why="person",
            reason=request.reason,
            moment=self._clock.moment(),
        )

    def _told(self, erased: Erased, *, some_held: bool) -> LocalReply:
        self._log_is_cut = self._db.cut_log()
        parts = [
            f"Erased {erased.values_n:,} values of {erased.records_n:,} records, and {erased.copies_n:,} copies."
            if erased.values_n or erased.copies_n
            else "There was nothing left to erase."
        ]
        if some_held:
            parts.append("What is under a hold was left as it is.")
        if not self._log_is_cut:
            parts.append("Another program reads the database: the write-ahead log is cut when it has finished.")
        if aside := copies_elsewhere(self._db.path.parent):
            parts.append(f"Files that were set aside may still hold it, remove them if you may: {', '.join(aside)}.")
        return LocalReply(
            ok=True,
            message=" ".join(parts),
            result={**erased._asdict(), "log_is_cut": self._log_is_cut, "elsewhere": list(aside)},
        )

    def _prune(self, peer: str) -> LocalReply:
        records_n = segments_n = 0
        limits = self.limits(by_hand=True)
        found: Gone | retention.Stop = "young"
        for _ in range(_BY_HAND_N):
            found = retention.step(self._db, limits, moment=self._clock.moment(), by=peer)
            if not isinstance(found, Gone):
                break
            records_n, segments_n = records_n + found.records_n, segments_n + 1
            self._on_pruned()
        reason = "" if isinstance(found, Gone) else STOPS[found]
        if not segments_n:
            message = f"Nothing was pruned: {reason or 'nothing is old enough, and the quota is not reached'}."
        else:
            message = f"Pruned {records_n:,} records in {segments_n:,} segments; their roots stay."
        return LocalReply(
            ok=True, message=message, result={"records_n": records_n, "segments_n": segments_n, "stop": reason}
        )


def copies_elsewhere(home: Path) -> tuple[str, ...]:
    """Return the names of files beside the database that a redaction does not reach."""
    patterns = ("*.corrupt-*", "ledger-*.db", "before-restore-*")
    return tuple(sorted({path.name for pattern in patterns for path in home.glob(pattern)}))
