"""Thousands of simulated devices turned by one loop: one selector for all their sockets, one heap for all their times.

A device is turned when its socket has something, when it made something to send, and when it is due (to connect, to
ping, to look whether an acknowledgement is late); never otherwise. paho's own loop waits with `select`, which ends at
1,023 descriptors.
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from appliance.contracts.audit import Moment
from appliance.errors import LinkError, StorageError
from appliance.simulation.device import SimulatedDevice

IDLE_S: Final = 20.0
"""How often a device is turned that has nothing to do: often enough for its ping and its time-outs."""

AWAKE_S: Final = 1.0
"""How soon after something happened; twice as long each time that nothing did, until it is idle. An answer to a group
command waits for its moment, and nothing else wakes the device then."""

YOUNG_S: Final = 1.0
"""The same while it waits for the broker's first answer."""

DUE_N: Final = 200
"""Devices that are turned because they are due, between two looks at the sockets: under a load that is too much, what
has come is read before more is begun, or every device would time out in the middle of its greeting."""


class SimulationClock:
    """This machine's clock, believed."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def is_trusted(self) -> bool:
        """Return that the time is known."""
        return True

    def moment(self) -> Moment:
        """Return now on every clock at once."""
        trusted: Literal["trusted"] = "trusted"
        return Moment(at=self.now(), monotonic_s=self.monotonic_s(), boot=1, clock=trusted)


class Census(NamedTuple):
    """How a crowd is."""

    devices: int = 0
    connected: int = 0
    made: int = 0
    """Events that happened so far."""

    performed: int = 0
    """Commands that were carried out."""

    connections: int = 0
    faults: int = 0

    def __add__(self, other: object) -> Census:
        """Count two crowds together."""
        if not isinstance(other, Census):
            return NotImplemented
        return Census(*(a + b for a, b in zip(tuple(self), tuple(other), strict=True)))


class Crowd:
    """Many devices of one process."""

    def __init__(self, devices: Sequence[SimulatedDevice]) -> None:
        self._devices = devices
        self._selector = selectors.DefaultSelector()
        self._watched: list[tuple[int, int] | None] = [None] * len(devices)
        self._due: list[tuple[float, int]] = [(0.0, n) for n in range(len(devices))]
        self._due_s: list[float] = [0.0] * len(devices)
        self._rest_s: list[float] = [AWAKE_S] * len(devices)
        self._traffic: Traffic | None = None
        self._faults_n = 0

    def begin(self, traffic: Traffic) -> None:
        """Let events happen from now on."""
        self._traffic = traffic

    def step(self, wait_s: float) -> None:
        """Turn every device that has something to do; returns after *wait_s* at most when none has."""
        now_s = time.monotonic()
        if self._traffic is not None:
            for n in self._traffic.due(now_s):
                self._devices[n].event()
                self._rest_s[n] = AWAKE_S
                self._turn_at(n, 0.0)
        next_s = self._due[0][0] if self._due else now_s + wait_s
        for key, _ in self._selector.select(max(0.0, min(wait_s, next_s - now_s))):
            self._rest_s[int(key.data)] = AWAKE_S
            self._turn(int(key.data))
        now_s = time.monotonic()
        for _ in range(DUE_N):
            if not self._due or self._due[0][0] > now_s:
                break
            due_s, n = heapq.heappop(self._due)
            if due_s == self._due_s[n]:
                self._turn(n)

    def census(self) -> Census:
        """Count what is."""
        return Census(
            devices=len(self._devices),
            connected=sum(device.link.connected for device in self._devices),
            made=sum(device.made_n for device in self._devices),
            performed=sum(device.performed_n for device in self._devices),
            connections=sum(device.attempts_n() for device in self._devices),
            faults=self._faults_n,
        )

    def waiting_n(self) -> int:
        """Return how many records no controller has acknowledged yet."""
        return sum(device.waiting_n() for device in self._devices)

    def records_n(self) -> int:
        """Return how many records their ledgers have."""
        return sum(device.records_n() for device in self._devices)

    def drop(self) -> None:
        """Break every connection at once, as a power cut at the broker's switch does."""
        for n, device in enumerate(self._devices):
            device.link.refuse_session("the simulated network is down")
            # At once: the number of the closed descriptor is free for another device's socket.
            self._watch(n, None, writes=False)
            self._turn_at(n, 0.0)

    def close(self) -> None:
        """End every connection; thousands of farewells, each waited for, would take longer than the rest."""
        for device in self._devices:
            device.link.close()
        self._selector.close()

    def _turn(self, n: int) -> None:
        device = self._devices[n]
        try:
            more = device.turn()
            if device.link.wants_write:
                more = device.turn()  # a new connection's greeting, and whatever else can leave now
        except (LinkError, StorageError):
            self._faults_n += 1
            device.link.refuse_session("a fault of the simulation")
            self._watch(n, None, writes=False)
            more = False
        link = device.link
        self._watch(n, link.descriptor, writes=link.wants_write)
        now_s = time.monotonic()
        if more:
            self._turn_at(n, now_s)
        elif link.connected:
            self._turn_at(n, now_s + self._rest_s[n])
            self._rest_s[n] = min(IDLE_S, 2 * self._rest_s[n])
        else:
            self._turn_at(n, link.next_attempt_s or now_s + YOUNG_S)

    def _turn_at(self, n: int, due_s: float) -> None:
        self._due_s[n] = due_s
        heapq.heappush(self._due, (due_s, n))

    def _watch(self, n: int, descriptor: int | None, *, writes: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writes else 0)
        wanted = None if descriptor is None else (descriptor, events)
        watched = self._watched[n]
        if wanted == watched:
            return
        if watched is not None and (wanted is None or watched[0] != wanted[0]):
            self._selector.unregister(watched[0])
        if wanted is not None:
            if watched is not None and watched[0] == wanted[0]:
                self._selector.modify(wanted[0], events, n)
            else:
                self._selector.register(wanted[0], events, n)
        self._watched[n] = wanted


class Traffic:
    """Events spread evenly over all devices and over a time."""

    def __init__(self, devices_n: int, *, each_n: int, over_s: float, began_s: float) -> None:
        self._devices_n = devices_n
        self._total_n = devices_n * each_n
        self._over_s = over_s
        self._began_s = began_s
        self._done_n = 0

    def due(self, now_s: float) -> list[int]:
        """Return whose events should have happened by *now_s* and have not yet."""
        share = 1.0 if self._over_s <= 0 else min(1.0, (now_s - self._began_s) / self._over_s)
        upto = int(self._total_n * share)
        numbers = [n % self._devices_n for n in range(self._done_n, upto)]
        self._done_n = upto
        return numbers
