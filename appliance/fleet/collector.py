"""What devices publish to the controller's database, and the acknowledgements back.

Order: everything that has arrived is committed at once, then the broker gets its acknowledgements, and the devices
theirs, signed. Several collectors may share the work: each is told a part of the batches, the database is all that they
have in common.

Covers: a database that is away, full or restarted (nothing is acknowledged, the broker keeps what it has, it is tried
again ever more slowly), a collector that dies anywhere, a role that may not acknowledge. What a message comes to, and
what is wrong with it, is `taking`. Does not cover: a broker that loses what it has; the devices send again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from random import Random
from threading import Event
from typing import Final

from appliance.contracts.envelope import Ack
from appliance.contracts.topics import Channel, Topic, controller_filters
from appliance.errors import StorageError
from appliance.fleet import acknowledging, attendance, retention
from appliance.fleet.early import AGAIN_S
from appliance.fleet.home import FleetHome
from appliance.fleet.taking import Seen, Taking
from appliance.transport.backoff import Backoff
from appliance.transport.mqtt import Incoming, Link, Message, Opened
from appliance.trust.signature import sealed

GROUP_N: Final = 200
"""Messages for one commit; a broker hands over fewer at once, unless it is told to."""

_ATTEND_S: Final = 30.0
_PRUNE_S: Final = 600.0
_PRUNE_ON_S: Final = 0.5


class Collector:
    """One controller's ear; `step` is called by one thread, which owns the home's database too."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        share: str | None = None,
        on_seen: Callable[[Seen], None] = lambda _seen: None,
        on_link: Callable[[str], None] = lambda _said: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; *share* is this collector's name among those that share the work, None for one that is alone."""
        self._home = home
        self._now = now
        self._on_seen = on_seen
        self._on_link = on_link
        self._monotonic = monotonic
        self._sleep = sleep
        self._name = share or "alone"
        self._began_at = now()
        self._records_n = 0
        self._is_new = False
        self._arrived: list[Incoming] = []
        self._taking = Taking(home, now=now, monotonic=monotonic, shared=share is not None)
        self._acks: dict[tuple[str, str, str], Ack] = {}
        self._rest = Backoff(0.5, 30.0, 0.0, chance)
        self._rest_until_s: float | None = None
        self._attend_s = self._prune_s = monotonic()
        client = f"{home.settings.name}-{home.key.key_id}"
        self._link = Link(
            # At once: there are few collectors, and a person may be waiting to hear that there is no broker.
            home.broker.model_copy(
                update={"receive_max": max(home.broker.receive_max, GROUP_N), "first_connect_s": 0.0}
            ),
            f"{client}-{share}" if share else client,
            filters=controller_filters(home.settings.site, home.key.key_id, shared=share is not None),
            on_message=self._arrived.append,
            on_opened=self._opened,
            on_lost=on_link,
            chance=chance,
            holding=True,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._link.connected

    def step(self, wait_s: float) -> None:
        """Take what has arrived, and send the acknowledgements that are due."""
        if not self._is_rested(wait_s):
            return
        if self._acks and self._link.room:
            wait_s = 0.0
        self._link.step(min(wait_s, AGAIN_S) if self._taking.is_waiting else wait_s)
        taken_n = 0
        while taken_n < len(self._arrived) < GROUP_N:
            taken_n = len(self._arrived)
            self._link.step(0.0)
        try:
            if self._is_new:
                self._greet()
            self._commit()
            self._housekeeping()
        except StorageError as error:
            self._begin_rest(error)
            return
        self._send_acks()

    def take(self, messages: Iterable[Incoming]) -> list[Ack]:
        """Keep *messages* that came by another way than the broker; return what is acknowledged by that.

        Raises:
            StorageError: they cannot be kept.
        """
        self._arrived += messages
        self._commit()
        acks = list(self._acks.values())
        self._acks.clear()
        return acks

    def run(self, stopping: Event) -> None:
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

    def _is_rested(self, wait_s: float) -> bool:
        """Wait for a database that is away; meanwhile the broker keeps what comes."""
        if self._rest_until_s is None:
            return True
        left_s = self._rest_until_s - self._monotonic()
        if left_s > 0:
            self._sleep(min(left_s, wait_s))
            return False
        try:
            self._home.db.row("select 1 as one")
        except StorageError as error:
            self._begin_rest(error)
            return False
        self._rest_until_s = None
        return True

    def _begin_rest(self, error: StorageError) -> None:
        """Drop the connection, so that the broker delivers again what was not kept, and wait."""
        now_s = self._monotonic()
        self._rest_until_s = now_s + self._rest.pause(now_s)
        self._on_link(f"nothing more is taken: {error}")
        if self._link.connected:
            self._link.refuse_session("what came could not be kept")
            self._link.step(0.0)
        self._arrived.clear()
        self._taking.forget()

    def _opened(self, session: Opened) -> None:
        self._on_link("connected" if session.session_present else "connected, in a new session")
        self._is_new = True

    def _greet(self) -> None:
        """Say how far we are: what a device sent while we were away may be lost, and it need not wait for that."""
        self._owe(acknowledging.standing(self._home))
        self._is_new = False

    def _commit(self) -> None:
        """Keep everything that has arrived, and tell the broker."""
        # Emptied in place: the link goes on filling this very list.
        messages = self._arrived[:]
        taken = self._taking.take(messages)
        self._records_n += taken.records_n
        self._owe(taken.acks)
        if messages:
            self._arrived.clear()
            self._link.acknowledge()
            self._rest.settled()
        for seen in taken.seen:
            self._on_seen(seen)

    def _owe(self, acks: Iterable[Ack]) -> None:
        self._acks |= {(ack.audience, ack.epoch, ack.stream): ack for ack in acks}

    def _send_acks(self) -> None:
        while self._acks and self._link.room:
            place, ack = next(iter(self._acks.items()))
            topic = str(Topic.make(self._home.settings.site, ack.audience, Channel.ACK))
            if not self._link.publish(Message(topic, sealed(self._home.key, ack)), lambda _taken: None):
                return
            del self._acks[place]

    def _housekeeping(self) -> None:
        now_s = self._monotonic()
        if now_s >= self._attend_s:
            self._attend_s = now_s + _ATTEND_S
            self._taking.look_again()
            attendance.attend(self._home, self._name, self._began_at, self._records_n, self._now())
        if now_s >= self._prune_s:
            more = retention.prune(self._home, self._now())
            self._prune_s = now_s + (_PRUNE_ON_S if more else _PRUNE_S)
