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

from appliance.contracts.envelope import Ack, Batch, Desc, Response, State
from appliance.contracts.topics import Channel, Topic, controller_filters
from appliance.errors import AlreadyRunning, LinkError, MalformedTopic, TrustError, WireError
from appliance.fleet import ingest
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


class Seen(NamedTuple):
    """Something arrived and was committed."""

    device: str
    said: State | Desc | Batch | Response
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
            self._take(message)
        except sqlite3.DatabaseError as error:
            raise LinkError(f"a message could not be kept: {error}") from error
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
        record = _PAYLOADS.get(topic.channel)
        if record is None:
            return
        try:
            said = opened(message.payload, record, {key.key_id: key})
        except TrustError as error:
            ingest.store_fault(self._home, topic.device, "bad_signature", str(error), now)
            return
        except WireError as error:
            ingest.store_fault(self._home, topic.device, "malformed", str(error), now)
            return
        if said.device != topic.device:
            ingest.store_fault(self._home, topic.device, "wrong_device", f"speaks as {said.device!r}", now)
            return
        self._keep(said, now)

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
                if stored.fault is not None:
                    ingest.store_fault(self._home, said.device, f"{said.stream}_refused", stored.fault, now)
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
