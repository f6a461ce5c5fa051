"""Downlink and uplink for a device that is enrolled; nothing at all for one that is not."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Protocol

from appliance.agent import sharing
from appliance.agent.announcing import Description, Identity
from appliance.agent.carrying import Carrier
from appliance.agent.commands.configuring import Configuring, Wishes
from appliance.agent.commands.deeds import Doer
from appliance.agent.commands.errands import Errands
from appliance.agent.downlink import Downlink
from appliance.agent.plan import Versions, split
from appliance.agent.sharing import Share
from appliance.agent.uplink import Uplink, UplinkSettings
from appliance.contracts.audit import RecordKind
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import DeviceWord
from appliance.contracts.local import LocalReply, SyncExport, SyncImport
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.lifecycle import State
from appliance.storage import checkpoints, updates
from appliance.storage.database import Database

COUNTERS_LOST: Final = (
    "which of the fleet's commands were used is lost, with the database and beside it: nothing that acts is taken from"
    " afar until this device is enrolled anew (`appliance fleet request`)"
)

_WORDS: Final[dict[State, DeviceWord]] = {State.DEGRADED: "degraded", State.LOCKED: "locked"}
"""What the fleet is told of a state; every other one is `ready`, or `updating`."""


class Append(Protocol):
    """Writes a record that belongs to no request."""

    def __call__(self, kind: RecordKind, facts: JsonObject) -> None:
        """Append it to the ledger."""


class Afar(NamedTuple):
    """What a whole device does for its fleet beside taking requests."""

    home: Path
    exports: Path
    """Archives that controllers had made here; they go out on sticks as well."""

    floors: Path
    """The file of what outlives the database."""

    doers: Mapping[str, Doer]
    """Commands that take their time, by name."""

    wishes: Wishes
    restart: Callable[[], None]


class Wire:
    """The device's side of the fleet; a standalone device's opens no socket."""

    def __init__(
        self,
        *,
        db: Database,
        boot: int,
        identity: Identity,
        granted: Enrolment | None,
        settings: UplinkSettings,
        clock: Clock,
        tools: tuple[ToolSpec, ...],
        versions: Versions,
        state: Callable[[], State],
        append: Append,
        emergency: Callable[[str, str], None],
        wake: Callable[[], None],
        share: Share = "decisions",
        trust: Callable[[bytes, str], Accepted | NotAdmitted] | None = None,
        update: Callable[[], None] | None = None,
        trouble: Callable[[str, str | None], None] = lambda _part, _text: None,
        afar: Afar | None = None,
    ) -> None:
        self._uplink: Uplink | None = None
        self._errands: Errands | None = None
        self._carrier: Carrier | None = None
        self._carrying = threading.Lock()
        if granted is None:
            return
        nonce = secrets.token_hex(16)
        chance = Random()  # jitter, not a secret
        configuring = None
        if afar is not None:
            self._errands = Errands(
                db,
                afar.doers,
                clock=clock,
                record=lambda facts: append("command", facts),
                wake=self.wake,
            )
            configuring = Configuring(
                afar.wishes,
                lambda: downlink.memory,
                site=granted.site,
                device=granted.device,
                clock=clock,
                restart=afar.restart,
                changed=self._reconfigured,
            )
        downlink = Downlink(
            db=db,
            enrolment=granted,
            nonce=nonce,
            clock=clock,
            refuse=lambda code, facts: append("refused_message", {"code": code, **facts}),
            emergency=emergency,
            wake=wake,
            chance=chance,
            trust=trust,
            update=update,
            owed=self._errands,
            configuring=configuring,
            record=lambda facts: append("command", facts),
            floors=None if afar is None else afar.floors,
        )
        if downlink.memory.lost:
            trouble("counters", COUNTERS_LOST)
        specs = {spec.name: spec for spec in tools}
        bundle: JsonObject = {
            "name": versions.bundle, "version": versions.bundle_version, "sha256": versions.bundle_sha256
        }  # fmt: skip
        described = Description(
            versions.software, bundle, sharing.described(share, tuple(spec.to_schema() for spec in tools))
        )
        self._uplink = Uplink(
            db=db,
            enrolment=granted,
            identity=identity,
            downlink=downlink,
            settings=settings,
            boot=boot,
            nonce=nonce,
            clock=clock,
            status=lambda: _word(db, state()),
            describe=lambda: described,
            note=lambda event, facts: append("note", {"event": event, **facts}),
            checkpoint=lambda: _newest_checkpoint(db),
            chance=chance,
            share=share,
            public=lambda tool, arguments: split(tool, arguments, specs.get(tool))[0],
            trouble=trouble,
            report=None if configuring is None else configuring.reported,
        )

        if afar is not None:
            self._carrier = Carrier(
                db=db,
                home=afar.home,
                exports=afar.exports,
                enrolment=granted,
                identity=identity,
                downlink=downlink,
                boot=boot,
                nonce=nonce,
                clock=clock,
                describe=lambda: described,
                checkpoint=lambda: _newest_checkpoint(db),
                report=None if configuring is None else configuring.reported,
                share=share,
                public=lambda tool, arguments: split(tool, arguments, specs.get(tool))[0],
                note=lambda event, facts: append("note", {"event": event, **facts}),
            )

    def start(self) -> None:
        """Begin to speak to the broker, if there is one."""
        if self._errands is not None:
            self._errands.start()
        if self._uplink is not None:
            self._uplink.start()

    def opened(self) -> Uplink:
        """Return the uplink of an enrolled device, for a loop that turns many of them; `start` is not called then."""
        assert self._uplink is not None
        return self._uplink

    def stop(self) -> None:
        """Say goodbye and end."""
        if self._errands is not None:
            self._errands.stop()
        if self._uplink is not None:
            self._uplink.stop()

    def _reconfigured(self) -> None:
        if self._uplink is not None:
            self._uplink.reconfigured()

    def wake(self) -> None:
        """Say that there is something to send."""
        if self._uplink is not None:
            self._uplink.wake()

    def rekey(self, identity: Identity) -> None:
        """Sign with another key from here on."""
        if self._carrier is not None:
            self._carrier.rekey(identity)
        if self._uplink is not None:
            self._uplink.rekey(identity)

    def carry(self, request: SyncExport | SyncImport, peer: str) -> LocalReply:
        """Read or write a stick for *peer*, one at a time."""
        if self._carrier is None:
            message = "This device belongs to no fleet, so there is nobody to carry anything to or from."
            return LocalReply(ok=False, error="not_allowed", message=message)
        with self._carrying:
            if isinstance(request, SyncExport):
                given = self._carrier.give(Path(request.path), peer)
                return LocalReply(ok=True, message="Written, sealed to the controller.", result=given)
            taken = self._carrier.take(Path(request.path), peer)
        return LocalReply(ok=True, result={"files": [one._asdict() for one in taken]})

    def glance(self) -> JsonObject:
        """Return the connection's state for the status."""
        return {"enrolled": False, "connected": False} if self._uplink is None else self._uplink.facts()


def _newest_checkpoint(db: Database) -> str | None:
    with db.reading() as connection:
        found = checkpoints.latest(connection)
    return None if found is None else found.note


def _word(db: Database, state: State) -> DeviceWord:
    told = _WORDS.get(state)
    if told is not None:
        return told
    return "ready" if updates.find(db) is None else "updating"
