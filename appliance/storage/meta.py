"""Small facts about the database itself."""

from __future__ import annotations

from appliance.storage.database import Database


def get(db: Database, key: str) -> str | None:
    """Return a fact by name."""
    row = db.row("select value from meta where key = ?", (key,))
    return None if row is None else str(row["value"])


def put(db: Database, key: str, value: str) -> None:
    """Keep a fact by name."""
    db.execute("insert into meta values (?, ?) on conflict (key) do update set value = excluded.value", (key, value))


def next_boot(db: Database, beside: int) -> int:
    """Count this start and return its number, 1 for the first; it goes on counting when the database was lost.

    Args:
        beside: the number of the last start as it is known outside the database, 0 where it is not.
    """
    with db.atomic():
        boot = max(int(get(db, "boot") or 0), beside) + 1
        put(db, "boot", str(boot))
    return boot
