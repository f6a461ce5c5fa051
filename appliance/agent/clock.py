"""The real clocks, and whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.contracts.audit import Moment

BUILD_YEAR: Final = 2026
"""No clock that shows an earlier year is right."""

_SYNCHRONIZED: Final = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised to a reliable server


class SystemClock:
    """The clocks of this machine, for one start of the daemon."""

    def __init__(self, boot: int) -> None:
        self._boot = boot

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds since the machine started; those that it slept count, for a deadline does not sleep."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def is_trusted(self) -> bool:
        """Return whether a time service vouches for the wall clock."""
        return self.now().year >= BUILD_YEAR and (_SYNCHRONIZED.exists() or _kernel_is_synchronised())

    def moment(self) -> Moment:
        """Return now on every clock at once."""
        clock = "trusted" if self.is_trusted() else "untrusted"
        return Moment.model_validate(
            {"at": self.now(), "monotonic_s": round(self.monotonic_s(), 6), "boot": self._boot, "clock": clock}
        )


def _kernel_is_synchronised() -> bool:
    """Ask adjtimex(2) with no change requested; any failure means `no`."""
    # struct timex is 208 bytes on 64-bit Linux; `modes` is its first field, and 0 asks without setting.
    buffer = ctypes.create_string_buffer(512)
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(buffer))
    except (OSError, AttributeError):
        return False
    return 0 <= state != _TIME_ERROR
