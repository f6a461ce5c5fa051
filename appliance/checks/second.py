"""The second model that the settings name: whether it could be asked. Nobody is asked."""

from __future__ import annotations

from appliance.adapters.choosing import choose, has_passed
from appliance.checks.finding import Finding, Patient


def escalation(patient: Patient) -> Finding:
    """Whether a second model is chosen, and whether all that it needs is here and fit."""
    chosen, root = patient.settings.escalation, patient.home.root
    proposer = choose(chosen, root)
    if proposer is None:
        return Finding("escalation", "ok", "off: no second model is asked")
    # The hash, not the address or the model: a support archive says nothing about somebody's network.
    told = f"{proposer.kind} ({proposer.where_sha256[:12]})"
    lacks = proposer.lacks()
    if lacks:
        remedy = f"Mend it, or [escalation] in {patient.home.settings.name}; until then every question to it fails."
        return Finding("escalation", "fail", f"{told} cannot be asked: {lacks}", remedy)
    if not has_passed(chosen, root):
        remedy = "`appliance escalation check --all`; until its weights have passed, it is not asked."
        return Finding("escalation", "warn", f"{told} has not passed the safety suite here", remedy)
    return Finding("escalation", "ok", f"{told} can be asked; `appliance escalation check` does")
