"""What an acknowledgement calls the last record that it covers, so that nobody takes it for another with that number.

A card that was copied, or an image that was put back, has two histories with the same numbers. Covers: a record of
either stream, also after the site has changed what it shares. Does not cover: who signed it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from appliance.contracts.canonical import canonical


def of_event(seq: int, item_id: str, kind: str, at: datetime) -> str:
    """Return the name of an event; its body is not in it, which leaves the device shorter or longer by the settings."""
    moment = at if at.tzinfo is None else at.astimezone(UTC)
    return hashlib.sha256(canonical([seq, item_id, kind, moment.isoformat()])).hexdigest()


def of_record(leaf: bytes) -> str:
    """Return the name of a record of the ledger: its leaf in the tree."""
    return leaf.hex()
