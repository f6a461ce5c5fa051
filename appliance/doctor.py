"""Looks at a home and the machine under it and says what it found and what to do; changes nothing.

Covers: settings, machine, permissions, disk, database, SQLite's own version, bundle, runtime and its speed, threads,
slots, what a new bundle would be tried behind, the second model, clock, daemon, broker, people whom the laws want.
Does not cover: every record of the ledger; `appliance audit verify` reads that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance import settings
from appliance.checks import bundles, links, machine, model, people, records, second
from appliance.checks.finding import Finding, Patient
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.errors import SettingsError
from appliance.settings import Settings

Check = Callable[[Patient], Finding]

CHECKS: Final[tuple[Check, ...]] = (
    machine.machine,
    machine.permissions,
    machine.disk,
    records.records,
    records.room,
    records.sqlite_version,
    people.enough_people,
    model.bundle,
    model.runtime,
    bundles.slots,
    bundles.named,
    bundles.cage,
    second.escalation,
    machine.clock,
    links.daemon,
    links.fleet,
)
"""In the order in which a person would look."""


def examine(home: Home, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Run every check; one that breaks is itself a finding, and a bad settings file does not stop the others."""
    try:
        chosen = settings.load(home.root)
        found = str(home.settings) if home.settings.exists() else "defaults, no file yet"
        findings = [Finding("settings", "ok", found)]
    except SettingsError as error:
        chosen = Settings()
        findings = [
            Finding("settings", "fail", str(error), f"Mend {home.settings}; the checks below use the defaults.")
        ]
    for check in checks:
        try:
            findings.append(check(Patient(home, chosen)))
        except Exception as error:  # noqa: BLE001 -- a sick machine must still get its report
            findings.append(
                Finding(check.__name__, "fail", f"the check itself broke: {error!r}", "Please report this.")
            )
    return findings


def as_json(findings: list[Finding]) -> JsonObject:
    """Return what `doctor --json` prints."""
    return {"ok": not is_sick(findings), "checks": [dict(finding._asdict()) for finding in findings]}


def is_sick(findings: list[Finding]) -> bool:
    """Tell whether anything failed."""
    return any(finding.level == "fail" for finding in findings)
