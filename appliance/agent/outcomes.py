"""Where whoever asked waits for what became of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from appliance.contracts.local import Outcome

KEPT_N: Final = 256


class Outcomes:
    """Announcements from the turn's thread to the threads of those who wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._said: OrderedDict[str, Outcome] = OrderedDict()
        self._version = 0
        self._has_ended = False

    def announce(self, outcome: Outcome) -> None:
        """Publish what became of a request."""
        with self._changed:
            self._said[outcome.request_id] = outcome
            self._said.move_to_end(outcome.request_id)
            while len(self._said) > KEPT_N:
                self._said.popitem(last=False)
            self._version += 1
            self._changed.notify_all()

    def expect(self, request_id: str) -> None:
        """Forget an earlier announcement, so that `wait` sees only the next."""
        with self._changed:
            self._said.pop(request_id, None)

    def wait(self, request_id: str, timeout_s: float) -> Outcome | None:
        """Return the announcement for *request_id*, or None after *timeout_s* or when nothing more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or request_id in self._said, timeout_s)
            return self._said.get(request_id)

    def end(self) -> None:
        """Let nobody wait any longer: no turn follows that could have an outcome."""
        with self._changed:
            self._has_ended = True
            self._version += 1
            self._changed.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether no outcome will come any more while this daemon runs."""
        return self._has_ended

    def touch(self) -> None:
        """Tell watchers that something else has changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def version(self) -> int:
        """Return a number that grows with every change."""
        return self._version

    def wait_change(self, since: int, timeout_s: float) -> int:
        """Return the version once it differs from *since*, or after *timeout_s*."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != since, timeout_s)
            return self._version
