"""A wish to a signed command, and the answers to it until one is final."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    FINAL,
    AskBody,
    CallBody,
    Command,
    PingBody,
    Response,
    State,
    StopBody,
    TrustBody,
    UpdateBody,
)
from appliance.contracts.topics import EVERY_DEVICE, ROOT, Channel, Topic
from appliance.errors import LinkError, MalformedTopic, TrustError, UsageError, WireError
from appliance.fleet import ingest
from appliance.fleet.home import FleetHome, iso
from appliance.transport.mqtt import Incoming, Link, Message, Opened
from appliance.trust.signature import opened, sealed

Body = AskBody | CallBody | PingBody | StopBody | TrustBody | UpdateBody

_STATE_WAIT_S: Final = 2.0
"""How long a retained state may take after the connection; without one we go by what is stored."""


class Sent(NamedTuple):
    """A command that left, and every answer that came in time."""

    command: Command
    answers: tuple[Response, ...]

    def final(self) -> Response | None:
        """Return the answer that ends it, if it came."""
        return next((a for a in reversed(self.answers) if a.life in FINAL), None)


class Dispatcher:
    """Sends one command at a time over a connection of its own."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        on_answer: Callable[[Response], None] = lambda _answer: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._now = now
        self._chance = chance
        self._on_answer = on_answer
        self._monotonic = monotonic
        self._keys = home.device_keys()
        self._answers: list[Response] = []
        self._correlation = ""
        self._states: set[str] = set()
        self._ready = False
        self._loss = ""

    def send(self, device: str, body: Body, *, wait_s: float, expires_s: float) -> Sent:
        """Send *body* to *device* (or `all`) and wait for its end.

        Raises:
            UsageError: the device is not enrolled here.
            LinkError: the broker was not reached in *wait_s*; nothing was sent.
        """
        if device != EVERY_DEVICE and device not in self._keys:
            known = ", ".join(sorted(self._keys)) or "none"
            raise UsageError(f"no device {device!r} is enrolled here; there are: {known}")
        end_s = self._monotonic() + wait_s
        site, key_id = self._home.settings.site, self._home.key.key_id
        among = "+" if device == EVERY_DEVICE else device
        # Nobody waits at this session after we are gone: the collector keeps late answers.
        broker = self._home.broker.model_copy(update={"session_expiry_s": 0, "first_connect_s": 0.0})
        link = Link(
            broker,
            f"send-{key_id}-{secrets.token_hex(3)}",
            filters=(f"{ROOT}/{site}/{among}/{Channel.RSP}/{key_id}", f"{ROOT}/{site}/{among}/{Channel.STATE}"),
            on_message=self._delivered,
            on_opened=self._opened,
            on_lost=self._lost,
            chance=self._chance,
        )
        try:
            self._await(link, end_s, lambda: self._ready)
            if not self._ready:
                raise LinkError(self._loss or f"no answer from {broker.host}:{broker.port} in {wait_s:g} s")
            wanted = {device} if device != EVERY_DEVICE else set()
            self._await(link, min(end_s, self._monotonic() + _STATE_WAIT_S), lambda: wanted <= self._states)
            command = self._command(device, body, expires_s)
            self._correlation = command.correlation
            taken: list[bool] = []
            if not link.publish(self._message(command, expires_s), taken.append):
                raise LinkError(f"the connection broke before the command left: {self._loss}")
            expected = len(self._keys) if device == EVERY_DEVICE else 1
            self._await(link, end_s, lambda: taken == [False] or self._finals() >= expected)
            if taken != [True] and not self._answers:
                raise LinkError("the broker did not confirm the command; whether it arrives is not known")
            return Sent(command, tuple(self._answers))
        finally:
            link.close()

    def _finals(self) -> int:
        return len({answer.device for answer in self._answers if answer.life in FINAL})

    def _await(self, link: Link, end_s: float, done: Callable[[], bool]) -> None:
        while not done() and self._monotonic() < end_s:
            link.step(max(0.0, min(0.5, end_s - self._monotonic())))

    def _command(self, device: str, body: Body, expires_s: float) -> Command:
        now = self._now()
        row = next(self._home.db.query("select nonce, time from devices where device = ?", [device]), None)
        untrusted = row is not None and row["time"] == "untrusted"
        command = Command(
            audience=device,
            issuer=self._home.key.key_id,
            correlation=secrets.token_hex(CORRELATION_BYTES),
            counter=self._home.next_counter(),
            issued_at=now,
            expires_at=now + timedelta(seconds=expires_s),
            response_topic=str(Topic.make(self._home.settings.site, device, Channel.RSP, self._home.key.key_id)),
            nonce=row["nonce"] if row is not None and untrusted else None,
            body=body,
        )
        with self._home.writing():
            self._home.db.table("commands").insert(
                {
                    "correlation": command.correlation,
                    "device": device,
                    "kind": body.kind,
                    "body": canonical(body.model_dump(mode="json")).decode(),
                    "issued_at": iso(command.issued_at),
                    "expires_at": iso(command.expires_at),
                }
            )
        return command

    def _message(self, command: Command, expires_s: float) -> Message:
        topic = Topic.make(self._home.settings.site, command.audience, Channel.CMD, command.body.kind)
        return Message(
            str(topic),
            sealed(self._home.key, command),
            correlation=bytes.fromhex(command.correlation),
            response_topic=command.response_topic,
            expiry_s=max(1, int(expires_s)),
        )

    def _opened(self, _session: Opened) -> None:
        self._ready = True

    def _lost(self, reason: str) -> None:
        self._ready = False
        self._loss = reason

    def _delivered(self, message: Incoming) -> None:
        try:
            topic = Topic.parse(message.topic)
            key = self._keys.get(topic.device)
            if key is None:
                return
            keys = {key.key_id: key}
            if topic.channel is Channel.STATE:
                state = opened(message.payload, State, keys)
                ingest.store_state(self._home, state, self._now())
                self._states.add(topic.device)
                return
            answer = opened(message.payload, Response, keys)
        except (MalformedTopic, TrustError, WireError):
            return  # the collector reports what is wrong; here it is only not an answer
        if answer.device == topic.device and answer.correlation == self._correlation:
            ingest.store_answer(self._home, answer, self._now())
            self._answers.append(answer)
            self._on_answer(answer)
