"""Whether those whom the laws ask to approve are enrolled: else what waits for them waits until it lapses."""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.checks.finding import Finding, Patient
from appliance.errors import StorageError
from appliance.policy.workflow.asks_people import approvals
from appliance.policy.workflow.people import approvers, outranks
from appliance.storage import database, people
from appliance.storage import laws as kept_laws
from appliance.storage.database import Database

_NAMED_N: Final = 5
"""More places would hide the remedy."""


def enough_people(patient: Patient) -> Finding:
    """Whether every approval that a law in force wants can be given by people who are enrolled."""
    path = patient.home.database
    if not path.exists():
        return Finding("people", "ok", "nobody is enrolled yet")
    try:
        reader = database.open_reader(path)
        try:
            db = Database(path, reader)
            if db.row("select 1 from sqlite_schema where name = 'law_set'") is None:
                return Finding("people", "ok", "the database is of an older form; the next start brings it up to date")
            roles = people.roles(db)
            kept = kept_laws.accepted(db)
            laws = () if kept is None else kept.laws
            texts = {f"{law.name} {law.version}": kept_laws.text_of(db, law.digest) for law in laws}
        finally:
            reader.close()
    except (StorageError, sqlite3.Error) as error:
        return Finding("people", "warn", str(error), "See what is said of `records`.")
    short = []
    for name, text in texts.items():
        # A text that is lost or cannot be read is said by the daemon: then the laws cannot be used at all.
        for asks in (approvals(text) or ()) if text is not None else ():
            need = asks.approval
            able_n = sum(outranks(role, need.role) for role in roles.values())
            if able_n < need.people:
                short.append(f"{name}, {asks.where}, waits for {approvers(need)}; enrolled: {able_n}")
    said = f"{len(roles)} enrolled" if roles else "nobody is enrolled"
    if short:
        more = f"; and {len(short) - _NAMED_N} more places" if len(short) > _NAMED_N else ""
        remedy = "`appliance people add NAME --role approver`; until then this waits until it lapses."
        return Finding("people", "warn", f"{said}, and {'; '.join(short[:_NAMED_N])}{more}", remedy)
    return Finding("people", "ok", f"{said}; the laws in force ask for nobody who is missing")
