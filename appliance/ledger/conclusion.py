"""What a look that found nothing wrong says of itself: what it does not prove."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.ledger.verdict import LOST, SIGNED, UNANCHORED, UNSIGNED, UNVERIFIABLE


def reasons(size: int, signed_size: int, *, is_anchored: bool) -> list[str]:
    """Say what is left open of a ledger of *size* records, of which *signed_size* are under a checkpoint that holds."""
    said = []
    if not signed_size:
        said.append(UNANCHORED)
    elif not is_anchored:
        said.append(SIGNED.format(size=signed_size))
    if 0 < signed_size < size:
        said.append(UNSIGNED.format(first=signed_size + 1, last=size))
    return said


def lost(unverifiable: Sequence[tuple[int, int]]) -> str:
    """Say what the loss of records leaves of the others."""
    if not unverifiable:
        return LOST
    named = ", ".join(f"{first} to {last}" for first, last in unverifiable[:5])
    return UNVERIFIABLE.format(runs=named if len(unverifiable) <= 5 else f"{named} and others")
