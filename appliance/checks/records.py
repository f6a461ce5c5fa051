"""The database, and the SQLite that writes it."""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.checks.finding import Finding, Patient
from appliance.errors import StorageError
from appliance.storage import audit, database

WAL_RESET_FIRST: Final = (3, 7, 0)
WAL_RESET_FIXED: Final = (3, 51, 3)
"""SQLite between these can corrupt a WAL database when two connections write or checkpoint at once."""

_SET_ASIDE: Final = "Stop and start the daemon: it sets a damaged file aside and begins a new one; nothing is deleted."


def records(patient: Patient) -> Finding:
    """The database opens, its pages hold together, and how much is in it."""
    path = patient.home.database
    if not path.exists():
        return Finding("records", "ok", "no database yet; the first start makes it")
    try:
        reader = database.open_reader(path)
        try:
            verdict = str(reader.execute("pragma quick_check(3)").fetchone()[0])
            seq, _ = audit.head(reader)
        finally:
            reader.close()
    except (StorageError, sqlite3.Error) as error:
        return Finding("records", "fail", str(error), _SET_ASIDE)
    if verdict != "ok":
        return Finding("records", "fail", verdict, _SET_ASIDE)
    found = f"{seq:,} records, {path.stat().st_size / 2**20:.1f} MB, pages in order"
    aside = sorted(p.name for p in path.parent.glob(f"{path.name}.corrupt-*") if not p.name.endswith(("-wal", "-shm")))
    if aside:
        remedy = "Copy them elsewhere, and look at the card's health."
        return Finding("records", "warn", f"{found}; set aside: {', '.join(aside)}", remedy)
    return Finding("records", "ok", found)


def sqlite_version(patient: Patient) -> Finding:
    """SQLite 3.7.0 to 3.51.2 has the WAL-reset bug; one writer is what protects this appliance from it."""
    found = f"SQLite {sqlite3.sqlite_version}"
    if WAL_RESET_FIRST <= sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        return Finding(
            "sqlite",
            "ok",
            f"{found}, which has the WAL-reset bug; the daemon is the only writer, so it is not met",
            f"Never write to {patient.home.database.name} with another program while the daemon runs.",
        )
    return Finding("sqlite", "ok", found)
