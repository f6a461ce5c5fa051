"""Why something that was brought to a device is not trusted."""

from __future__ import annotations

from appliance.contracts.bundle import Code
from appliance.errors import TrustError


class Untrusted(TrustError):
    """It does not hold; where a bundle enters a device this becomes a `NotAdmitted`."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code: Code = code
        self.reason = reason
