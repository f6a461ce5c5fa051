"""Time as the parts see it: handed in, so that tests can hold it still."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from appliance.contracts.audit import Moment


class Clock(Protocol):
    """Every clock that the device has."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back while the device runs."""

    def is_trusted(self) -> bool:
        """Return whether the wall clock has been set by something that knows the time."""

    def moment(self) -> Moment:
        """Return now on every clock at once."""
