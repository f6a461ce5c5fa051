"""Whether a second model is worth asking: after failures in a row it is left alone for a while.

Our own, thirty lines: what there is on the index reads the wall clock, which a device sets back and forth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FAILURES_N: Final = 3
"""In a row, before it is left alone."""

FIRST_REST_S: Final = 60.0
LONGEST_REST_S: Final = 900.0
"""Doubled by each failure more: a server that was switched off costs four questions an hour."""


class Breaker:
    """Counts failures; for one thread."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._failures_n = 0
        self._failed_s = 0.0

    def rests_s(self) -> float:
        """Return for how long it is not to be asked; 0 when it may be."""
        over = self._failures_n - FAILURES_N
        if over < 0:
            return 0.0
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(over, 10))
        return max(0.0, self._failed_s + rest_s - self._monotonic_s())

    def succeeded(self) -> None:
        """Note that it answered, whatever it said."""
        self._failures_n = 0

    def failed(self) -> None:
        """Note that it did not."""
        self._failures_n += 1
        self._failed_s = self._monotonic_s()
