"""Is the schema of a file the one that this software makes? A file can bring triggers and views of its own, which lie.

The version in the file says which schema it must have.

Covers: triggers on our tables, indices with another text, a table in a view's place (all removed and made anew by
`mend`), a table of ours that is none or has another key (the file is damaged), an index that leaves rows out (`faults`
of a file up to `INDICES_UP_TO_BYTES`).
Does not cover: the text of views, which changes between versions (readers bring their own: `views.lend`); an owner's
tables and views under other names, which may stay; rows (`audit verify` tells).
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Final, NamedTuple

from appliance.contracts.canonical import digest
from appliance.errors import StorageError
from appliance.storage import migrations, views

INDICES_UP_TO_BYTES: Final = 64 * 2**20
"""Larger files are not read twice: `pragma integrity_check` looks every row up in every index."""

_INDEXED: Final = ("audit", "past", "checkpoints", "tree", "holds")
_SHOWN_CHARS: Final = 60


class Entry(NamedTuple):
    """One object of a schema."""

    type: str
    name: str
    table: str
    sql: str


class Fault(NamedTuple):
    """One object that is not as this software makes it."""

    entry: Entry
    what: str
    is_damage: bool = False
    """It is in the place of a table of ours: rows may be gone or double, and only salvaging helps."""

    @property
    def sql_sha256(self) -> str:
        """Hash of the object's text, for the record."""
        return digest(self.entry.sql)

    def __str__(self) -> str:
        """Say it in one line that a terminal may show."""
        name = "".join(c if c.isprintable() else "?" for c in self.entry.name[:_SHOWN_CHARS])
        return f"the {self.entry.type} {name} {self.what}"


def found(connection: sqlite3.Connection) -> list[Fault]:
    """Compare the schema of *connection*'s file with the one that its version must have.

    Raises:
        StorageError: the file is from newer software.
    """
    version = connection.execute("pragma user_version").fetchone()[0]
    if not 0 <= version <= len(migrations.STEPS):
        raise StorageError(
            f"the database has schema {version}, this software knows {len(migrations.STEPS)}; install the newer one"
        )
    wanted = _wanted(version)
    ours = {entry.name.lower() for entry in wanted.values()}
    faults, seen = [], set()
    for entry in _entries(connection):
        name = entry.name.lower()
        meant = wanted.get(name)
        seen.add(name)
        if entry.type == "trigger":
            if entry.table.lower() in ours:
                faults.append(Fault(entry, f"hangs on {entry.table}, and the appliance has no triggers"))
        elif entry.type == "index" and meant is None:
            if entry.table.lower() in ours:
                faults.append(Fault(entry, f"on {entry.table} is none of the appliance's"))
        elif meant is None:
            continue  # an owner's own table or view
        elif meant.type == "view" and entry.type == "view":
            continue  # another version's text, or a lie: our readers bring their own, the writer makes it anew
        elif (entry.type, entry.name, entry.table, entry.sql) != meant:
            what = "has another text than the appliance's" if entry.type == meant.type else f"stands for a {meant.type}"
            faults.append(Fault(entry, what, is_damage=meant.type == "table"))
    for name, meant in wanted.items():
        # A view is made after the tables: a first start may have been cut off in between.
        if name not in seen and meant.type != "view":
            faults.append(Fault(meant._replace(sql=""), "is missing", is_damage=meant.type == "table"))
    return faults


def faults(connection: sqlite3.Connection) -> list[str]:
    """Say everything that is wrong with the schema, and with the indices of a file that is not too large.

    Raises:
        StorageError: the file is from newer software.
    """
    said = [str(fault) for fault in found(connection)]
    if said:
        return said
    pages_n = connection.execute("pragma page_count").fetchone()[0]
    if pages_n * connection.execute("pragma page_size").fetchone()[0] > INDICES_UP_TO_BYTES:
        return []
    there = {entry.name for entry in _entries(connection) if entry.type == "table"}
    for table in _INDEXED:
        if table in there:
            verdict = _text(connection.execute(f"pragma integrity_check({table})").fetchone()[0])
            if verdict != "ok":
                said.append(f"the table {table} and its indices do not agree: {verdict.splitlines()[-1][:200]}")
    return said


def mend(connection: sqlite3.Connection) -> None:
    """Remove what is not ours and make what is: triggers, indices, what stands in a view's place; tables stay.

    Called before any migration, so that nothing foreign runs in one; `views.apply` makes the views.

    Raises:
        sqlite3.DatabaseError: the file cannot be written, or does not let go of it.
    """
    wrong = [fault.entry for fault in found(connection) if not fault.is_damage]
    if not wrong:
        return
    wanted = _wanted(connection.execute("pragma user_version").fetchone()[0])
    connection.execute("begin immediate")
    try:
        # Triggers first: none of them sees what follows. A missing index has no text.
        for entry in sorted(wrong, key=lambda entry: entry.type != "trigger"):
            if entry.sql:
                connection.execute(f"drop {entry.type} {_quoted(entry.name)}")
        for entry in wrong:
            meant = wanted.get(entry.name.lower())
            if meant is not None and meant.type == "index":
                connection.execute(meant.sql)
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    connection.commit()


@cache
def _wanted(version: int) -> dict[str, Entry]:
    """Return the schema of *version* by name, made by the very steps that make a device's."""
    empty = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for step in migrations.STEPS[:version]:
            step(empty)
        if version:
            views.apply(empty)
        return {entry.name.lower(): entry for entry in _entries(empty)}
    finally:
        empty.close()


def _entries(connection: sqlite3.Connection) -> list[Entry]:
    """Return the schema; what SQLite makes by itself (`sqlite_...`) follows from the rest."""
    rows = connection.execute("select type, name, tbl_name, sql from main.sqlite_schema").fetchall()
    entries = [Entry(*(_text(value) for value in row)) for row in rows]
    return [entry for entry in entries if not entry.name.startswith("sqlite_")]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
