"""Whether a message from afar may be obeyed: every check of the protocol, in the order in which they are asked.

Covers: form, size, signer, revoked keys, address, role, lifetime, expiry, the nonce of this start, lost counters.
Does not cover: whether a counter was used (that is decided in the transaction that uses it), and whether the laws allow
what is asked; a command that passes here is a proposal like any other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.agent.commands.table import KINDS, WHY_LOCAL, Kind
from appliance.agent.downlink_memory import Memory
from appliance.agent.refusals import Codes, Refused
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import MAY, Enrolment
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    MAX_COMMAND_BYTES,
    MAX_LIFETIME_S,
    Ack,
    Command,
    Desired,
    Signed,
    parse_payload,
    parse_signed,
    right_of,
)
from appliance.contracts.topics import EVERY_DEVICE, ROOT, Channel, Topic
from appliance.errors import MalformedTopic
from appliance.transport.mqtt import Incoming
from appliance.trust.keys import PublicKey
from appliance.trust.signature import holds

CLOCK_SKEW_S: Final = 300
"""How far ahead a controller's clock may be."""


class Checks:
    """What one device asks of a message; every method that says no raises `Refused`."""

    def __init__(self, enrolment: Enrolment, memory: Memory, nonce: str, clock: Clock) -> None:
        self._site, self._device = enrolment.site, enrolment.device
        self._keys = {key.key_id: key for key in (PublicKey.from_hex(c.public_key) for c in enrolment.controllers)}
        self.names = {PublicKey.from_hex(c.public_key).key_id: c.name for c in enrolment.controllers}
        self.roles = {PublicKey.from_hex(c.public_key).key_id: c.role for c in enrolment.controllers}
        self._memory = memory
        self._nonce = nonce
        self._clock = clock

    def command(self, topic: Topic, message: Incoming) -> tuple[Kind, Command, Signed, Topic]:
        """Return the command in *message*, its kind, and where its answers go; its time is not looked at yet."""
        self._here(topic)
        if message.retained:
            raise Refused(Codes.RETAINED, "a command must not be retained: it would be obeyed again at every start")
        kind = KINDS.get(topic.name or "")
        limit = MAX_COMMAND_BYTES if kind is None else kind.limit_bytes
        if len(message.payload) > limit:
            raise Refused(Codes.OVERSIZED, f"{len(message.payload)} bytes; at most {limit}")
        if message.correlation is None or len(message.correlation) != CORRELATION_BYTES:
            raise Refused(Codes.NO_CORRELATION, f"correlation data of {CORRELATION_BYTES} bytes is required")
        if self.own_response_topic(message) is None:
            raise Refused(Codes.NO_RESPONSE_TOPIC, "a response topic in the device's own subtree is required")
        if message.expiry_s is None:
            raise Refused(Codes.NO_EXPIRY, "the message expiry interval is required")
        signed = parse_signed(message.payload, limit_bytes=limit)
        self._signer(signed)
        if kind is None:
            raise Refused(Codes.UNKNOWN_COMMAND, f"no command is called {topic.name!r}", signed.key)
        if kind.way == "local":
            raise Refused(Codes.LOCAL_ONLY, WHY_LOCAL[kind.name], signed.key)
        command = parse_payload(signed, Command)
        return kind, command, signed, self._address(kind, topic, message, command, signed)

    def time(self, kind: Kind, command: Command) -> None:
        """Say no to a command that is too old, too young, of an earlier start, or that this device cannot place."""
        issued, expires, issuer = command.issued_at, command.expires_at, command.issuer
        if kind.acts and self._memory.lost:
            raise Refused(Codes.COUNTERS_LOST, "which commands were used is lost here; enrol this device anew", issuer)
        if not timedelta(0) < expires - issued <= timedelta(seconds=MAX_LIFETIME_S):
            raise Refused(Codes.BAD_LIFETIME, f"good for more than {MAX_LIFETIME_S} s, or for none", issuer)
        if command.nonce is not None and command.nonce != self._nonce:
            raise Refused(Codes.WRONG_NONCE, "made for an earlier start of this device", issuer)
        if not self._clock.is_trusted():
            if command.nonce is None and kind.acts:
                text = "this device does not know the time: quote the nonce of its state"
                raise Refused(Codes.NONCE_NEEDED, text, issuer)
            return
        now = self._clock.now()
        if expires <= now:
            raise Refused(Codes.EXPIRED, f"expired at {expires.isoformat()}", issuer)
        if issued > now + timedelta(seconds=CLOCK_SKEW_S):
            raise Refused(Codes.FROM_THE_FUTURE, f"issued at {issued.isoformat()}, it is {now.isoformat()}", issuer)

    def until(self, command: Command, message: Incoming) -> datetime:
        """Return until when, by this device's own clock, *command* may wait here."""
        if self._clock.is_trusted():
            return command.expires_at
        # What time it is nobody knows, but how long it may still take: the broker counts the interval down.
        left = (command.expires_at - command.issued_at).total_seconds()
        return self._clock.now() + timedelta(seconds=min(left, message.expiry_s or 0))

    def acknowledgement(self, topic: Topic, message: Incoming) -> Ack:
        """Return the acknowledgement in *message*."""
        if message.retained:
            raise Refused(Codes.RETAINED, "an acknowledgement must not be retained")
        self._own(topic)
        signed = parse_signed(message.payload, limit_bytes=MAX_COMMAND_BYTES)
        self._signer(signed)
        ack = parse_payload(signed, Ack)
        if ack.audience != self._device or ack.issuer != signed.key:
            raise Refused(Codes.WRONG_AUDIENCE, f"made for {ack.audience!r}", signed.key)
        self._may(signed, "ack", "acknowledge")
        return ack

    def desired(self, topic: Topic, message: Incoming) -> Desired:
        """Return the configuration in *message*, which may be retained; whether its version is new is not asked yet."""
        self._own(topic)
        if len(message.payload) > MAX_COMMAND_BYTES:
            raise Refused(Codes.OVERSIZED, f"{len(message.payload)} bytes; at most {MAX_COMMAND_BYTES}")
        signed = parse_signed(message.payload, limit_bytes=MAX_COMMAND_BYTES)
        self._signer(signed)
        wanted = parse_payload(signed, Desired)
        if wanted.issuer != signed.key:
            raise Refused(Codes.BAD_SIGNATURE, "signed by another than its issuer", signed.key)
        if wanted.audience != self._device:
            raise Refused(Codes.WRONG_AUDIENCE, f"made for {wanted.audience!r}", signed.key)
        self._may(signed, "desired", "configure")
        if self._memory.lost:
            raise Refused(
                Codes.COUNTERS_LOST, "which versions were had is lost here; enrol this device anew", signed.key
            )
        return wanted

    def own_response_topic(self, message: Incoming) -> Topic | None:
        """Return where answers to *message* go: the device's own topic, if it names one."""
        try:
            topic = Topic.parse(message.response_topic or "")
        except MalformedTopic:
            return None
        if topic.site != self._site or topic.channel is not Channel.RSP:
            return None
        group = f"{ROOT}/{self._site}/{EVERY_DEVICE}/{Channel.CMD}/"
        to_all = topic.device == EVERY_DEVICE and message.topic.startswith(group)
        return topic._replace(device=self._device) if to_all or topic.device == self._device else None

    def _here(self, topic: Topic) -> None:
        if topic.site != self._site or topic.device not in (self._device, EVERY_DEVICE):
            raise Refused(Codes.WRONG_AUDIENCE, "this topic is another device's")

    def _own(self, topic: Topic) -> None:
        if topic.site != self._site or topic.device != self._device:
            raise Refused(Codes.WRONG_AUDIENCE, "this topic is another device's")

    def _signer(self, signed: Signed) -> None:
        key = self._keys.get(signed.key)
        if key is None:
            raise Refused(Codes.UNKNOWN_ISSUER, f"{signed.key} is not enrolled here")
        if not holds(signed, key):
            raise Refused(Codes.BAD_SIGNATURE, "the signature does not hold", signed.key)
        if signed.key in self._memory.revoked:
            raise Refused(Codes.REVOKED, f"the key {signed.key} was revoked", signed.key)

    def _may(self, signed: Signed, right: str, what: str) -> None:
        role = self.roles[signed.key]
        if right not in MAY[role]:
            raise Refused(Codes.ROLE, f"a key in the role {role} may not {what}", signed.key)

    def _address(self, kind: Kind, topic: Topic, message: Incoming, command: Command, signed: Signed) -> Topic:
        assert message.correlation is not None
        own = self.own_response_topic(message)
        if command.issuer != signed.key:
            raise Refused(Codes.BAD_SIGNATURE, "signed by another than its issuer", signed.key)
        if command.audience != topic.device:
            raise Refused(Codes.WRONG_AUDIENCE, f"made for {command.audience!r}", signed.key)
        if command.body.kind != topic.name:
            raise Refused(Codes.MALFORMED, f"a {command.body.kind} on the topic of {topic.name}", signed.key)
        if command.correlation != message.correlation.hex() or command.response_topic != message.response_topic:
            raise Refused(Codes.ALTERED, "correlation or response topic differ from what was signed", signed.key)
        if own is None or own.name != command.issuer:
            raise Refused(Codes.NO_RESPONSE_TOPIC, "the response topic must end in the issuer's key id", signed.key)
        self._may(signed, right_of(command.body), right_of(command.body))
        if topic.device == EVERY_DEVICE and not kind.to_all:
            raise Refused(Codes.NOT_TO_ALL, f"{kind.name} is for one device, not for a whole site", signed.key)
        return own
