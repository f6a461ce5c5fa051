"""Downlink and uplink for a device that is enrolled; nothing at all for one that is not."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from appliance.agent.announcing import Description
from appliance.agent.downlink import Downlink
from appliance.agent.plan import Versions
from appliance.agent.uplink import Uplink, UplinkSettings
from appliance.contracts.audit import RecordKind
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import DeviceWord
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.lifecycle import State
from appliance.storage.database import Database
from appliance.trust.keys import SigningKey

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
        key: SigningKey,
        granted: Enrolment | None,
        settings: UplinkSettings,
        clock: Clock,
        tools: tuple[ToolSpec, ...],
        versions: Versions,
        state: Callable[[], State],
        append: Append,
        emergency: Callable[[str, str], None],
        wake: Callable[[], None],
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
        )
        bundle: JsonObject = {
            "name": versions.bundle, "version": versions.bundle_version, "sha256": versions.bundle_sha256
        }  # fmt: skip
        described = Description(versions.software, bundle, tuple(spec.to_schema() for spec in tools))
        self._uplink = Uplink(
            db=db,
            enrolment=granted,
            key=key,
            downlink=downlink,
            settings=settings,
            boot=boot,
            nonce=nonce,
            clock=clock,
            status=lambda: _WORDS.get(state(), "ready"),
            describe=lambda: described,
            note=lambda event, facts: append("note", {"event": event, **facts}),
            chance=chance,
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

    def glance(self) -> JsonObject:
        """Return the connection's state for the status."""
        return {"enrolled": False, "connected": False} if self._uplink is None else self._uplink.facts()
