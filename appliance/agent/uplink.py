"""The outbox to the broker: one thread, one session, state first, answers next, then the ledger, then events.

Covers: a broker that is absent, silent, or forgets us; a restart at any point (whatever was not acknowledged by a
controller is sent again); a full disk; more than may wait (`rationing`). Memory does not grow with the backlog: it
stays in the database. Does not cover: what a controller does with it.
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
from appliance.agent.rationing import Limits, Ration
from appliance.agent.replying import advance
from appliance.agent.sharing import Public, Share
from appliance.agent.standing import Standing
from appliance.agent.streams import Drain
from appliance.agent.upkeep import Upkeep
from appliance.contracts.canonical import digest
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import MAX_MESSAGE_BYTES, Ack, DeviceWord, Reported, Response
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

FOURTH: Final = 4
TURNS: Final[tuple[tuple[Stream, Stream], tuple[Stream, Stream]]] = (("audit", "evt"), ("evt", "audit"))
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

    pack_from_bytes: int = Field(default=1024, ge=0, le=MAX_MESSAGE_BYTES)
    """Batches from this size on travel as gzip; 0 sends everything as readable text."""

    event_rows: int = Field(default=1_000_000, ge=100, le=100_000_000)
    """Events that may wait for a controller; beyond it the oldest are dropped, and the ledger says which."""

    event_mb: int = Field(default=512, ge=1, le=100_000)
    """The same, by size."""

    event_days: int = Field(default=90, ge=0, le=36_500)
    """The same, by age, counted only while the clock is trusted; 0 is no bound."""

    ledger_rows: int = Field(default=1_000_000, ge=100, le=100_000_000)
    """Records of the ledger that may wait before the device calls itself degraded; they are never dropped."""

    ledger_mb: int = Field(default=1024, ge=1, le=1_000_000)
    """The same, by size."""

    ledger_days: int = Field(default=30, ge=0, le=36_500)
    """The same, by age; 0 is no bound."""


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
        trouble: Callable[[str, str | None], None] = lambda _part, _text: None,
        report: Callable[[], Reported] | None = None,
    ) -> None:
        self._db = db
        self._enrolment = enrolment
        self._announcer = Announcer(
            db=db,
            enrolment=enrolment,
            identity=identity,
            boot=boot,
            nonce=nonce,
            clock=clock,
            pack_from_bytes=settings.pack_from_bytes,
        )
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
            report=report,
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
        self._dates_checked = True
        self._turns_n = 0
        self._upkeep = Upkeep(
            db,
            enrolment.broker,
            clock=clock,
            ration=_ration(db, clock, settings, is_taken=enrolment.is_collected),
            note=note,
            trouble=trouble,
        )
        self._stopping = threading.Event()
        self._link: Link | None = None
        self._drains: dict[Stream, Drain] = {}
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin, on a thread of its own; returns at once whatever the broker does."""
        self.open()
        self._thread.start()

    def open(self) -> Link:
        """Prepare to be turned by a loop of the caller's own, as `start` does for itself; connects to nothing yet."""
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
                pack_from_bytes=self._settings.pack_from_bytes,
                too_long=partial(self._note, "a record was too long for the broker"),
                foreign=partial(self._note, "an acknowledgement of another history"),
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
            monotonic=self._clock.monotonic_s,
            time_trusted=self._clock.is_trusted,
        )
        return self._link

    def turn(self, wait_s: float) -> bool:
        """Move the connection on and send what there is room for; one thread calls it.

        Returns:
            Whether there is more to send at once.
        """
        link = self._link
        assert link is not None
        self._take_identity(link)
        self._upkeep.look(link)
        self._downlink.settle()
        link.step(wait_s)
        return link.connected and self._work(link)

    def farewell(self) -> None:
        """Say `disconnected` if the broker listens, and close."""
        link = self._link
        assert link is not None
        said = None
        if link.connected:
            said = self._announcer.state_message(self._announcer.state("disconnected", self._session))
        link.close(said)

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

    def reconfigured(self) -> None:
        """Say that the configuration is to be reported again; any thread may."""
        self._standing.reconfigured()
        self.wake()

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
        refused = None if link is None else link.trouble
        return {
            "enrolled": True,
            "broker": f"{broker.host}:{broker.port}",
            "connected": link is not None and link.connected,
            "sessions": self._session,
            "last_loss": self._last_loss,
            "refused": None if refused is None else {"code": refused.code, "why": refused.words},
            "then": None if refused is None else refused.treatment.value,
            "dates_checked": self._dates_checked,
            **self._upkeep.facts(),
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
                busy = self.turn(0.0 if busy else self._settings.poll_s)
            except StorageError as error:
                _log.warning("uplink waits for the database", exc_info=error)
                busy = False
                self._stopping.wait(_FAULT_PAUSE_S)
            except Exception as error:  # noqa: BLE001 -- the thread that keeps the fleet informed must not die
                _log.exception("uplink fault")
                link.refuse_session(f"fault: {type(error).__name__}")
                busy = False
                self._stopping.wait(_FAULT_PAUSE_S)
        self.farewell()

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
        advance(self._db, self._device, self._clock.now())
        if link.room == 0:
            return False  # nothing is written and signed that cannot leave
        self._standing.tell(link, self._session, self._limit_bytes)
        while self._refusals and self._refuse_next(link):
            self._refusals.popleft()
        self._send_replies(link)
        # The ledger goes first; every fourth time events do, so that a long ledger never starves them.
        self._turns_n += 1
        first, second = TURNS[self._turns_n % FOURTH == 0]
        more = self._send_batch(link, first)
        return self._send_batch(link, second) or more

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

    def _send_batch(self, link: Link, stream: Stream) -> bool:
        # What nobody may acknowledge would be sent again and again, and never be more than the first window of it.
        if link.room == 0 or not self._enrolment.is_collected:
            return False
        drain = self._drains[stream]
        batch = drain.next_batch(self._limit_bytes)
        if batch is None:
            return False
        drain.mark_sent(batch)
        if not link.publish(self._announcer.batch_message(batch), lambda taken: None if taken else drain.rewind()):
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
        self._dates_checked = opened.dates_checked
        self._standing.opened()
        self._sending.clear()
        for drain in self._drains.values():
            drain.rewind()
        _log.info("connected to the broker")
        if not opened.session_present:
            # Commands that waited at the broker are gone, if there were any: the controllers must know.
            self._note("session_new", {"session": self._session, "boot": self._boot})

    def _lost(self, reason: str) -> None:
        if reason != self._last_loss:
            _log.info("no connection to the broker")
        self._last_loss = reason
        self._sending.clear()

    def _reply_settled(self, owed: replies.Owed, taken: bool) -> None:  # noqa: FBT001 -- the link's callback
        self._sending.discard(owed.request_id)
        if taken:
            replies.sent(self._db, owed)
            self._answers_sent_n += 1
            if self._answers_sent_n % 100 == 0:
                replies.prune(self._db, keep_n=KEPT_REPLIES_N)


def _ration(db: Database, clock: Clock, settings: UplinkSettings, *, is_taken: bool) -> Ration:
    return Ration(
        db,
        clock,
        events=Limits(settings.event_rows, settings.event_mb * 2**20, settings.event_days),
        ledger=Limits(settings.ledger_rows, settings.ledger_mb * 2**20, settings.ledger_days) if is_taken else None,
    )


def _ignored(_taken: bool) -> None:  # noqa: FBT001 -- the link's callback
    """Let an answer to a refused message go, taken or not."""
