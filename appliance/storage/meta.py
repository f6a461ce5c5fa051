"""Small facts about the database itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from appliance.contracts.record import JsonObject
from appliance.storage.database import Database

_HEAD_FILE: Final = "ledger-head.json"


def get(db: Database, key: str) -> str | None:
    """Return a fact by name."""
    row = db.row("select value from meta where key = ?", (key,))
    return None if row is None else str(row["value"])


def put(db: Database, key: str, value: str) -> None:
    """Keep a fact by name."""
    db.execute("insert into meta values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))


def next_boot(db: Database, home: Path) -> int:
    """Count this start and return its number, 1 for the first; it goes on counting when the database was lost."""
    beside = (remembered_head(home) or {}).get("boot", 0)
    with db.atomic():
        boot = max(int(get(db, "boot") or 0), beside if isinstance(beside, int) else 0) + 1
        put(db, "boot", str(boot))
    return boot


def remembered_head(home: Path) -> JsonObject | None:
    """Return the ledger's head as last written beside the database: what a successor's first record cites."""
    try:
        found = json.loads((home / _HEAD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def remember_head(home: Path, epoch: str, seq: int, head: str, boot: int) -> None:
    """Write the ledger's head beside the database, whole or not at all."""
    draft = home / f".{_HEAD_FILE}"
    try:
        draft.write_text(json.dumps({"epoch": epoch, "seq": seq, "hash": head, "boot": boot}), encoding="utf-8")
        draft.replace(home / _HEAD_FILE)
    except OSError:
        # A full disk: the older head stays, and the ledger itself is what counts.
        draft.unlink(missing_ok=True)
