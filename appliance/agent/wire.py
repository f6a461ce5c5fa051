"""Downlink and uplink for a device that is enrolled; nothing at all for one that is not."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from appliance.agent import sharing
from appliance.agent.announcing import Description, Identity
from appliance.agent.downlink import Downlink
from appliance.agent.plan import Versions, split
from appliance.agent.sharing import Share
from appliance.agent.uplink import Uplink, UplinkSettings
from appliance.contracts.audit import RecordKind
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import DeviceWord
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.lifecycle import State
from appliance.storage import checkpoints
from appliance.storage.database import Database

_WORDS: Final[dict[State, DeviceWord]] = {State.DEGRADED: "degraded", State.LOCKED: "locked"}
"""What the fleet is told of a state; every other one is `ready`."""


class Append(Protocol):
    """Writes a record that belongs to no request."""

    def __call__(self, kind: RecordKind, facts: JsonObject) -> None:
        """Append it to the ledger."""


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
    ) -> None:
        self._uplink: Uplink | None = None
        if granted is None:
            return
        nonce = secrets.token_hex(16)
        chance = Random()  # jitter, not a secret
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
        )
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
            status=lambda: _WORDS.get(state(), "ready"),
            describe=lambda: described,
            note=lambda event, facts: append("note", {"event": event, **facts}),
            checkpoint=lambda: _newest_checkpoint(db),
            chance=chance,
            share=share,
            public=lambda tool, arguments: split(tool, arguments, specs.get(tool))[0],
        )

    def start(self) -> None:
        """Begin to speak to the broker, if there is one."""
        if self._uplink is not None:
            self._uplink.start()

    def stop(self) -> None:
        """Say goodbye and end."""
        if self._uplink is not None:
            self._uplink.stop()

    def wake(self) -> None:
        """Say that there is something to send."""
        if self._uplink is not None:
            self._uplink.wake()

    def rekey(self, identity: Identity) -> None:
        """Sign with another key from here on."""
        if self._uplink is not None:
            self._uplink.rekey(identity)

    def glance(self) -> JsonObject:
        """Return the connection's state for the status."""
        return {"enrolled": False, "connected": False} if self._uplink is None else self._uplink.facts()


def _newest_checkpoint(db: Database) -> str | None:
    with db.reading() as connection:
        found = checkpoints.latest(connection)
    return None if found is None else found.note
