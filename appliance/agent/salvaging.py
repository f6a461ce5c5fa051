"""What was saved from a damaged database, written into the ledger of the new one; nothing the controller lacks is lost.

The records of the old epoch lie in `past`, and the uplink speaks of the current epoch only: those that the controller
has not acknowledged travel inside records of kind `salvaged`, whole, so that it can check them against the old tree.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.storage import audit, meta, salvage
from appliance.storage.database import Database

WRAPPED_BYTES: Final = 16_384
"""Of old records in one new one: far below what a broker takes in one message."""


def tell(db: Database, clock: Clock, *, enrolled: bool) -> JsonObject | None:
    """Write down what was saved and what was lost, once, also when the power goes in between.

    Returns:
        The report, if there was something to tell.

    Raises:
        StorageError: no room; the next start goes on where this one ended.
    """
    kept = meta.get(db, salvage.REPORT)
    if kept is None:
        return None
    report: JsonObject = json.loads(kept)
    if not report.get("told"):
        with db.atomic():
            audit.append(db, AuditRecord(kind="salvaged", moment=clock.moment(), facts=report))
            meta.put(db, salvage.REPORT, json.dumps({**report, "told": True}))
    after = report.get("acknowledged")
    if enrolled and isinstance(after, int):
        while (wrapped := _next(db, str(report["epoch"]), after)) is not None:
            facts, after = wrapped
            with db.atomic():
                audit.append(db, AuditRecord(kind="salvaged", moment=clock.moment(), facts=facts))
                meta.put(db, salvage.REPORT, json.dumps({**report, "told": True, "acknowledged": after}))
    db.execute("delete from meta where key = ?", (salvage.REPORT,))
    return report


def _next(db: Database, epoch: str, after: int) -> tuple[JsonObject, int] | None:
    """Return the next old records that the controller lacks, as the facts of one new record."""
    bodies: list[str] = []
    room = WRAPPED_BYTES
    with db.reading() as connection:
        for row in _rows(connection, epoch, after):
            if bodies and len(row["body"]) > room:
                break
            bodies.append(row["body"])
            after, room = int(row["seq"]), room - len(row["body"])
    return ({"epoch": epoch, "upto": after, "records": list(bodies)}, after) if bodies else None


def _rows(connection: sqlite3.Connection, epoch: str, after: int) -> list[sqlite3.Row]:
    sql = "select seq, body from past where epoch = ? and seq > ? order by seq limit 64"
    return connection.execute(sql, (epoch, after)).fetchall()
