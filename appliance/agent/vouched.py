"""The ledger at a glance: how far it is and how far signed, by which key, how it began, how long its room lasts."""

from __future__ import annotations

import json

from appliance.contracts.record import JsonObject
from appliance.errors import WireError
from appliance.storage import audit, checkpoints, database, retention, usage
from appliance.storage.database import Database
from appliance.trust import notes
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Verifier


def vouched(db: Database, public: PublicKey, *, origin: str, quota_bytes: int) -> JsonObject:
    """Return the ledger's part of the status; cheap enough for every look."""
    with db.reading() as connection:
        size = audit.size(connection)
        newest = checkpoints.latest(connection)
        used = retention.used_bytes(connection)
        room = usage.prospects(connection, quota_bytes)
        first = next(audit.rows(connection, limit=1), None)
    return {
        "epoch": database.epoch(db),
        "records": size,
        "unsigned": size - (newest.size if newest else 0),
        "checkpoint": None if newest is None else {"size": newest.size, "at": newest.at, "root": _root(newest.note)},
        "key_id": public.key_id,
        "verifier": str(Verifier(origin, public)),
        "began": "" if first is None else _reason(first.body),
        "used_bytes": used,
        "quota_bytes": quota_bytes,
        **room.model_dump(mode="json"),
    }


def _root(note: str) -> str:
    try:
        return notes.parse_checkpoint(notes.parse(note.encode()).text).root.hex()
    except WireError:
        return ""


def _reason(body: str) -> str:
    facts = json.loads(body).get("facts", {})
    return str(facts.get("reason") or "") if isinstance(facts, dict) else ""
