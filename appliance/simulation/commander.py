"""Signed commands to many devices over one connection, and how long each answer took."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.envelope import CORRELATION_BYTES, FINAL, CallBody, Command, PingBody, Response
from appliance.contracts.topics import EVERY_DEVICE, ROOT, Channel, Topic
from appliance.errors import TrustError, WireError
from appliance.transport.mqtt import Incoming, Link, Message
from appliance.trust.keys import PublicKey, SigningKey
from appliance.trust.signature import opened, sealed

LIFETIME_S: Final = 600


class Commander:
    """A controller's voice with a key of its own; the thread that steps it is the only one."""

    def __init__(
        self, broker: BrokerSettings, site: str, key: SigningKey, devices: Mapping[str, PublicKey], chance: Random
    ) -> None:
        self._site = site
        self._key = key
        self._devices = devices
        self._counter = 0
        self._asked_s: dict[str, float] = {}
        self._groups: dict[str, set[str]] = {}
        self.round_trips_s: list[float] = []
        self.sent_n = self.refused_n = self.forged_n = 0
        self._link = Link(
            broker.model_copy(update={"first_connect_s": 0.0, "session_expiry_s": 3600}),
            f"simulation-{key.key_id}",
            filters=(f"{ROOT}/{site}/+/{Channel.RSP}/{key.key_id}",),
            on_message=self._delivered,
            on_opened=lambda _opened: None,
            on_lost=lambda _reason: None,
            chance=chance,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._link.connected

    @property
    def waiting_n(self) -> int:
        """How many commands have no final answer yet."""
        return len(self._asked_s)

    def step(self, wait_s: float) -> None:
        """Read and write."""
        self._link.step(wait_s)

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def ask(self, device: str, body: PingBody | CallBody) -> bool:
        """Send a command to one device, if there is room.

        Returns:
            Whether it left.
        """
        command = self._command(device, body)
        if not self._say(command):
            return False
        self.sent_n += 1
        self._asked_s[command.correlation] = time.monotonic()
        return True

    def ask_all(self) -> str | None:
        """Ask every device of the site whether it is there.

        Returns:
            By what its answers are known to `answered_n`; None when there was no room.
        """
        command = self._command(EVERY_DEVICE, PingBody())
        if not self._say(command):
            return None
        self._groups[command.correlation] = set()
        return command.correlation

    def answered_n(self, group: str) -> int:
        """Return how many devices have answered *group*."""
        return len(self._groups[group])

    def _command(self, device: str, body: PingBody | CallBody) -> Command:
        self._counter += 1
        now = datetime.now(UTC)
        return Command(
            audience=device,
            issuer=self._key.key_id,
            correlation=secrets.token_hex(CORRELATION_BYTES),
            counter=self._counter,
            issued_at=now,
            expires_at=now + timedelta(seconds=LIFETIME_S),
            response_topic=str(Topic.make(self._site, device, Channel.RSP, self._key.key_id)),
            body=body,
        )

    def _say(self, command: Command) -> bool:
        message = Message(
            str(Topic.make(self._site, command.audience, Channel.CMD, command.body.kind)),
            sealed(self._key, command),
            correlation=bytes.fromhex(command.correlation),
            response_topic=command.response_topic,
            expiry_s=LIFETIME_S,
        )
        return self._link.publish(message, lambda _taken: None)

    def _delivered(self, message: Incoming) -> None:
        now_s = time.monotonic()
        try:
            key = self._devices[Topic.parse(message.topic).device]
            answer = opened(message.payload, Response, {key.key_id: key})
        except (KeyError, TrustError, WireError):
            self.forged_n += 1
            return
        if answer.correlation in self._groups:
            self._groups[answer.correlation].add(answer.device)
        elif answer.life in FINAL and (asked_s := self._asked_s.pop(answer.correlation, None)) is not None:
            self.round_trips_s.append(now_s - asked_s)
            self.refused_n += answer.life != "executed"
