"""A history of attempts to the next pause: full jitter, and never a flood.

Source:
    Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015); brokers ban clients that flap.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

from appliance.transport.reasons import Treatment

MOST_PER_MINUTE: Final = 14
"""Fewer than 15 attempts in any 60 s, whatever the jitter draws."""

SLOW_S: Final = (60.0, 300.0)
PERSON_S: Final = (300.0, 900.0)

ROUNDS_N: Final = 3
"""So often a session is taken back at once; after that two clients with one name take minutes over it."""


class Backoff:
    """When the next attempt may be made; times are seconds of a monotonic clock."""

    def __init__(self, shortest_s: float, longest_s: float, first_s: float, chance: Random) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._first_s = first_s
        self._chance = chance
        self._failures = 0
        self._rounds_n = 0
        self._attempts: deque[float] = deque(maxlen=MOST_PER_MINUTE)

    def pause(self, now_s: float, after: Treatment = Treatment.RETRY) -> float:
        """Return how long to wait before the attempt that follows *now_s*, and count it."""
        self._rounds_n = self._rounds_n + 1 if after is Treatment.RIVAL else 0
        if after is Treatment.PERSON:
            wait_s = self._chance.uniform(*PERSON_S)
        elif after is Treatment.SLOWLY or self._rounds_n >= ROUNDS_N:
            wait_s = self._chance.uniform(*SLOW_S)
        elif not self._failures:
            # At a start, and after a good connection: whatever ended it here has ended it for a whole site.
            wait_s = self._chance.uniform(0.0, self._first_s)
        else:
            wait_s = self._chance.uniform(0.0, min(self._longest_s, self._shortest_s * 2.0 ** min(self._failures, 30)))
        if len(self._attempts) == MOST_PER_MINUTE:
            wait_s = max(wait_s, self._attempts[0] + 60.0 - now_s)
        self._attempts.append(now_s + wait_s)
        self._failures += 1
        return wait_s

    def sooner(self, now_s: float, at_s: float) -> float:
        """Return when an attempt planned for *at_s* may be made at the earliest: what stood in its way is gone."""
        if not self._attempts:
            return now_s
        planned = self._attempts.pop()
        earliest = now_s
        if len(self._attempts) == MOST_PER_MINUTE - 1:
            earliest = max(now_s, self._attempts[0] + 60.0)
        self._attempts.append(min(planned, earliest))
        return min(at_s, earliest)

    def settled(self) -> None:
        """Forget the failures: the connection has lasted."""
        self._failures = 0
        self._rounds_n = 0
