"""A message from the broker to an inbox row, or to a refusal that is recorded and answered.

Order: the row, the used counter and the owed answer are one transaction; only after it may the message be
acknowledged, and `receive` returns only then. An emergency stop acts first and is recorded after.

Covers: retained, unsigned, altered, foreign, expired, replayed, oversized and malformed commands, also across a
restart; a flood of them (recorded sparingly). Does not cover: a controller whose key was stolen; revocation comes
with the trust issue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Final, NamedTuple

from appliance.agent.refusals import Codes, Refused, Sparing
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import COMMANDS, MAY, Enrolment, Role
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    MAX_COMMAND_BYTES,
    MAX_LIFETIME_S,
    Ack,
    AskBody,
    CallBody,
    Command,
    LifeCycle,
    PingBody,
    Response,
    Signed,
    StopBody,
    TrustBody,
    UpdateBody,
    parse_payload,
    parse_signed,
    payload_of,
    right_of,
)
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Ask, Body, Call, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.topics import EVERY_DEVICE, ROOT, Channel, Topic
from appliance.errors import MalformedTopic, StorageError, WireError
from appliance.storage import counters, database, inbox, replies, updates
from appliance.storage.database import Database
from appliance.transport.mqtt import Incoming
from appliance.trust.keys import PublicKey
from appliance.trust.signature import holds

GROUP_JITTER_S: Final = 5.0

NOT_YET: Final = frozenset({"set-config", "release", "export-audit", "diagnose"})
"""Commands of the protocol that this version answers with 501."""

CLOCK_SKEW_S: Final = 300
"""How far ahead a controller's clock may be."""


_ACTS: Final = (AskBody, CallBody, UpdateBody)
"""Bodies that change something, and that no broker may hand over late."""

_LAWFUL: Final = {Role.KEEPER: Role.OPERATOR}
"""What a law takes a role for: whoever keeps the bundles has no more to say about doors."""


class Answer(NamedTuple):
    """An answer that is not kept: to a message that was refused."""

    topic: str
    correlation: bytes
    response: Response


class Downlink:
    """Judges whatever arrives; one thread calls it."""

    def __init__(
        self,
        *,
        db: Database,
        enrolment: Enrolment,
        nonce: str,
        clock: Clock,
        refuse: Callable[[str, JsonObject], None],
        emergency: Callable[[str, str], None],
        wake: Callable[[], None],
        chance: Random,
        trust: Callable[[bytes, str], Accepted | NotAdmitted] | None = None,
        update: Callable[[], None] | None = None,
    ) -> None:
        """Keep what is handed in.

        Args:
            trust: takes a root of trust or a revocation list.
            update: wakes whoever carries out updates; a device without takes none.
        """
        self._db = db
        self._site = enrolment.site
        self._device = enrolment.device
        self._epoch = database.epoch(db)
        self._keys = {key.key_id: key for key in (PublicKey.from_hex(c.public_key) for c in enrolment.controllers)}
        self._roles = {PublicKey.from_hex(c.public_key).key_id: c.role for c in enrolment.controllers}
        self._names = {PublicKey.from_hex(c.public_key).key_id: c.name for c in enrolment.controllers}
        self._group_prefix = f"{ROOT}/{enrolment.site}/{EVERY_DEVICE}/{Channel.CMD}/"
        self._nonce = nonce
        self._chance = chance
        self._clock = clock
        self._refuse = Sparing(refuse, clock.monotonic_s)
        self._emergency = emergency
        self._trust = trust
        self._update = update
        self._wake = wake

    def receive(self, message: Incoming) -> Answer | Ack | None:
        """Take one message; when this returns, it may be acknowledged to the broker.

        Returns:
            An answer to a refused message, or a controller's acknowledgement; accepted commands are answered through
            the `replies` table.

        Raises:
            StorageError: it could not be kept; the broker must deliver it again.
        """
        try:
            topic = Topic.parse(message.topic)
            match topic.channel:
                case Channel.CMD:
                    self._command(topic, message)
                    return None
                case Channel.ACK:
                    return self._acknowledgement(topic, message)
                case _:
                    raise Refused(Codes.UNEXPECTED, f"a device takes no {topic.channel}")
        except Refused as refused:
            return self._say_no(message, refused)
        except WireError as error:
            return self._say_no(message, Refused(Codes.MALFORMED, str(error)))

    def _command(self, topic: Topic, message: Incoming) -> None:
        self._check_form(topic, message)
        signed = parse_signed(message.payload, limit_bytes=MAX_COMMAND_BYTES)
        self._check_signer(signed)
        if topic.name in NOT_YET:
            raise Refused(Codes.NOT_YET, f"{topic.name!r} is not in this version", signed.key)
        if topic.name not in COMMANDS:
            raise Refused(Codes.UNKNOWN_COMMAND, f"no command is called {topic.name!r}", signed.key)
        command = parse_payload(signed, Command)
        answer_to = self._check_address(topic, message, command, signed)
        request_id = request_id_of(command)
        mark = digest(signed.payload)
        try:
            owed = replies.find(self._db, request_id)
            used = counters.look(self._db, command.issuer, command.counter)
        except StorageError:
            if isinstance(command.body, StopBody):
                self._emergency(command.body.reason, command.issuer)  # a broken disk must not keep outputs on
            raise
        if owed is not None:
            if owed.digest != mark:
                raise Refused(Codes.CORRELATION_REUSED, "this correlation belongs to another command", signed.key)
            replies.again(self._db, request_id)
            return
        self._check_time(command)
        self._check_counter(used, command)
        self._keep(command, request_id, mark, answer_to)

    def _check_form(self, topic: Topic, message: Incoming) -> None:
        if topic.site != self._site or topic.device not in (self._device, EVERY_DEVICE):
            raise Refused(Codes.WRONG_AUDIENCE, "this topic is another device's")
        if message.retained:
            raise Refused(Codes.RETAINED, "a command must not be retained: it would be obeyed again at every start")
        if len(message.payload) > MAX_COMMAND_BYTES:
            raise Refused(Codes.OVERSIZED, f"{len(message.payload)} bytes; at most {MAX_COMMAND_BYTES}")
        if message.correlation is None or len(message.correlation) != CORRELATION_BYTES:
            raise Refused(Codes.NO_CORRELATION, f"correlation data of {CORRELATION_BYTES} bytes is required")
        if self._own_response_topic(message) is None:
            raise Refused(Codes.NO_RESPONSE_TOPIC, "a response topic in the device's own subtree is required")
        if message.expiry_s is None:
            raise Refused(Codes.NO_EXPIRY, "the message expiry interval is required")

    def _check_signer(self, signed: Signed) -> None:
        key = self._keys.get(signed.key)
        if key is None:
            raise Refused(Codes.UNKNOWN_ISSUER, f"{signed.key} is not enrolled here")
        if not holds(signed, key):
            raise Refused(Codes.BAD_SIGNATURE, "the signature does not hold", signed.key)

    def _check_address(self, topic: Topic, message: Incoming, command: Command, signed: Signed) -> Topic:
        assert message.correlation is not None
        own = self._own_response_topic(message)
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
        if (right := right_of(command.body)) not in MAY[self._roles[signed.key]]:
            role = self._roles[signed.key]
            raise Refused(Codes.ROLE, f"a key in the role {role} may not {right}", signed.key)
        if topic.device == EVERY_DEVICE and isinstance(command.body, _ACTS):
            raise Refused(Codes.NOT_YET, "group commands that act are not in this version", signed.key)
        return own

    def _check_time(self, command: Command) -> None:
        issued, expires, issuer = command.issued_at, command.expires_at, command.issuer
        if not timedelta(0) < expires - issued <= timedelta(seconds=MAX_LIFETIME_S):
            raise Refused(Codes.BAD_LIFETIME, f"good for more than {MAX_LIFETIME_S} s, or for none", issuer)
        if command.nonce is not None and command.nonce != self._nonce:
            raise Refused(Codes.WRONG_NONCE, "made for an earlier start of this device", issuer)
        if not self._clock.is_trusted():
            if command.nonce is None and isinstance(command.body, _ACTS):
                text = "this device does not know the time: quote the nonce of its state"
                raise Refused(Codes.NONCE_NEEDED, text, issuer)
            return
        now = self._clock.now()
        if expires <= now:
            raise Refused(Codes.EXPIRED, f"expired at {expires.isoformat()}", issuer)
        if issued > now + timedelta(seconds=CLOCK_SKEW_S):
            raise Refused(Codes.FROM_THE_FUTURE, f"issued at {issued.isoformat()}, it is {now.isoformat()}", issuer)

    @staticmethod
    def _check_counter(verdict: counters.Verdict, command: Command) -> None:
        if verdict != "new":
            said = "was used before" if verdict == "used" else "is too old"
            raise Refused(Codes.REPLAY, f"counter {command.counter} {said}", command.issuer)

    def _keep(self, command: Command, request_id: RequestId, mark: str, answer_to: Topic) -> None:
        life: LifeCycle = "received"
        status, code, text = 202, "received", "Received."
        match command.body:
            case StopBody(reason=reason):
                self._emergency(reason, command.issuer)
                life, status, code, text = "executed", 200, "stopped", "Stopped: every output is safe."
            case PingBody():
                life, status, code, text = "executed", 200, "pong", "Here."
            case TrustBody(document=document):
                life, status, code, text = self._trusted(document, command.issuer)
            case UpdateBody() if self._update is None:
                raise Refused(Codes.NOT_YET, "this device takes no updates by network", command.issuer)
            case UpdateBody() if updates.find(self._db) is not None:
                life, status, code, text = "rejected", 409, "busy", "Another update is under way; wait for its end."
            case _:
                pass
        response = self._response(command.correlation, life, status, code, text, request_id)
        final = life != "received"
        # A whole site that answers at once would be a flood.
        not_before = None
        if command.audience == EVERY_DEVICE:
            not_before = self._clock.now() + timedelta(seconds=self._chance.uniform(0.0, GROUP_JITTER_S))
        with self._db.atomic():
            self._check_counter(counters.use(self._db, command.issuer, command.counter), command)
            if isinstance(command.body, UpdateBody) and not final:
                updates.put(self._db, self._wanted(command, command.body, request_id))
            elif not final:
                inbox.submit(self._db, self._request(command, request_id))
            replies.open_for(
                self._db,
                request_id,
                topic=str(answer_to),
                correlation=command.correlation,
                digest=mark,
                not_before=not_before,
                response=payload_of(response),
                final=final,
            )
        if isinstance(command.body, UpdateBody) and self._update is not None:
            self._update()
        elif not final:
            self._wake()

    def _trusted(self, document: str, issuer: str) -> tuple[LifeCycle, int, str, str]:
        """Have a document taken; twice is as once, so that it may be brought again after a power cut."""
        if self._trust is None:
            raise Refused(Codes.NOT_YET, "this device takes no documents by network", issuer)
        answer = self._trust(document.encode(), issuer)
        if isinstance(answer, NotAdmitted):
            return "rejected", 409, answer.code, answer.reason
        return "executed", 200, "accepted", f"{answer.kind} {answer.number} is in force."

    def _wanted(self, command: Command, body: UpdateBody, request_id: RequestId) -> updates.Wanted:
        return updates.Wanted(
            request_id=request_id,
            peer=f"controller:{command.issuer} name:{self._names[command.issuer]}",
            action=body.action,
            name=body.delivery or body.bundle or "",
            expires_at=command.expires_at if self._clock.is_trusted() else None,
        )

    def _request(self, command: Command, request_id: RequestId) -> Request:
        body: Body
        if isinstance(command.body, AskBody):
            body = Ask(text=command.body.text)
        else:
            assert isinstance(command.body, CallBody)
            call = ToolCall(tool=command.body.tool, literals=command.body.arguments)
            body = Call(call=call, because=command.body.because)
        origin = Origin(
            kind=OriginKind.CONTROLLER,
            peer=command.issuer,
            role=_LAWFUL.get(self._roles[command.issuer], self._roles[command.issuer]).value,
            correlation=command.correlation,
            reply_to=command.response_topic,
            # Without a trusted clock the expiry cannot be compared with anything; the boot nonce bounded it.
            expires_at=command.expires_at if self._clock.is_trusted() else None,
        )
        return Request(request_id=request_id, received_at=self._clock.now(), origin=origin, body=body)

    def _acknowledgement(self, topic: Topic, message: Incoming) -> Ack | None:
        if message.retained:
            raise Refused(Codes.RETAINED, "an acknowledgement must not be retained")
        if topic.site != self._site or topic.device != self._device:
            raise Refused(Codes.WRONG_AUDIENCE, "this topic is another device's")
        signed = parse_signed(message.payload, limit_bytes=MAX_COMMAND_BYTES)
        self._check_signer(signed)
        ack = parse_payload(signed, Ack)
        if ack.audience != self._device or ack.issuer != signed.key:
            raise Refused(Codes.WRONG_AUDIENCE, f"made for {ack.audience!r}", signed.key)
        if "ack" not in MAY[self._roles[signed.key]]:
            raise Refused(Codes.ROLE, f"a key in the role {self._roles[signed.key]} may not acknowledge", signed.key)
        # One for an earlier epoch was under way when the database was replaced: true once, without effect now.
        return ack if ack.epoch == self._epoch else None

    def _own_response_topic(self, message: Incoming) -> Topic | None:
        try:
            topic = Topic.parse(message.response_topic or "")
        except MalformedTopic:
            return None
        if topic.site != self._site or topic.channel is not Channel.RSP:
            return None
        to_all = topic.device == EVERY_DEVICE and message.topic.startswith(self._group_prefix)
        return topic._replace(device=self._device) if to_all or topic.device == self._device else None

    def _say_no(self, message: Incoming, refused: Refused) -> Answer | None:
        self._refuse(
            refused.code.word,
            {
                "status": refused.code.status,
                "text": refused.text,
                "topic": message.topic[:256],
                "issuer": refused.issuer,
                "bytes": len(message.payload),
                "sha256": hashlib.sha256(message.payload).hexdigest(),
            },
        )
        correlation = message.correlation
        if correlation is None or len(correlation) != CORRELATION_BYTES:
            return None
        own = self._own_response_topic(message)
        if own is None:
            return None
        life: LifeCycle = "expired" if refused.code is Codes.EXPIRED else "rejected"
        response = self._response(correlation.hex(), life, refused.code.status, refused.code.word, refused.text, None)
        return Answer(str(own), correlation, response)

    def _response(
        self, correlation: str, life: LifeCycle, status: int, code: str, text: str, request_id: str | None
    ) -> Response:
        return Response(
            device=self._device,
            correlation=correlation,
            request_id=request_id,
            life=life,
            status=status,
            code=code,
            text=text[:500],
            at=self._clock.now(),
        )


def request_id_of(command: Command) -> RequestId:
    """Return the id of a command's request: the same command, delivered twice, is the same request."""
    name = canonical([command.issuer, command.correlation])
    return RequestId(f"fleet-{hashlib.sha256(name).hexdigest()[:32]}")
