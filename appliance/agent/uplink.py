"""The outbox to the broker: one thread, one session, state first, answers next, then the ledger, then events.

Covers: a broker that is absent, silent, or forgets us; a restart at any point (whatever was not acknowledged by a
controller is sent again); a full disk. Memory does not grow with the backlog: it stays in the database. Does not
cover: pruning of the outbox.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from pydantic import Field

from appliance.agent import sharing
from appliance.agent.announcing import Announcer, Description, Identity
from appliance.agent.downlink import Answer, Downlink
from appliance.agent.replying import advance
from appliance.agent.sharing import Public, Share
from appliance.agent.standing import Standing
from appliance.agent.streams import Drain
from appliance.contracts.canonical import digest
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import MAX_MESSAGE_BYTES, Ack, DeviceWord, Response
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.topics import device_filters
from appliance.errors import LinkError, StorageError
from appliance.storage import database, meta, replies
from appliance.storage.database import Database
from appliance.storage.outbox import Stream
from appliance.transport.mqtt import Incoming, Link, Opened
from appliance.trust.keys import PublicKey

_log = logging.getLogger(__name__)

KEPT_REFUSALS_N: Final = 64
"""Answers to refused messages that wait for room; the oldest give way."""

KEPT_REPLIES_N: Final = 5000
_FAULT_PAUSE_S: Final = 1.0


class UplinkSettings(Record):
    """How eagerly the outbox is drained."""

    batch_n: int = Field(default=100, ge=1, le=1000)
    """Records in one message, at most."""

    window_n: int = Field(default=2000, ge=1, le=100_000)
    """Records of a stream that may be on their way without an acknowledgement."""

    in_flight_n: int = Field(default=16, ge=4, le=64)
    """Messages that the broker may hold unconfirmed."""

    ack_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    """Without an acknowledgement for this long, the window is sent again; doubling to 15 minutes."""

    state_every_s: float = Field(default=300.0, gt=0, le=86_400)
    """The state is published again at least this often, changed or not."""

    poll_s: float = Field(default=0.25, gt=0, le=10)
    """How soon something new is noticed when nobody calls `wake`."""

    stop_s: float = Field(default=5.0, gt=0, le=60)
    """How long `stop` waits for the farewell."""


class Uplink:
    """Keeps the controllers informed, and hands what they say to the downlink; the constructor opens nothing."""

    def __init__(
        self,
        *,
        db: Database,
        enrolment: Enrolment,
        identity: Identity,
        downlink: Downlink,
        settings: UplinkSettings,
        boot: int,
        nonce: str,
        clock: Clock,
        status: Callable[[], DeviceWord],
        describe: Callable[[], Description],
        note: Callable[[str, JsonObject], None],
        checkpoint: Callable[[], str | None],
        chance: Random,
        share: Share = "decisions",
        public: Public = lambda _tool, _arguments: {},
    ) -> None:
        self._db = db
        self._enrolment = enrolment
        self._announcer = Announcer(db=db, enrolment=enrolment, identity=identity, boot=boot, nonce=nonce, clock=clock)
        self._downlink = downlink
        self._settings = settings
        self._boot = boot
        self._clock = clock
        self._standing = Standing(
            self._announcer,
            clock=clock,
            status=status,
            describe=describe,
            checkpoint=checkpoint,
            state_every_s=settings.state_every_s,
        )
        self._note = note
        self._chance = chance
        self._share: Share = share
        self._public = public
        self._epoch = database.epoch(db)
        self._site, self._device = enrolment.site, enrolment.device
        self._session = 0
        self._limit_bytes = MAX_MESSAGE_BYTES
        self._next_identity: Identity | None = None
        self._refusals: deque[Answer] = deque(maxlen=KEPT_REFUSALS_N)
        self._sending: set[str] = set()
        self._answers_sent_n = 0
        self._last_loss = ""
        self._stopping = threading.Event()
        self._link: Link | None = None
        self._drains: dict[Stream, Drain] = {}
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own; returns at once whatever the broker does."""
        self._note_enrolment()
        for stream in ("audit", "evt"):
            self._drains[stream] = Drain(
                self._db,
                stream,
                device=self._device,
                epoch=self._epoch,
                batch_n=self._settings.batch_n,
                window_n=self._settings.window_n,
                ack_timeout_s=self._settings.ack_timeout_s,
                monotonic_s=self._clock.monotonic_s,
                share=self._share,
            )
        self._link = Link(
            self._enrolment.broker,
            self._device,
            filters=device_filters(self._site, self._device),
            on_message=self._delivered,
            on_opened=self._opened,
            on_lost=self._lost,
            will=lambda: self._announcer.will(self._session + 1),
            window_n=self._settings.in_flight_n,
            chance=self._chance,
        )
        self._thread.start()

    def stop(self) -> bool:
        """Say `disconnected` if the broker listens, and end.

        Returns:
            Whether it ended in time; a thread that hangs in a handshake is left behind, it keeps nothing open.
        """
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(self._settings.stop_s)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Say that there is something new to send; any thread may."""
        if self._link is not None:
            self._link.wake()

    def rekey(self, identity: Identity) -> None:
        """Sign with another key from the next connection on; any thread may say so.

        The connection is made anew because its last will is signed already; what is left of the old one reaches the
        controller before the statement that replaces the key.
        """
        self._next_identity = identity
        self.wake()

    def facts(self) -> JsonObject:
        """Return how the connection is, for the status; any thread may ask."""
        broker = self._enrolment.broker
        link = self._link
        return {
            "enrolled": True,
            "broker": f"{broker.host}:{broker.port}",
            "connected": link is not None and link.connected,
            "sessions": self._session,
            "last_loss": self._last_loss,
        }

    def _note_enrolment(self) -> None:
        """Record to whom this device belongs, whenever that has changed."""
        mark = digest(self._enrolment.model_dump(mode="json"))
        with self._db.atomic():
            if meta.get(self._db, "enrolment") != mark:
                controllers: JsonObject = {
                    PublicKey.from_hex(c.public_key).key_id: {"name": c.name, "role": c.role.value}
                    for c in self._enrolment.controllers
                }
                facts: JsonObject = {"site": self._site, "device": self._device, "controllers": controllers}
                self._note(
                    "enrolled", {**facts, "broker": f"{self._enrolment.broker.host}:{self._enrolment.broker.port}"}
                )
                meta.put(self._db, "enrolment", mark)

    def _run(self) -> None:
        link = self._link
        assert link is not None
        busy = False
        while not self._stopping.is_set():
            try:
                self._take_identity(link)
                link.step(0.0 if busy else self._settings.poll_s)
                busy = link.connected and self._work(link)
            except StorageError as error:
                _log.warning("uplink waits for the database: %s", error)
                busy = False
                self._stopping.wait(_FAULT_PAUSE_S)
            except Exception as error:  # noqa: BLE001 -- the thread that keeps the fleet informed must not die
                _log.exception("uplink fault")
                link.refuse_session(f"fault: {type(error).__name__}")
                busy = False
                self._stopping.wait(_FAULT_PAUSE_S)
        farewell = None
        if link.connected:
            farewell = self._announcer.state_message(self._announcer.state("disconnected", self._session))
        link.close(farewell)

    def _take_identity(self, link: Link) -> None:
        identity, self._next_identity = self._next_identity, None
        if identity is not None:
            link.refuse_session("the device has a new key")
            self._announcer.rekey(identity)

    def _work(self, link: Link) -> bool:
        """Send what there is room for, most urgent first.

        Returns:
            Whether there is more to send at once.
        """
        self._standing.tell(link, self._session, self._limit_bytes)
        while self._refusals and self._refuse_next(link):
            self._refusals.popleft()
        advance(self._db, self._device, self._clock.now())
        self._send_replies(link)
        # A quarter of the window is left to events, so that a long ledger never starves live data.
        more = self._send_batch(link, "audit", keep_free_n=self._settings.in_flight_n // 4)
        return self._send_batch(link, "evt", keep_free_n=0) or more

    def _refuse_next(self, link: Link) -> bool:
        answer = self._refusals[0]
        return link.publish(self._announcer.response_message(answer.topic, answer.response), _ignored)

    def _send_replies(self, link: Link) -> None:
        for owed in replies.unsent(self._db, self._clock.now(), limit=50):
            if owed.request_id in self._sending:
                continue
            answer = Response.model_validate(owed.response, strict=False)
            told = sharing.answered(self._share, answer, self._public)
            message = self._announcer.response_message(owed.topic, told)
            if not link.publish(message, partial(self._reply_settled, owed)):
                return
            self._sending.add(owed.request_id)

    def _send_batch(self, link: Link, stream: Stream, *, keep_free_n: int) -> bool:
        if link.room <= keep_free_n:
            return False
        drain = self._drains[stream]
        batch = drain.next_batch(self._limit_bytes)
        if batch is None:
            return False
        drain.mark_sent(batch)
        if not link.publish(self._announcer.batch_message(batch), lambda taken: None if taken else drain.refused()):
            return False
        drain.handed_over(batch)
        return True

    def _delivered(self, message: Incoming) -> None:
        try:
            said = self._downlink.receive(message)
            if isinstance(said, Ack):
                self._drains[said.stream].acknowledged(said)
            elif said is not None:
                self._refusals.append(said)
        except StorageError as error:
            raise LinkError(f"a message could not be kept: {error}") from error
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is recorded
            # Left unacknowledged it would come again for ever: one bad message must not hold up all others.
            _log.exception("a message was dropped")
            self._note("message_dropped", {"topic": message.topic[:256], "fault": type(error).__name__})

    def _opened(self, opened: Opened) -> None:
        self._session += 1
        self._limit_bytes = opened.max_message_bytes
        self._standing.opened()
        self._sending.clear()
        for drain in self._drains.values():
            drain.rewind()
        _log.info("connected to %s:%s", self._enrolment.broker.host, self._enrolment.broker.port)
        if not opened.session_present:
            # Commands that waited at the broker are gone, if there were any: the controllers must know.
            self._note("session_new", {"session": self._session, "boot": self._boot})

    def _lost(self, reason: str) -> None:
        if reason != self._last_loss:
            _log.info("no connection: %s", reason)
        self._last_loss = reason
        self._sending.clear()

    def _reply_settled(self, owed: replies.Owed, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        self._sending.discard(owed.request_id)
        if taken:
            replies.sent(self._db, owed)
            self._answers_sent_n += 1
            if self._answers_sent_n % 100 == 0:
                replies.prune(self._db, keep_n=KEPT_REPLIES_N)


def _ignored(_taken: bool) -> None:  # noqa: FBT001 -- the link's callback
    """Let an answer to a refused message go, taken or not."""
