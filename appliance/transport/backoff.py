"""A history of attempts to the next pause: full jitter, and never a flood.

Source:
    Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015); brokers ban clients that flap.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

MOST_PER_MINUTE: Final = 14
"""Fewer than 15 attempts in any 60 s, whatever the jitter draws."""


class Backoff:
    """When the next attempt may be made; times are seconds of a monotonic clock."""

    def __init__(self, shortest_s: float, longest_s: float, first_s: float, chance: Random) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._first_s = first_s
        self._chance = chance
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=MOST_PER_MINUTE)

    def pause(self, now_s: float) -> float:
        """Return how long to wait before the attempt that follows *now_s*, and count it."""
        if not self._attempts and not self._failures:
            wait_s = self._chance.uniform(0.0, self._first_s)
        else:
            cap_s = min(self._longest_s, self._shortest_s * 2.0 ** min(self._failures, 30))
            wait_s = self._chance.uniform(min(self._shortest_s, cap_s), cap_s)
        if len(self._attempts) == MOST_PER_MINUTE:
            wait_s = max(wait_s, self._attempts[0] + 60.0 - now_s)
        self._attempts.append(now_s + wait_s)
        self._failures += 1
        return wait_s

    def settled(self) -> None:
        """Forget the failures: the connection has lasted."""
        self._failures = 1
