"""What devices publish to the controller's database, and the acknowledgements back.

Order: the rows are committed, then the acknowledgement is signed and sent; the broker gets its own after the commit
as well.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, assert_never

from appliance.contracts.envelope import Ack, Batch, Desc, Response, State, parse_signed
from appliance.contracts.topics import Channel, Topic, controller_filters
from appliance.errors import AlreadyRunning, LinkError, MalformedTopic, StorageError, TrustError, WireError
from appliance.fleet import ingest, ledgers, rekeying
from appliance.fleet.home import FleetHome
from appliance.transport.mqtt import Incoming, Link, Message, Opened
from appliance.trust.keys import PublicKey
from appliance.trust.signature import opened, sealed

_UNKNOWN: Final = "unknown_device"
_PAYLOADS: Final[dict[Channel, type[State | Desc | Batch | Response]]] = {
    Channel.STATE: State,
    Channel.DESC: Desc,
    Channel.AUDIT: Batch,
    Channel.EVT: Batch,
    Channel.RSP: Response,
}


class Shown(NamedTuple):
    """A checkpoint, or a change of key, that holds."""

    what: str


Said = State | Desc | Batch | Response | Shown


class Seen(NamedTuple):
    """Something arrived and was committed."""

    device: str
    said: Said
    new: bool


class Collector:
    """One controller's ear; `step` is called by one thread, which owns the home's database too."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        on_seen: Callable[[Seen], None] = lambda _seen: None,
        on_link: Callable[[str], None] = lambda _said: None,
    ) -> None:
        self._home = home
        self._now = now
        self._on_seen = on_seen
        self._on_link = on_link
        self._acks: dict[tuple[str, str, str], Ack] = {}
        self._keys: dict[str, PublicKey] = {}
        self._link = Link(
            home.broker,
            f"{home.settings.name}-{home.key.key_id}",
            filters=controller_filters(home.settings.site, home.key.key_id),
            on_message=self._delivered,
            on_opened=self._opened,
            on_lost=on_link,
            chance=chance,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._link.connected

    def step(self, wait_s: float) -> None:
        """Take what has arrived, and send the acknowledgements that are due."""
        self._link.step(0.0 if self._acks and self._link.room else wait_s)
        while self._acks and self._link.room:
            place, ack = next(iter(self._acks.items()))
            topic = str(Topic.make(self._home.settings.site, ack.audience, Channel.ACK))
            if not self._link.publish(Message(topic, sealed(self._home.key, ack)), lambda _taken: None):
                return
            del self._acks[place]

    def run(self, stopping: threading.Event) -> None:
        """Collect until *stopping* is set."""
        while not stopping.is_set():
            self.step(0.5)
        self.close()

    def close(self) -> None:
        """Send what is due and disconnect; the session stays, so that the broker keeps what comes."""
        for _ in range(20):
            if not self._acks or not self._link.connected:
                break
            self.step(0.05)
        self._link.close()

    def _opened(self, session: Opened) -> None:
        self._on_link("connected" if session.session_present else "connected, in a new session")
        # Say how far we are: what a device sent while we were away may be lost, and it need not wait for its time-out.
        for row in self._home.db.query(
            "select s.* from streams s join devices d on d.device = s.device and d.epoch = s.epoch"
        ):
            self._owe(row["device"], row["epoch"], row["stream"], int(row["upto"]), resume=False)

    def _delivered(self, message: Incoming) -> None:
        try:
            self._take_or_note(message)
        except (sqlite3.DatabaseError, StorageError) as error:
            raise LinkError(f"a message could not be kept: {error}") from error

    def _take_or_note(self, message: Incoming) -> None:
        try:
            self._take(message)
        except (ValueError, LookupError, TypeError) as error:
            # Left unacknowledged it would come again for ever; what it was is kept with the faults.
            ingest.store_fault(
                self._home, message.topic, "not_understood", f"{type(error).__name__}: {error}", self._now()
            )

    def _take(self, message: Incoming) -> None:
        now = self._now()
        try:
            topic = Topic.parse(message.topic)
        except MalformedTopic as error:
            ingest.store_fault(self._home, "", "malformed_topic", str(error), now)
            return
        key = self._key(topic.device)
        if key is None:
            ingest.store_fault(self._home, topic.device, _UNKNOWN, "it is not enrolled with this controller", now)
            return
        try:
            self._take_from(topic, key, message.payload, now)
        except TrustError as error:
            ingest.store_fault(self._home, topic.device, _what(topic, key, message.payload), str(error), now)
        except WireError as error:
            ingest.store_fault(self._home, topic.device, "malformed", str(error), now)

    def _take_from(self, topic: Topic, key: PublicKey, payload: bytes, now: datetime) -> None:
        match topic.channel:
            case Channel.KEYS:
                self._take_keys(topic.device, key, payload, now)
            case Channel.CHECKPOINT:
                self._take_checkpoint(topic.device, ledgers.read_checkpoint(payload, key), payload, now)
            case channel if channel in _PAYLOADS:
                said = opened(payload, _PAYLOADS[channel], {key.key_id: key})
                if said.device != topic.device:
                    text = f"speaks as {said.device!r}"
                    ingest.store_fault(self._home, topic.device, "wrong_device", text, now)
                    return
                self._keep(said, now)
            case _:
                return

    def _take_keys(self, device: str, known: PublicKey, payload: bytes, now: datetime) -> None:
        present = rekeying.take(self._home, device, known, payload, now)
        if present.raw == known.raw:
            return
        self._keys = self._home.device_keys()
        self._on_seen(Seen(device, Shown(f"key {known.key_id} was replaced by {present.key_id}"), new=True))
        # Whatever came before this with the new key was refused: have it again at once.
        for row in self._home.db.query("select * from streams where device = ?", [device]):
            self._owe(device, row["epoch"], row["stream"], int(row["upto"]), resume=True)

    def _take_checkpoint(self, device: str, said: ledgers.Root, payload: bytes, now: datetime) -> None:
        with self._home.writing():
            new = ledgers.take_checkpoint(self._home, device, said, payload.decode(), now)
            upto = ingest.reached(self._home, device, said.epoch, "audit")
            faults = ledgers.settle(self._home, device, said.epoch, upto) if new else []
        for fault in faults:
            ingest.store_fault(self._home, device, fault.what, fault.text, now)
        text = f"checkpoint of {said.size} records, root {said.root.hex()[:16]}"
        self._on_seen(Seen(device, Shown(f"{text}{', FORKED' if faults else ''}"), new))

    def _keep(self, said: State | Desc | Batch | Response, now: datetime) -> None:
        new = True
        match said:
            case State():
                new = ingest.store_state(self._home, said, now)
            case Desc():
                ingest.store_desc(self._home, said)
            case Response():
                new = ingest.store_answer(self._home, said, now)
            case Batch():
                stored = ingest.store_batch(self._home, said, now)
                for fault in stored.faults:
                    ingest.store_fault(self._home, said.device, fault.what, fault.text, now)
                new = stored.new_n > 0
                self._owe(said.device, said.epoch, said.stream, stored.upto, resume=stored.resume)
            case _ as never:
                assert_never(never)
        self._on_seen(Seen(said.device, said, new))

    def _owe(self, device: str, epoch: str, stream: str, upto: int, *, resume: bool) -> None:
        self._acks[device, epoch, stream] = Ack.model_validate(
            {
                "audience": device,
                "issuer": self._home.key.key_id,
                "stream": stream,
                "epoch": epoch,
                "upto": upto,
                "resume": resume,
            }
        )

    def _key(self, device: str) -> PublicKey | None:
        if device not in self._keys:
            self._keys = self._home.device_keys()
        return self._keys.get(device)


def _what(topic: Topic, key: PublicKey, payload: bytes) -> str:
    """Name a message that cannot be believed: one by another key may be of a device whose statement is to come."""
    if topic.channel is Channel.KEYS:
        return "key_refused"
    if topic.channel is Channel.CHECKPOINT:
        return "checkpoint_refused"
    try:
        return "bad_signature" if parse_signed(payload).key == key.key_id else "unknown_key"
    except WireError:
        return "bad_signature"


class CollectorLock:
    """At most one collector for a home: two would take each other's session, for ever."""

    def __init__(self, home: Path) -> None:
        self._path = home / "collector.lock"
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: another process has it.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise AlreadyRunning(f"a collector already runs on {self._path.parent}") from None
        self._handle = handle

    def release(self) -> None:
        """Let it go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
