"""What is missing at present, each with its reason."""

from __future__ import annotations

import threading


class Health:
    """Reasons to be degraded, by part."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, str] = {}

    def set(self, part: str, reason: str) -> bool:
        """Note that *part* is missing.

        Returns:
            Whether that is news.
        """
        with self._lock:
            news = self._reasons.get(part) != reason
            self._reasons[part] = reason
            return news

    def clear(self, part: str) -> bool:
        """Note that *part* is there again.

        Returns:
            Whether that is news.
        """
        with self._lock:
            return self._reasons.pop(part, None) is not None

    def has(self, part: str) -> bool:
        """Return whether *part* is missing."""
        return part in self._reasons

    def reasons(self) -> tuple[str, ...]:
        """Return every reason, oldest first."""
        return tuple(self._reasons.values())
