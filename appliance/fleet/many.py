"""One command to one device, to many, or to all with one message; and what has come of it so far.

A command is a row before it leaves: what has not left in time leaves with the service, until it expires.

Covers: a device that does not know the time and whose present start nobody here has heard of (a few devices are asked
first), a broker that knows nobody who would get it, a service beside us that is quicker. Does not cover: waiting for
good; who wants to know later looks at the answers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from random import Random
from typing import Final, NamedTuple

from appliance.contracts.envelope import FINAL, CommandBody, PingBody, Response, State, StopBody
from appliance.contracts.record import JsonObject
from appliance.contracts.topics import EVERY_DEVICE, ROOT, Channel
from appliance.errors import LinkError
from appliance.fleet import ingest, outgoing
from appliance.fleet.hearing import Heard, heard
from appliance.fleet.home import FleetHome
from appliance.fleet.sending import Sending
from appliance.transport.mqtt import Incoming

LIVES: Final = ("received", "accepted", "executed", "rejected", "failed", "expired", "indeterminate")
FEW_N: Final = 20
"""So many devices are listened to one by one."""

_CHUNK_N: Final = 200
_STATE_WAIT_S: Final = 2.0
"""How long retained states may take after the connection; without them we go by what is stored."""


class Progress(NamedTuple):
    """How many devices are how far."""

    devices: int
    lives: dict[str, int]
    silent: int
    """Those that have not answered at all."""

    here: int = 0
    """Commands that have not left, once the sending has ended."""

    unheard: int = 0
    """Of these: the broker had nobody for them."""

    @property
    def open(self) -> int:
        """How many have no final answer yet."""
        return self.devices - sum(n for life, n in self.lives.items() if life in FINAL)

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        counts = {"devices": self.devices, **self.lives, "silent": self.silent, "open": self.open}
        return {**counts, "here": self.here, "unheard": self.unheard}

    def words(self) -> str:
        """Write it as one line."""
        parts = [f"{n} {life}" for life, n in self.lives.items() if n]
        return ", ".join([f"{self.devices} devices", *parts, *([f"{self.silent} silent"] if self.silent else [])])


class Many:
    """Sends one command and listens to the answers."""

    def __init__(
        self,
        home: FleetHome,
        *,
        now: Callable[[], datetime],
        chance: Random,
        on_answer: Callable[[Response], None] = lambda _answer: None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._now = now
        self._chance = chance
        self._on_answer = on_answer
        self._on_progress = on_progress
        self._monotonic = monotonic
        self._keys = home.device_keys()
        self._wanted: dict[str, str] = {}
        self._lives: dict[str, str] = {}
        self._states: set[str] = set()
        self._loss = ""

    def send(
        self,
        devices: Iterable[str],
        body: CommandBody,
        *,
        wait_s: float,
        expires_s: float,
        because: str,
        as_one: bool = False,
    ) -> Progress:
        """Send *body* to each of *devices*, and wait for their ends or for *wait_s*.

        Args:
            as_one: with one message to the whole site, which *devices* then are.

        Raises:
            LinkError: the broker was not reached in *wait_s*; nothing was sent.
            UsageError: no such command can be made.
        """
        end_s = self._monotonic() + wait_s
        names = tuple(devices)
        few = names if len(names) <= FEW_N else ()
        sending = Sending(
            self._home,
            now=self._now,
            chance=self._chance,
            on_link=self._said,
            filters=self._filters(few),
            on_message=self._delivered,
            monotonic=self._monotonic,
        )
        try:
            self._await(sending, end_s, lambda: sending.connected)
            if not sending.connected:
                raise LinkError(f"{self._loss or f'no answer in {wait_s:g} s'}; nothing was sent")
            if not as_one and not isinstance(body, StopBody | PingBody):
                # These two count without knowing the time, and a stop waits for nobody.
                self._await(
                    sending, min(end_s, self._monotonic() + _STATE_WAIT_S), lambda: self._states.issuperset(few)
                )
            # Only now: a service beside us may be quicker than we, and the answers come to whoever listens.
            self._queue(sending, names, body, expires_s, because, as_one=as_one)
            self._listen(sending, end_s)
        finally:
            sending.close()
        here_n, unheard_n = outgoing.still_here(self._home, tuple(set(self._wanted.values())))
        return self.progress()._replace(here=here_n, unheard=unheard_n)

    def progress(self) -> Progress:
        """Return how far the devices are."""
        by = Counter(self._lives.values())
        return Progress(len(self._wanted), {life: by[life] for life in LIVES}, len(self._wanted) - len(self._lives))

    def _filters(self, few: tuple[str, ...]) -> tuple[str, ...]:
        site, key_id = f"{ROOT}/{self._home.settings.site}", self._home.key.key_id
        if not few:
            return (f"{site}/+/{Channel.RSP}/{key_id}",)
        return tuple(f"{site}/{name}/{end}" for name in few for end in (f"{Channel.RSP}/{key_id}", Channel.STATE))

    def _await(self, sending: Sending, end_s: float, done: Callable[[], bool]) -> None:
        while not done() and self._monotonic() < end_s:
            sending.step(0.1)

    def _queue(
        self,
        sending: Sending,
        names: tuple[str, ...],
        body: CommandBody,
        expires_s: float,
        because: str,
        *,
        as_one: bool,
    ) -> None:
        def queued(audience: str) -> str:
            return outgoing.queue(self._home, audience, body, now=self._now(), expires_s=expires_s, because=because)

        if as_one:
            with self._home.writing():
                self._wanted = dict.fromkeys(names, queued(EVERY_DEVICE))
            return
        for first in range(0, len(names), _CHUNK_N):
            with self._home.writing():
                for name in names[first : first + _CHUNK_N]:
                    self._wanted[name] = queued(name)
            # The first are on their way while the last are being signed.
            sending.step(0.0)

    def _listen(self, sending: Sending, end_s: float) -> None:
        shown = None
        while self._monotonic() < end_s:
            sending.step(min(0.2, max(0.0, end_s - self._monotonic())))
            progress = self.progress()
            if progress != shown:
                self._on_progress(progress)
                shown = progress
            if progress.open == 0 and sending.idle:
                break

    def _said(self, text: str) -> None:
        self._loss = text

    def _delivered(self, message: Incoming) -> None:
        found = heard(message, self._keys.get)
        if not isinstance(found, Heard):
            return  # the collector reports what is wrong; here it is only not an answer
        if isinstance(found.said, State):
            ingest.store_state(self._home, found.said, self._now())
            self._states.add(found.device)
        elif isinstance(found.said, Response):
            self._answered(found.said)

    def _answered(self, answer: Response) -> None:
        if self._wanted.get(answer.device) != answer.correlation:
            return
        ingest.store_answer(self._home, answer, self._now())
        if self._lives.get(answer.device) not in FINAL:
            self._lives[answer.device] = answer.life
        self._on_answer(answer)
