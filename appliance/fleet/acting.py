"""The service's acting side: rollouts go on, records are counted, what is wanted leaves.

It shares the collector's thread and database; what devices answer reaches it as rows.

Covers: a database or a broker that is away (it tries again; the rows wait), a rollout whose row cannot be read, or of
whose devices nothing can be made (named, the others go on). Does not cover: who may tell it what; whoever can write the
controller's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from threading import Event
from typing import Final

from appliance.errors import ApplianceError, StorageError
from appliance.fleet import counting, desired, rollout_driving, rollout_rows
from appliance.fleet.collector import Collector
from appliance.fleet.home import FleetHome
from appliance.fleet.sending import Sending
from appliance.fleet.store import NOT_UNDERSTOOD

LOOK_S: Final = 1.0
_AGAIN_S: Final = 5.0
_IDLE_S: Final = 0.5
_PRESSING_S: Final = 0.02
"""While commands leave, the collector waits no longer than this for what arrives."""

_RATIO: Final = 5.0
"""A look takes at most a fifth of the time that it shares with collecting; docs/measurements says how long it takes."""

COUNT_S: Final = 0.2
"""For so long records are added up in one look; the next one goes on where it ended."""

_RESTING: Final = 30
"""So many times more seldom is looked at what waits for a person."""

_TELL_S: Final = 60.0


class Acting:
    """Steps everything that the controller wants; called by the thread that collects."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        on_said: Callable[[str], None] = lambda _said: None,
        monotonic: Callable[[], float] = time.monotonic,
        look_s: float = LOOK_S,
    ) -> None:
        self._home = home
        self._now = now
        self._on_said = on_said
        self._monotonic = monotonic
        self._look_s = look_s
        self._next_s = self._tell_s = self._rest_s = monotonic()
        self._told: dict[str, str] = {}
        self._sending = Sending(home, now=now, chance=chance)

    def step(self) -> None:
        """Do what is due; waits for nothing."""
        now_s = self._monotonic()
        if now_s < self._rest_s:
            return
        try:
            if now_s >= self._next_s:
                self._look()
                took_s = self._monotonic() - now_s
                self._next_s = now_s + max(self._look_s, _RATIO * took_s)
            if now_s >= self._tell_s:
                self._tell_s = now_s + _TELL_S
                desired.tell_again(self._home, self._now())
            self._sending.step(0.0)
        except (ApplianceError, *NOT_UNDERSTOOD) as error:
            # Not only a database that is away: nothing that a device said may end what serves all the others.
            self._rest_s = now_s + _AGAIN_S
            self._on_said(f"nothing is decided or sent for {_AGAIN_S:g} s: {error}")

    def serve(self, collector: Collector, stopping: Event) -> None:
        """Collect and act until *stopping* is set."""
        try:
            while not stopping.is_set():
                collector.step(_PRESSING_S if self._sending.pressing else _IDLE_S)
                self.step()
        finally:
            collector.close()
            self.close()

    def close(self) -> None:
        """End the connection; what has not left is rows."""
        self._sending.close()

    def _look(self) -> None:
        now = self._now()
        # Answers first: what a device reports counts from when it is known that it did what it was told.
        due = timedelta(seconds=self._look_s)
        for rollout in rollout_rows.live(self._home, now - due, now - _RESTING * due):
            try:
                one = rollout_driving.look(self._home, rollout, now)
            except (StorageError, *NOT_UNDERSTOOD) as error:
                # A database that is away says so again below; anything else concerns this one only.
                self._tell(rollout, str(error))
            else:
                self._tell(rollout, f"{one.state}, ring {one.name}")
        end_s = self._monotonic() + COUNT_S
        while counting.count(self._home, now) and self._monotonic() < end_s:
            pass

    def _tell(self, rollout: str, text: str) -> None:
        if self._told.get(rollout) != text:
            self._told[rollout] = text
            self._on_said(f"rollout {rollout}: {text}")
