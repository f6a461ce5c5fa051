"""The database, and the SQLite that writes it."""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.checks.finding import Finding, Patient
from appliance.errors import StorageError
from appliance.storage import audit, database, schema_guard, soundness
from appliance.storage.usage import measured

WAL_RESET_FIRST: Final = (3, 7, 0)
WAL_RESET_FIXED: Final = (3, 51, 3)
"""SQLite between these can corrupt a WAL database when two connections write or checkpoint at once."""

CHECK_S: Final = 30.0
"""Longest that a person who asks waits for the pages of a large ledger."""

_SET_ASIDE: Final = "Restart the daemon: it sets a damaged file aside and saves what can be read; nothing is deleted."


def records(patient: Patient) -> Finding:
    """The database opens, its pages hold together, and how much is in it."""
    path = patient.home.database
    if not path.exists():
        return Finding("records", "ok", "no database yet; the first start makes it")
    if not path.is_file():
        return Finding("records", "fail", f"{path} is no regular file", "Move it away; the next start makes one.")
    try:
        unchecked = soundness.check(path, budget_s=CHECK_S)
        reader = database.open_reader(path)
        try:
            foreign = schema_guard.faults(reader)
            seq = audit.size(reader)
            if not foreign:
                audit.head(reader)
        finally:
            reader.close()
    except LookupError as error:
        return Finding(
            "records",
            "fail",
            f"records are missing from the ledger: {error}",
            "`appliance audit verify` names them; restart the daemon: it goes on in a new epoch, nothing is deleted.",
        )
    except (StorageError, sqlite3.Error) as error:
        return Finding("records", "fail", str(error), _SET_ASIDE)
    if foreign:
        said = f"the schema is not the appliance's: {'; '.join(foreign[:3])}"
        remedy = "Somebody changed the file. Restart the daemon: it removes what is not its own and records that."
        return Finding("records", "fail", said, remedy)
    if soundness.is_marked(path):
        return Finding("records", "fail", "damage was met while the daemon ran", _SET_ASIDE)
    pages = "the rest of the ledger's pages is checked while the daemon runs" if unchecked else "pages in order"
    found = f"{seq:,} records, {path.stat().st_size / 2**20:.1f} MB, {pages}"
    aside = sorted(p.name for p in path.parent.glob(f"{path.name}.corrupt-*") if not p.name.endswith(("-wal", "-shm")))
    if aside:
        remedy = "Copy them elsewhere, and look at the card's health."
        return Finding("records", "warn", f"{found}; set aside: {', '.join(aside)}", remedy)
    return Finding("records", "ok", found)


def room(patient: Patient) -> Finding:
    """How much of their quota the records take, and whether old ones can go when it is reached."""
    path, chosen = patient.home.database, patient.settings.ledger
    if not path.exists():
        return Finding("ledger room", "ok", "no records yet")
    try:
        enrolled = patient.home.enrolment.exists()
        found = measured(path, quota_mb=chosen.quota_mb, keep_days=chosen.keep_days, enrolled=enrolled)
    except StorageError as error:
        return Finding("ledger room", "warn", str(error), "`appliance audit usage` says more once it can be read.")
    text = f"{found.used_bytes / 2**20:,.1f} of {found.quota_bytes / 2**20:,.0f} MB ({found.share:.0%})"
    if found.stop:
        remedy = "Clear what is in the way, or raise [ledger] quota_mb; `appliance audit usage` says more."
        return Finding("ledger room", "warn", f"{text}, and nothing can be pruned: {found.stop}", remedy)
    return Finding("ledger room", "ok", text)


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
