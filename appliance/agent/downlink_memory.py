"""Which commands count no more, whatever becomes of the database: used counters, revoked keys, versions that were had.

The database has them with the rows that they belong to; a file beside it (`storage.floors`) has the numbers again.

Covers: a database that was lost, exchanged or restored (the file raises it), a file that was lost (the database fills
it), both lost: then `lost` says so, and nothing that acts is taken from afar until the device is enrolled anew.
Does not cover: an enrolment file that somebody put there without `fleet join`, on a database that never knew one; it
looks as if both were lost, and is treated so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.contracts.canonical import digest
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import Command
from appliance.contracts.topics import EVERY_DEVICE
from appliance.storage import bundles, counters, floors, meta
from appliance.storage.counters import Verdict
from appliance.storage.database import Database
from appliance.storage.floors import Floors
from appliance.trust.keys import PublicKey

_KNOWN: Final = "floors"
_DESIRED: Final = "desired"
_REVOKED: Final = "revoked"


class Memory:
    """What a device never forgets of its controllers; used by one thread at a time."""

    def __init__(self, db: Database, enrolment: Enrolment, clock: Clock, path: Path | None) -> None:
        """Keep what is given.

        Args:
            path: of the file beside the database; None keeps none, for tests of other things.
        """
        self._db = db
        self._path = path
        self._clock = clock
        self._grant = digest(enrolment.model_dump(mode="json"))
        self._at_grant: dict[str, int] = {}
        for controller in enrolment.controllers:
            issuer = PublicKey.from_hex(controller.public_key).key_id
            self._at_grant[counters.window_of(issuer, to_all=False)] = controller.counter
            self._at_grant[counters.window_of(issuer, to_all=True)] = controller.group_counter
        self._written: Floors | None = None
        self.lost = False
        """Both the file and the database's knowledge are gone."""

    def open(self) -> None:
        """Bring file and database to the higher of each number; once, before the first message.

        Raises:
            StorageError: the database cannot be written.
        """
        if self._path is None:
            return
        beside = floors.read(self._path)
        self.lost = beside is None and meta.get(self._db, _KNOWN) is None
        if self.lost:
            return
        if beside is not None:
            self._raise(beside)
        meta.put(self._db, _KNOWN, self._grant)
        self.keep()

    def keep(self) -> None:
        """Write down outside what the database has.

        Raises:
            StorageError: it cannot be written.
        """
        if self._path is None or self.lost:
            return
        now = Floors(
            grant=self._grant,
            counters=counters.highest(self._db),
            desired=self.desired,
            revoked=tuple(sorted(self.revoked)),
            bundles=bundles.floors(self._db),
        )
        wanted = now if self._written is None else self._written.raised(now)
        if wanted != self._written:
            floors.write(self._path, wanted)
            self._written = wanted

    def look(self, command: Command) -> Verdict:
        """Tell whether the counter of *command* may still be used; changes nothing."""
        window = _window(command)
        if command.counter <= self._at_grant.get(window, 0):
            return "too_old"
        return counters.look(self._db, window, command.counter)

    def use(self, command: Command) -> Verdict:
        """Use the counter of *command* up if it is new; part of the transaction that keeps the command."""
        verdict = self.look(command)
        return counters.use(self._db, _window(command), command.counter) if verdict == "new" else verdict

    @property
    def desired(self) -> int:
        """Version of the newest configuration that was accepted."""
        return int(meta.get(self._db, _DESIRED) or 0)

    @property
    def revoked(self) -> frozenset[str]:
        """Keys of controllers that are never listened to again."""
        return frozenset(json.loads(meta.get(self._db, _REVOKED) or "[]"))

    def accept(self, version: int, revoked: Iterable[str]) -> None:
        """Note that a configuration was accepted, with the keys that it revokes."""
        with self._db.atomic():
            meta.put(self._db, _DESIRED, str(max(version, self.desired)))
            meta.put(self._db, _REVOKED, json.dumps(sorted({*self.revoked, *revoked})))

    def _raise(self, beside: Floors) -> None:
        with self._db.atomic():
            for window, highest in beside.counters.items():
                counters.raise_to(self._db, window, highest)
            for name, release in beside.bundles.items():
                bundles.restore_floor(self._db, name, release, self._clock.now())
            self.accept(beside.desired, beside.revoked)
        self._written = beside


def _window(command: Command) -> str:
    return counters.window_of(command.issuer, to_all=command.audience == EVERY_DEVICE)
