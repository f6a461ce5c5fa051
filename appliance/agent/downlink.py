"""A message from afar to an inbox row, an errand, an update or a deed, or to a refusal that is recorded and answered.

Order: the row, the used counter and the owed answer are one transaction; the numbers that must outlive the database
follow; only after both may the message be acknowledged, and `receive` returns only then. An emergency stop acts first
and is recorded after. A broker and a stick end here alike.

Covers: what `downlink_checks` refuses, replays, also across a restart and a lost database; a flood of refusals
(recorded sparingly). Does not cover: a controller whose key was stolen and is not revoked yet.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from appliance.agent import updating
from appliance.agent.commands import deeds, errands, requests
from appliance.agent.commands.configuring import Configuring
from appliance.agent.commands.deeds import Doer, Done
from appliance.agent.commands.errands import Errands
from appliance.agent.commands.table import Kind
from appliance.agent.downlink_checks import Checks
from appliance.agent.downlink_memory import Memory
from appliance.agent.refusals import Codes, Refused, Sparing
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    Ack,
    Command,
    Desired,
    LifeCycle,
    PingBody,
    Response,
    StopBody,
    payload_of,
)
from appliance.contracts.record import JsonObject
from appliance.contracts.request import RequestId
from appliance.contracts.topics import EVERY_DEVICE, Channel, Topic
from appliance.errors import ApplianceError, StorageError, WireError
from appliance.storage import database, inbox, outbox, replies, updates
from appliance.storage.counters import Verdict
from appliance.storage.database import Database
from appliance.transport.mqtt import Incoming


class Answer(NamedTuple):
    """An answer that is not kept: to a message that was refused."""

    topic: str
    correlation: bytes
    response: Response


class Downlink:
    """Judges whatever arrives, from whichever thread; one message at a time."""

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
        owed: Errands | None = None,
        configuring: Configuring | None = None,
        record: Callable[[JsonObject], None] = lambda _facts: None,
        floors: Path | None = None,
    ) -> None:
        """Keep what is given.

        Args:
            trust: takes documents of trust.
            update: wakes whoever carries out updates; a device without takes none.
            owed: carries out commands that take their time.
            configuring: takes configurations.
            record: writes what came of a command that is no request.
            floors: the file of what outlives the database.
        """
        self._db = db
        self._device = enrolment.device
        self._epoch = database.epoch(db)
        self.memory = Memory(db, enrolment, clock, floors)
        self._checks = Checks(enrolment, self.memory, nonce, clock)
        self._chance = chance
        self._clock = clock
        self._refuse = Sparing(db, refuse, clock)
        self._emergency = emergency
        self._doers: dict[str, Doer] = {}
        if trust is not None:
            self._doers["trust"] = deeds.trusting(trust)
        if configuring is not None:
            self._doers["set-config"] = configuring.command
        self._update = update
        self._owed = owed
        self._configuring = configuring
        self._record = record
        self._wake = wake
        self._deaf_to: set[str] = set()
        """Keys without the right to acknowledge whose first attempt since the start was refused, and recorded."""

        self._one_at_a_time = threading.Lock()
        self.memory.open()

    def receive(self, message: Incoming) -> Answer | Ack | None:
        """Take one message; when this returns, it may be acknowledged to whoever brought it.

        Returns:
            An answer to a refused message, or a controller's acknowledgement; accepted commands are answered through
            the `replies` table.

        Raises:
            StorageError: it could not be kept; it must be delivered again.
        """
        with self._one_at_a_time:
            try:
                topic = Topic.parse(message.topic)
                match topic.channel:
                    case Channel.CMD:
                        self._command(topic, message)
                        return None
                    case Channel.ACK:
                        ack = self._checks.acknowledgement(topic, message)
                        # One for an earlier epoch was under way when the database was replaced: without effect now.
                        return ack if ack.epoch == self._epoch else None
                    case Channel.DESIRED:
                        self._desired(self._checks.desired(topic, message))
                        return None
                    case _:
                        raise Refused(Codes.UNEXPECTED, f"a device takes no {topic.channel}")
            except Refused as refused:
                if refused.code is Codes.ROLE and topic.channel is Channel.ACK and refused.issuer is not None:
                    # A record for each of them would be a record to acknowledge, for ever.
                    if refused.issuer in self._deaf_to:
                        return None
                    self._deaf_to.add(refused.issuer)
                return self._say_no(message, refused)
            except WireError as error:
                return self._say_no(message, Refused(Codes.MALFORMED, str(error)))

    def settle(self) -> None:
        """Record how many refusals had no record of their own, when their minute is over; to be called often.

        Raises:
            StorageError: it cannot be written; the next call tries again.
        """
        with self._one_at_a_time:
            self._refuse.settle()

    def is_news(self, message: Incoming) -> bool:
        """Tell whether *message* would be obeyed now, and was not before; nothing of it is."""
        with self._one_at_a_time:
            try:
                topic = Topic.parse(message.topic)
                match topic.channel:
                    case Channel.CMD:
                        kind, command, _, _ = self._checks.command(topic, message)
                        self._checks.time(kind, command)
                        return self.memory.look(command) == "new"
                    case Channel.ACK:
                        ack = self._checks.acknowledgement(topic, message)
                        return ack.epoch == self._epoch and ack.upto > outbox.mark(self._db, ack.stream).acked
                    case Channel.DESIRED:
                        wanted = self._checks.desired(topic, message)
                        return self._configuring is not None and not self._configuring.knows(wanted)
                    case _:
                        return False
            except (Refused, WireError):
                return False

    def _command(self, topic: Topic, message: Incoming) -> None:
        kind, command, signed, answer_to = self._checks.command(topic, message)
        request_id = request_id_of(command)
        mark = digest(signed.payload)
        try:
            owed = replies.find(self._db, request_id)
            used = self.memory.look(command)
        except StorageError:
            if isinstance(command.body, StopBody):
                self._emergency(command.body.reason, command.issuer)  # a broken disk must not keep outputs on
            raise
        if owed is not None:
            if owed.digest != mark:
                raise Refused(Codes.CORRELATION_REUSED, "this correlation belongs to another command", signed.key)
            replies.again(self._db, request_id)
            self.memory.keep()
            return
        self._checks.time(kind, command)
        _check_counter(used, command)
        self._carry_out(kind, command, request_id, mark, answer_to, self._checks.until(command, message))

    def _carry_out(
        self, kind: Kind, command: Command, request_id: RequestId, mark: str, answer_to: Topic, until: datetime
    ) -> None:
        """Do it or keep it, and owe the answer."""
        done = Done("received", 202, "received", "Received.")
        if kind.way == "now":
            done = self._now(command)
        elif kind.way == "errand" and (self._owed is None or not self._owed.knows(kind.name)):
            raise Refused(Codes.NOT_YET, f"this device cannot do {kind.name!r}", command.issuer)
        elif kind.way == "update" and self._update is None:
            raise Refused(Codes.NOT_YET, "this device takes no updates by network", command.issuer)
        elif kind.way == "update" and updates.find(self._db) is not None:
            done = deeds.no(409, "busy", "Another update is under way; wait for its end.")
        final = done.life != "received"
        now = self._clock.now()
        # A whole site that answers at once would be a flood.
        spread_s = self._chance.uniform(0.0, command.spread_s) if command.audience == EVERY_DEVICE else None
        with self._db.atomic():
            _check_counter(self.memory.use(command), command)
            if kind.way == "request":
                request = requests.request(command, request_id, self._checks.roles[command.issuer], now, until)
                inbox.submit(self._db, request)
            elif kind.way == "errand":
                replies.owe_errand(self._db, request_id, payload_of(command), until)
            elif kind.way == "update" and not final:
                who = self._checks.names[command.issuer]
                updates.put(self._db, updating.wanted_of(command, request_id, who, until))
            elif not isinstance(command.body, PingBody | StopBody):  # nothing happened, or it has a record of its own
                self._record(errands.told(command, request_id, done))
            replies.open_for(
                self._db,
                request_id,
                topic=str(answer_to),
                correlation=command.correlation,
                digest=mark,
                not_before=None if spread_s is None else now + timedelta(seconds=spread_s),
                response=payload_of(self._response(command.correlation, done, request_id)),
                final=final,
            )
        self.memory.keep()
        if kind.way == "errand" and self._owed is not None:
            self._owed.wake()
        elif kind.way == "update" and self._update is not None:
            self._update()
        elif not final:
            self._wake()

    def _now(self, command: Command) -> Done:
        match command.body:
            case StopBody(reason=reason):
                self._emergency(reason, command.issuer)
                return Done("executed", 200, "stopped", "Stopped: every output is safe.")
            case PingBody():
                return Done("executed", 200, "pong", "Here.")
            case _ as body:
                doer = self._doers.get(body.kind)
        if doer is None:
            raise Refused(Codes.NOT_YET, f"this device cannot do {command.body.kind!r}", command.issuer)
        try:
            return doer(command)
        except StorageError:
            raise
        except ApplianceError as error:
            return Done("failed", 500, "failed", str(error))

    def _desired(self, wanted: Desired) -> None:
        if self._configuring is None:
            raise Refused(Codes.NOT_YET, "this device cannot be configured from afar", wanted.issuer)
        if self._configuring.knows(wanted):
            return
        done = self._configuring.take(wanted)
        self.memory.keep()
        facts: JsonObject = {"command": "desired", "issuer": wanted.issuer, "life": done.life}
        self._record({**facts, "status": done.status, "code": done.code, **done.facts})

    def _say_no(self, message: Incoming, refused: Refused) -> Answer | None:
        self._refuse(
            refused,
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
        own = self._checks.own_response_topic(message)
        if own is None:
            return None
        life: LifeCycle = "expired" if refused.code is Codes.EXPIRED else "rejected"
        done = Done(life, refused.code.status, refused.code.word, refused.text)
        return Answer(str(own), correlation, self._response(correlation.hex(), done, None))

    def _response(self, correlation: str, done: Done, request_id: str | None) -> Response:
        return Response(
            device=self._device,
            correlation=correlation,
            request_id=request_id,
            life=done.life,
            status=done.status,
            code=done.code,
            text=done.text[:500],
            result=done.result,
            at=self._clock.now(),
        )


def request_id_of(command: Command) -> RequestId:
    """Return the id of a command's request: the same command, delivered twice, is the same request."""
    name = canonical([command.issuer, command.correlation])
    return RequestId(f"fleet-{hashlib.sha256(name).hexdigest()[:32]}")


def _check_counter(verdict: Verdict, command: Command) -> None:
    if verdict != "new":
        said = "was used before" if verdict == "used" else "is too old"
        raise Refused(Codes.REPLAY, f"counter {command.counter} {said}", command.issuer)
