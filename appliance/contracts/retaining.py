"""What a person may ask of the ledger's keeping over the local protocol: hold, release, redact, prune."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from appliance.contracts.known import Known
from appliance.contracts.selection import Selection

MAX_REASON_CHARS = 500


class HoldRecords(Known):
    """Keep records from being pruned and redacted until they are released."""

    op: Literal["hold"] = "hold"
    records: Selection
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS)


class ReleaseHold(Known):
    """Let a hold go."""

    op: Literal["release_hold"] = "release_hold"
    hold_id: int = Field(ge=1)
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS)


class RedactRecords(Known):
    """Erase what somebody said; one of `request_id`, `seq` and `older_than_days` says where."""

    op: Literal["redact"] = "redact"
    request_id: str | None = None
    seq: int | None = Field(default=None, ge=1)
    older_than_days: float | None = Field(default=None, ge=0, le=36_500)
    fields: tuple[str, ...] = Field(default=(), max_length=32)
    """Names under `personal`; all of them when empty."""

    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARS)


class PruneRecords(Known):
    """Prune now what the settings let go, at once and not a little at a time."""

    op: Literal["prune"] = "prune"


RetainingRequest = HoldRecords | ReleaseHold | RedactRecords | PruneRecords
