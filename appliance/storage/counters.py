"""Which counters of an issuer were used: a sliding window that survives a restart.

The window lets messages overtake each other (unicast, group, a stick) without letting any of them count twice.
"""

from __future__ import annotations

from typing import Final, Literal

from appliance.storage.database import Database

WINDOW_N: Final = 1024

Verdict = Literal["new", "used", "too_old"]


def look(db: Database, issuer: str, counter: int) -> Verdict:
    """Tell whether *counter* may still be used by *issuer*; changes nothing."""
    highest, used = _window(db, issuer)
    if counter > highest:
        return "new"
    age = highest - counter
    if age >= WINDOW_N:
        return "too_old"
    return "used" if used >> age & 1 else "new"


def use(db: Database, issuer: str, counter: int) -> Verdict:
    """Use *counter* up if it is new; part of the transaction that keeps the request.

    Returns:
        What `look` would have said before.
    """
    with db.atomic() as connection:
        verdict = look(db, issuer, counter)
        if verdict == "new":
            highest, used = _window(db, issuer)
            if counter > highest:
                # A jump beyond the window forgets it all; shifting by the jump itself could take all memory.
                shift = counter - highest
                used = 1 if shift >= WINDOW_N else (used << shift | 1) & ((1 << WINDOW_N) - 1)
                highest = counter
            else:
                used |= 1 << (highest - counter)
            connection.execute(
                "insert into issuers (key_id, highest, used) values (?, ?, ?)"
                " on conflict (key_id) do update set highest = excluded.highest, used = excluded.used",
                (issuer, highest, f"{used:x}"),
            )
        return verdict


def highest(db: Database) -> dict[str, int]:
    """Return the highest counter seen of each issuer."""
    return {str(r["key_id"]): int(r["highest"]) for r in db.rows("select key_id, highest from issuers")}


def _window(db: Database, issuer: str) -> tuple[int, int]:
    row = db.row("select highest, used from issuers where key_id = ?", (issuer,))
    return (0, 0) if row is None else (int(row["highest"]), int(row["used"], 16))
