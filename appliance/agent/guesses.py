"""How long whoever gives wrong PINs has to wait.

Covers: a clock that jumps or that nobody trusts (only seconds since the start count), a restart (what was waited for
begins anew), a disk that cannot be written (this start counts all the same), names that nobody has (they wait alike,
and take no more room than `STRANGERS_N` rows).
Does not cover: somebody who makes others wait by giving wrong PINs for them; the emergency stop asks for none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from appliance.contracts.clock import Clock

FREE_N: Final = 5
"""Wrong PINs in a row before the first wait: more than a person with cold fingers needs."""

FIRST_WAIT_S: Final = 30.0
"""Doubled by each wrong PIN more."""

LONGEST_WAIT_S: Final = 900.0
"""96 guesses a day: 3% of all PINs of six digits in a year, each of them a record of the ledger."""

FORGOTTEN_AFTER_S: Final = 86_400.0
"""Without a wrong PIN, within one start; fewer guesses a day than the longest wait allows."""

STRANGERS_N: Final = 16
"""Names that nobody has share so many counts: a list of invented names is neither room nor free guesses."""


class _Tries(NamedTuple):
    failures_n: int
    since_s: float


class Guesses:
    """Counts wrong PINs; not for two threads at once."""

    def __init__(self, before: Mapping[str, int], clock: Clock) -> None:
        self._clock = clock
        start_s = clock.monotonic_s()
        self._tries = {who: _Tries(failures_n, start_s) for who, failures_n in before.items()}

    def failures_n(self, who: str) -> int:
        """Return how many wrong PINs in a row count."""
        tries = self._tries.get(who)
        return 0 if tries is None or self._passed_s(tries) >= FORGOTTEN_AFTER_S else tries.failures_n

    def wait_s(self, who: str) -> float:
        """Return for how long no PIN may be looked at."""
        tries = self._tries.get(who)
        return 0.0 if tries is None else max(0.0, wait_after_s(tries.failures_n) - self._passed_s(tries))

    def failed(self, who: str) -> int:
        """Count a wrong PIN; return how many there are."""
        failures_n = self.failures_n(who) + 1
        self._tries[who] = _Tries(failures_n, self._clock.monotonic_s())
        return failures_n

    def forget(self, who: str) -> None:
        """Begin anew: the right PIN was given, or there is another one."""
        self._tries.pop(who, None)

    def _passed_s(self, tries: _Tries) -> float:
        return max(0.0, self._clock.monotonic_s() - tries.since_s)


def wait_after_s(failures_n: int) -> float:
    """Return the wait after so many wrong PINs in a row."""
    over = failures_n - FREE_N
    return 0.0 if over < 0 else min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 20))


def stranger(name: str) -> str:
    """Return under what a name that nobody has is counted; no enrolled name looks like it."""
    bucket = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % STRANGERS_N
    return f"?{bucket}"
