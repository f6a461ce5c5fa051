"""What a device knows of bundles: signed documents as they came, what it has had, how long each has lain here."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from appliance.storage.database import Database

DocumentKind = Literal["root", "revocations"]


class Document(NamedTuple):
    """A signed document as it came."""

    number: int
    body: bytes


class Seen(NamedTuple):
    """A bundle that lay on this device."""

    sha256: str
    name: str
    release: int
    first_at: str
    powered_s: float


def newest(db: Database, kind: DocumentKind) -> Document | None:
    """Return the document of *kind* that is in force."""
    with db.reading() as connection:
        return in_force(connection, kind)


def in_force(reader: sqlite3.Connection, kind: DocumentKind) -> Document | None:
    """Return the document of *kind* that is in force, by any connection."""
    row = reader.execute("select number, body from trust_documents where kind = ?", (kind,)).fetchone()
    return None if row is None else Document(int(row["number"]), str(row["body"]).encode())


def keep_root(db: Database, document: Document, at: datetime, floors: Mapping[str, int], *, forget_list: bool) -> None:
    """Put a root in force, with the floors that it sets.

    Args:
        forget_list: the revocation list that is here is forgotten.
    """
    with db.atomic() as connection:
        if forget_list:
            connection.execute("delete from trust_documents where kind = 'revocations'")
        _put(connection, "root", document, at)
        connection.executemany(
            "insert or replace into bundle_floors values (?, ?, null, ?)",
            [(name, release, at.isoformat()) for name, release in sorted(floors.items())],
        )


def keep_revocations(db: Database, document: Document, at: datetime) -> None:
    """Put a revocation list in the place of the one before."""
    with db.atomic() as connection:
        _put(connection, "revocations", document, at)


def floor(db: Database, name: str) -> tuple[int, str | None] | None:
    """Return the release that bundles called *name* go on from here, and the hash of the one that had it."""
    row = db.row("select release, sha256 from bundle_floors where name = ?", (name,))
    return None if row is None else (int(row["release"]), row["sha256"])


def raise_floor(db: Database, name: str, release: int, sha256: str, at: datetime) -> None:
    """Go on from *release*; a lower one changes nothing. What cannot come any more is forgotten."""
    with db.atomic() as connection:
        connection.execute(
            "insert into bundle_floors values (?, ?, ?, ?) on conflict (name) do update set release = excluded.release,"
            " sha256 = excluded.sha256, at = excluded.at where excluded.release >= release",
            (name, release, sha256, at.isoformat()),
        )
        connection.execute("delete from bundles_seen where name = ? and release < ?", (name, release))


def floors(db: Database) -> dict[str, int]:
    """Return by name the release below which none is taken."""
    return {str(r["name"]): int(r["release"]) for r in db.rows("select name, release from bundle_floors")}


def restore_floor(db: Database, name: str, release: int, at: datetime) -> None:
    """Go on from *release* as it is known outside the database; no effect where the database knows as much."""
    db.execute(
        "insert into bundle_floors values (?, ?, null, ?) on conflict (name) do update set release = excluded.release,"
        " sha256 = null, at = excluded.at where excluded.release > release",
        (name, release, at.isoformat()),
    )


def see(db: Database, sha256: str, name: str, release: int, at: datetime) -> None:
    """Begin to count for a bundle; one that was seen before goes on counting."""
    db.execute(
        "insert into bundles_seen values (?, ?, ?, ?, 0) on conflict do nothing",
        (sha256, name, release, at.isoformat()),
    )


def seen(db: Database, sha256: str) -> Seen | None:
    """Return what is known of a bundle; None when it never lay here."""
    row = db.row("select sha256, name, release, first_at, powered_s from bundles_seen where sha256 = ?", (sha256,))
    return None if row is None else Seen(*row)


def ran(db: Database, powered_s: float, *, until_s: float) -> None:
    """Add powered time to every bundle that has lain here for less than *until_s*."""
    db.execute("update bundles_seen set powered_s = powered_s + ? where powered_s < ?", (powered_s, until_s))


def is_counting(db: Database, until_s: float) -> bool:
    """Tell whether any bundle has lain here for less than *until_s*."""
    return db.row("select 1 from bundles_seen where powered_s < ? limit 1", (until_s,)) is not None


def _put(connection: sqlite3.Connection, kind: DocumentKind, document: Document, at: datetime) -> None:
    connection.execute(
        "insert or replace into trust_documents values (?, ?, ?, ?)",
        (kind, document.number, at.isoformat(), document.body.decode()),
    )
