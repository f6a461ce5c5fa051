"""Batches that came before the one that they follow.

A broker spreads a device's batches over the collectors that share a subscription, so the one before may be with a
colleague who is about to commit it. A moment's patience saves the device from sending everything again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.contracts.envelope import Batch

WAIT_S: Final = 2.0
AGAIN_S: Final = 0.1
MOST_N: Final = 64
"""Of 256 KiB at most: what memory this may take."""


class Early:
    """Holds batches for a moment; nothing is promised for them yet, so forgetting them loses nothing."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waiting: dict[tuple[str, str, str, int], tuple[float, Batch]] = {}
        self._next_s = 0.0

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def put(self, batch: Batch) -> bool:
        """Hold *batch*, unless it has waited long enough or there is no room."""
        key = (batch.device, batch.epoch, batch.stream, batch.items[0].seq)
        now_s = self._monotonic()
        until_s, _ = self._waiting.get(key, (now_s + WAIT_S, batch))
        if now_s >= until_s or (key not in self._waiting and len(self._waiting) >= MOST_N):
            self._waiting.pop(key, None)
            return False
        self._waiting[key] = (until_s, batch)
        return True

    def settled(self, batch: Batch) -> None:
        """Let *batch* go: it is committed, or of no use."""
        self._waiting.pop((batch.device, batch.epoch, batch.stream, batch.items[0].seq), None)

    def due(self) -> list[Batch]:
        """Return what is to be tried again now, in the order of its numbers."""
        if not self._waiting or self._monotonic() < self._next_s:
            return []
        self._next_s = self._monotonic() + AGAIN_S
        return [self._waiting[key][1] for key in sorted(self._waiting)]

    def clear(self) -> None:
        """Forget all of them; their devices still have them."""
        self._waiting.clear()
