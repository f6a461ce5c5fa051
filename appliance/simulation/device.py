"""One simulated device: the real wire over a database in memory; only its tools and its people are made up.

Covers: everything of `agent.wire` (signed state and description, batches of both streams, acknowledgements, commands
checked, kept, answered once). Does not cover: the reading of words, laws and tools (every request that comes is done at
once), signed checkpoints, power cuts.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from appliance.agent.announcing import Identity
from appliance.agent.plan import Versions
from appliance.agent.uplink import Uplink, UplinkSettings
from appliance.agent.wire import Wire
from appliance.contracts.audit import AuditRecord, RecordKind
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.policy.lifecycle import State
from appliance.storage import audit, inbox, memory, meta, outbox
from appliance.transport.mqtt import Link
from appliance.trust.keys import SigningKey

_VERSIONS: Final = Versions(software="simulated", bundle="none", bundle_version="0")


class Member(NamedTuple):
    """A device as it was enrolled."""

    name: str
    key: SigningKey
    enrolment: Enrolment


class SimulatedDevice:
    """A device that a loop of the caller's own turns; the constructor connects to nothing."""

    def __init__(self, member: Member, template: bytes, settings: UplinkSettings, clock: Clock) -> None:
        self.name = member.name
        self.is_woken = False
        self.made_n = self.performed_n = self.stops_n = 0
        self._clock = clock
        self._db = memory.copy_of(template, epoch=secrets.token_hex(8))
        self._queue = inbox.Queue(self._db)
        boot = meta.next_boot(self._db, 0)
        self._append("epoch", {"device": member.name, "simulated": True})
        wire = Wire(
            db=self._db,
            boot=boot,
            identity=Identity(member.key),
            granted=member.enrolment,
            settings=settings,
            clock=clock,
            tools=(),
            versions=_VERSIONS,
            state=lambda: State.IDLE,
            append=self._append,
            emergency=self._stopped,
            wake=self._wake,
        )
        self.uplink: Uplink = wire.opened()
        self.link: Link = self.uplink.open()

    def turn(self) -> bool:
        """Read, act and write as far as it goes without waiting.

        Returns:
            Whether there is more to do at once.
        """
        more = self.uplink.turn(0.0)
        if self.is_woken:
            self.is_woken = False
            self._perform()
            return True
        return more

    def event(self) -> None:
        """Let something happen on the device that its fleet hears of: a record of the ledger and a report."""
        self.made_n += 1
        body: JsonObject = {"status": "done", "n": self.made_n}
        with self._db.atomic():
            self._append("settled", body)
            outbox.enqueue(
                self._db, envelope_id=f"{self.name}-{self.made_n}", kind="turn", at=self._clock.now(), body=body
            )

    def waiting_n(self) -> int:
        """Return how many records of both streams no controller has acknowledged."""
        marks = [outbox.mark(self._db, "audit"), outbox.mark(self._db, "evt")]
        return sum(mark.newest - mark.acked for mark in marks)

    def records_n(self) -> int:
        """Return how many records its ledger has."""
        return outbox.mark(self._db, "audit").newest

    def attempts_n(self) -> int:
        """Return how often it was connected."""
        return int(str(self.uplink.facts()["sessions"]))

    def _perform(self) -> None:
        while (request := self._queue.next()) is not None:
            self._append("decided", {}, request.request_id)
            inbox.take(self._db, request.request_id)
            self.performed_n += 1
            said = Outcome(request_id=request.request_id, status="done", reason="Done.", code="done")
            with self._db.atomic():
                self._append("settled", {"status": "done"}, request.request_id)
                inbox.done(self._db, request.request_id, said.model_dump(mode="json"))

    def _append(self, kind: RecordKind, facts: JsonObject, request_id: str | None = None) -> None:
        moment = self._clock.moment()
        audit.append(self._db, AuditRecord(kind=kind, moment=moment, request_id=request_id, facts=facts))

    def _wake(self) -> None:
        self.is_woken = True

    def _stopped(self, _reason: str, _issuer: str) -> None:
        self.stops_n += 1
