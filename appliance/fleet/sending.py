"""What is wanted of devices leaves for the broker, over a connection of its own.

The rows are the queue; the connection only works them off, so that whoever writes a row need not wait, and whoever
sends may die at any point.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from random import Random
from typing import Final

from appliance.fleet import desired, outgoing
from appliance.fleet.home import FleetHome
from appliance.transport.mqtt import Incoming, Link, Opened

PORTION_N: Final = 20
"""Commands that are marked with one commit; as many as a broker takes without an answer."""

KEPT_FREE_N: Final = 2
"""Of what may be on its way at once, for emergency stops alone."""

_OFFER_S: Final = 1.0


class Sending:
    """One controller's voice; the thread that owns the home's database steps it."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        on_link: Callable[[str], None] = lambda _said: None,
        filters: tuple[str, ...] = (),
        on_message: Callable[[Incoming], None] = lambda _message: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; *filters* is for one that listens to the answers too."""
        self._home = home
        self._now = now
        self._monotonic = monotonic
        self._offer_s = monotonic()
        self._flying: set[str] = set()
        self._unsettled: set[str] = set()
        """Marked, and on no connection: the last one broke."""

        self._taken: list[str] = []
        self._unheard: list[str] = []
        self._taken_desired: list[tuple[str, int]] = []
        self._flying_desired: set[str] = set()
        self._link = Link(
            # Nobody waits at this session: what is owed is in the rows.
            home.broker.model_copy(update={"session_expiry_s": 0, "first_connect_s": 0.0}),
            f"act-{home.key.key_id}-{secrets.token_hex(3)}",
            filters=filters,
            on_message=on_message,
            on_opened=lambda _opened: self._opened(_opened, on_link),
            on_lost=on_link,
            chance=chance,
            monotonic=monotonic,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._link.connected

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not (self._flying or self._unsettled or self._flying_desired)

    @property
    def pressing(self) -> bool:
        """Whether an answer of the broker is awaited that more can follow."""
        return bool(self._flying or self._flying_desired or self._settled_some)

    def step(self, wait_s: float) -> None:
        """Read and write; send what is due.

        Raises:
            StorageError: the rows cannot be read or written; what has left is known to have left, or leaves again.
        """
        self._link.step(0.0 if self._settled_some else wait_s)
        self._settle()
        if not self._link.connected:
            return
        self._commands()
        self._configurations()

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    @property
    def _kept_free(self) -> int:
        return min(KEPT_FREE_N, self._link.window // 2)

    def _commands(self) -> None:
        if self._monotonic() >= self._offer_s:
            self._offer_s = self._monotonic() + _OFFER_S
            outgoing.offer_again(self._home, self._now())
        free = self._link.room
        if not free:
            return
        room = min(PORTION_N - len(self._flying), free - self._kept_free)
        only_stops = room <= 0
        limit = free if only_stops else room
        found = outgoing.hand_over(self._home, self._now(), limit, also=self._unsettled, only_stops=only_stops)
        if not only_stops and len(found) < limit:
            # Whatever of ours is not among them has expired, was taken back, or has left with another sender.
            self._unsettled &= {one.correlation for one in found}
        for one in found:
            if one.correlation in self._flying:
                continue
            if not self._link.publish(one.message, partial(self._settled, one.correlation)):
                self._unsettled.add(one.correlation)
                continue
            self._unsettled.discard(one.correlation)
            self._flying.add(one.correlation)

    def _configurations(self) -> None:
        for device, version, message in desired.leaving(self._home, PORTION_N + len(self._flying_desired)):
            if device in self._flying_desired or self._link.room <= self._kept_free:
                continue
            if self._link.publish(message, partial(self._settled_desired, device, version)):
                self._flying_desired.add(device)

    def _settled(self, correlation: str, taken: bool) -> None:  # noqa: FBT001 -- the link's own signature
        self._flying.discard(correlation)
        if taken and self._link.nobody_listened:
            self._unheard.append(correlation)
        elif taken:
            self._taken.append(correlation)
        else:
            self._unsettled.add(correlation)

    def _settled_desired(self, device: str, version: int, taken: bool) -> None:  # noqa: FBT001 -- the same
        self._flying_desired.discard(device)
        if taken:
            self._taken_desired.append((device, version))

    @property
    def _settled_some(self) -> bool:
        return bool(self._taken or self._unheard or self._taken_desired)

    def _settle(self) -> None:
        if self._taken:
            outgoing.gone(self._home, self._taken)
            self._taken.clear()
        if self._unheard:
            outgoing.unheard(self._home, self._unheard, self._now())
            self._unheard.clear()
        if self._taken_desired:
            desired.left(self._home, self._taken_desired, self._now())
            self._taken_desired.clear()

    def _opened(self, session: Opened, on_link: Callable[[str], None]) -> None:
        del session
        on_link("connected, to send")
