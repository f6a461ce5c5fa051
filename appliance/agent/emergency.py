"""The emergency stop: past every queue, latched, released only here.

Order: outputs first, then the latch on disk, then the record. None of it waits for a tool, an inference or the
database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from appliance import lasting


class Emergency:
    """Drives outputs safe and remembers it, also across a restart."""

    def __init__(self, latch: Path, make_safe: Callable[[str], tuple[str, ...]], release: Callable[[], None]) -> None:
        self._latch = latch
        self._make_safe = make_safe
        self._release = release
        self._locked = latch.exists()
        self.stops_n = 0
        """Stops of this start so far, also those that are released again."""

    def is_locked(self) -> bool:
        """Return whether the emergency stop is latched."""
        return self._locked

    def stop(self, reason: str, at: datetime) -> tuple[str, ...]:
        """Drive every output to its safe value and latch; safe to call from any thread, any number of times.

        Returns:
            Outputs that could not be written, each with the reason.
        """
        self._locked = True
        self.stops_n += 1
        refused = self._make_safe(reason)
        data = json.dumps({"reason": reason, "at": at.isoformat()}).encode()
        try:
            handle = os.open(self._latch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            try:
                os.write(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            lasting.keep_names(self._latch.parent)
        except OSError:
            # A full disk must not undo a stop: it stays latched in memory, and outputs start safe anyway.
            return refused
        return refused

    def release(self) -> bool:
        """Let go of the latch; outputs stay as they are, safe.

        Returns:
            Whether it was latched.
        """
        if not self._locked:
            return False
        self._latch.unlink(missing_ok=True)
        # Else a power cut could bring back a stop that somebody was told is over.
        lasting.keep_names(self._latch.parent)
        self._locked = False
        self._release()
        return True
