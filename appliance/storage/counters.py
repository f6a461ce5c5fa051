"""Which counters of an issuer were used: sliding windows that survive a restart.

A window lets messages overtake each other (over the broker, on a stick) without letting any of them count twice. There
are two for each issuer, with numbers of their own: what is for this device, and what is for `all`. So what a whole site
is told, or what somebody says about it, voids nothing that is for one device.
"""

from __future__ import annotations

from typing import Final, Literal

from appliance.storage.database import Database

WINDOW_N: Final = 1024

_GROUP: Final = "/all"

Verdict = Literal["new", "used", "too_old"]


def window_of(issuer: str, *, to_all: bool) -> str:
    """Return the name of one of the two windows of *issuer*."""
    return f"{issuer}{_GROUP}" if to_all else issuer


def look(db: Database, window: str, counter: int) -> Verdict:
    """Tell whether *counter* may still be used in *window*; changes nothing."""
    highest, used = _window(db, window)
    if counter > highest:
        return "new"
    age = highest - counter
    if age >= WINDOW_N:
        return "too_old"
    return "used" if used >> age & 1 else "new"


def use(db: Database, window: str, counter: int) -> Verdict:
    """Use *counter* up if it is new; part of the transaction that keeps the request.

    Returns:
        What `look` would have said before.
    """
    with db.atomic() as connection:
        verdict = look(db, window, counter)
        if verdict == "new":
            highest, used = _window(db, window)
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
                (window, highest, f"{used:x}"),
            )
        return verdict


def raise_to(db: Database, window: str, counter: int) -> None:
    """Let nothing in *window* up to *counter* count any more; no effect where the database knows as much."""
    with db.atomic() as connection:
        if _window(db, window)[0] < counter:
            connection.execute(
                "insert into issuers (key_id, highest, used) values (?, ?, ?)"
                " on conflict (key_id) do update set highest = excluded.highest, used = excluded.used",
                (window, counter, f"{(1 << WINDOW_N) - 1:x}"),
            )


def highest(db: Database) -> dict[str, int]:
    """Return the highest counter seen of each window."""
    return {str(r["key_id"]): int(r["highest"]) for r in db.rows("select key_id, highest from issuers")}


def highest_by_issuer(db: Database, *, to_all: bool) -> dict[str, int]:
    """Return the highest counter seen of each issuer, of one kind."""
    found = highest(db)
    return {name.removesuffix(_GROUP): n for name, n in found.items() if name.endswith(_GROUP) == to_all}


def _window(db: Database, window: str) -> tuple[int, int]:
    row = db.row("select highest, used from issuers where key_id = ?", (window,))
    return (0, 0) if row is None else (int(row["highest"]), int(row["used"], 16))
