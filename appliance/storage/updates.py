"""The one update that a controller has asked for and that is not done yet; at most one row.

Covers: a power cut at any point: a row that was not begun is begun after it, one that was is never begun again.
Does not cover: what became of one that was cut off; `agent.updating` says what can be said.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from appliance.storage.database import Database


class Wanted(NamedTuple):
    """An update as a controller asked for it."""

    request_id: str
    peer: str
    """Which controller, as the ledger names it."""

    action: str
    name: str
    """Of the delivery or bundle; empty for a return."""

    expires_at: datetime | None
    """Not begun after this, by the device's own clock."""

    is_begun: bool = False


def put(db: Database, wanted: Wanted) -> None:
    """Keep *wanted*; part of the transaction that begins to owe its answer."""
    expires_at = None if wanted.expires_at is None else wanted.expires_at.isoformat()
    db.execute(
        "insert into updates (one, request_id, peer, action, name, expires_at, begun) values (1, ?, ?, ?, ?, ?, 0)",
        (wanted.request_id, wanted.peer, wanted.action, wanted.name, expires_at),
    )


def find(db: Database) -> Wanted | None:
    """Return the update that is not done yet."""
    row = db.row("select * from updates")
    if row is None:
        return None
    expires_at = None if row["expires_at"] is None else datetime.fromisoformat(row["expires_at"])
    return Wanted(row["request_id"], row["peer"], row["action"], row["name"], expires_at, bool(row["begun"]))


def begin(db: Database) -> None:
    """Note that it is begun: from here on it is never begun again."""
    db.execute("update updates set begun = 1")


def done(db: Database) -> None:
    """Make room for the next one; part of the transaction that keeps the final answer."""
    db.execute("delete from updates")
