"""What the daemon itself has to say, to the ledger; a stop on a full disk is written as soon as there is room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from appliance.contracts.audit import AuditRecord, RecordKind
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.errors import StorageError
from appliance.storage import audit
from appliance.storage.database import Database

UNWRITTEN_N: Final = 100


class Keeper:
    """Appends the records that belong to no request."""

    def __init__(self, db: Database, clock: Clock, on_storage: Callable[[StorageError], None]) -> None:
        self._db = db
        self._clock = clock
        self._on_storage = on_storage
        self._unwritten: deque[AuditRecord] = deque(maxlen=UNWRITTEN_N)

    @property
    def owes(self) -> bool:
        """Whether records wait for the disk."""
        return bool(self._unwritten)

    def append(self, kind: RecordKind, facts: JsonObject, personal: JsonObject | None = None) -> None:
        """Write a record, after those that wait; one that cannot be written is reported, and kept if it is a stop."""
        record = AuditRecord(kind=kind, moment=self._clock.moment(), facts=facts, personal=personal or {})
        waiting = tuple(self._unwritten)
        try:
            with self._db.atomic():
                for earlier in waiting:
                    audit.append(self._db, earlier)
                audit.append(self._db, record)
        except StorageError as error:
            # A stop on a full disk happened all the same: its record waits for the disk, with the time it was made.
            if kind == "emergency":
                self._unwritten.append(record)
            self._on_storage(error)
            return
        for _ in waiting:
            self._unwritten.popleft()
