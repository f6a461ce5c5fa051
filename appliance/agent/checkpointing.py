"""The ledger to signed checkpoints: every so many records, every so many seconds, and when somebody asks.

Order: the records are durable, the state that is about to be signed is durable, then it is signed, kept, told. So
whatever the device has ever signed, it knows at its next start, and it signs nothing that contradicts it.

Covers: two histories under one origin (refused: the tree must still have the root that was signed last), a power cut
between any two steps, a full disk (tried again, nothing else waits for it).
Does not cover: who looks at the checkpoints; they are worth what the copies elsewhere are worth.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.agent import epochs
from appliance.contracts.clock import Clock
from appliance.contracts.home import Home
from appliance.errors import StorageError
from appliance.storage import audit, checkpoints, database, signed, tree
from appliance.storage.database import Database
from appliance.storage.signed import Signed
from appliance.trust import notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Checkpoint

LOOK_S: Final = 1.0
"""How often the size is looked at: one indexed query, beside the writer."""


class Checkpointer:
    """Signs how far the ledger is, on a thread and a connection of its own: a decision waits for one short commit."""

    def __init__(
        self,
        db: Database,
        path: Path,
        state: Signed,
        *,
        key: SigningKey,
        clock: Clock,
        every_n: int,
        every_s: float,
        on_refused: Callable[[str], None],
        on_signed: Callable[[str], None] = lambda _note: None,
    ) -> None:
        self._db = db
        self._path = path
        self._state = state
        self._keys: tuple[SigningKey, ...] = (key,)
        self._clock = clock
        self._every_n = every_n
        self._every_s = every_s
        self._on_refused = on_refused
        self._on_signed = on_signed
        self._reader = database.open_reader(db.path)
        self._lock = threading.Lock()
        self._kept_size = 0
        self._news_since_s: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Sign now, and from now on as it falls due."""
        self.sign()
        self._thread.start()

    def stop(self) -> None:
        """Sign what there is, and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.sign()
        with self._lock:
            self._reader.close()

    def rekey(self, *keys: SigningKey) -> None:
        """Sign the next checkpoint, now, with all of *keys*, and those after it with the last of them."""
        with self._lock:
            self._keys = keys
            self._kept_size = 0  # the same state, signed by the new key, is news
        self.sign()

    def sign(self) -> str | None:
        """Return a checkpoint over every record that is durable now; safe on any thread.

        Returns:
            The signed note; None when it was refused, or cannot be kept at present.
        """
        with self._lock:
            try:
                return self._sign()
            except (StorageError, sqlite3.Error):
                # A full or failing disk: whoever writes decisions says so; the next look tries again.
                return None

    def _sign(self) -> str | None:
        size = audit.size(self._reader)
        contradiction = self._contradiction(size)
        if contradiction is not None:
            self._on_refused(contradiction)
            return None
        try:
            root = tree.root(self._reader, size)
        except LookupError as error:
            self._on_refused(f"records are missing from the ledger: {error}")
            return None
        if size != self._state.size:
            state = self._state.model_copy(update={"size": size, "root": root.hex()})
            signed.write(self._path, state)
            self._state = state
        text = str(Checkpoint(self._state.origin, size, root))
        signatures = [s for key in self._keys for s in notes.sign(text, self._state.origin, key).signatures]
        note = str(notes.Note(text, tuple(signatures)))
        if size and size != self._kept_size:
            checkpoints.add(self._db, size, self._clock.now(), note)
            self._kept_size = size
            self._keys = self._keys[-1:]
            self._on_signed(note)
        self._news_since_s = None
        return note

    def _contradiction(self, size: int) -> str | None:
        """Say how the ledger contradicts what was signed last, None if it goes on from it."""
        last = self._state
        if tree.current(self._reader) != last.epoch:
            return f"the ledger became another one while the device ran: no longer epoch {last.epoch}"
        if size < last.size:
            return f"the ledger was cut to {size} records while the device ran; {last.size} were signed"
        try:
            is_same = tree.root(self._reader, last.size).hex() == last.root
        except LookupError as error:
            return f"the ledger was changed while the device ran: {error}"
        return None if is_same else f"records 1 to {last.size} of the ledger were changed while the device ran"

    def _is_due(self) -> bool:
        try:
            news_n = audit.size(self._reader) - self._state.size
        except sqlite3.Error:
            return False
        if news_n <= 0:
            return news_n < 0
        now_s = self._clock.monotonic_s()
        if self._news_since_s is None:
            self._news_since_s = now_s
        # Counted from the first record that is not signed: a burst after a quiet hour takes one signature, not two.
        return news_n >= self._every_n or now_s - self._news_since_s >= self._every_s

    def _run(self) -> None:
        while not self._stopping.wait(min(LOOK_S, self._every_s)):
            with self._lock:
                due = self._is_due()
            if due:
                self.sign()


def sign_once(home: Home, key: SigningKey, clock: Clock) -> str:
    """Return a checkpoint of a home whose daemon does not run; the caller holds the home's lock.

    Raises:
        StorageError: the ledger does not go on from what was signed last, or something cannot be written.
    """
    db = database.open_database(home.database).db
    try:
        state = signed.read(home.signed)
        with db.reading() as connection:
            fault = epochs.why_not(connection, state, audit.size(connection), key.key_id)
        if fault is not None or state is None:
            reason = fault or "never started since it learnt to sign"
            raise StorageError(f"{home.database}: not signed ({reason}); `appliance run` looks into it and goes on")
        refused: list[str] = []
        checkpointer = Checkpointer(
            db, home.signed, state, key=key, clock=clock, every_n=1, every_s=1.0, on_refused=refused.append
        )
        note = checkpointer.sign()
        checkpointer.stop()
        if note is None:
            raise StorageError(refused[0] if refused else f"{home.signed} or {home.database} cannot be written")
        return note
    finally:
        db.close()
