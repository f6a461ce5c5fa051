"""A record's kind to the form of its facts: for whoever reads a ledger, replays it or prints its reference.

Covers: every kind that a request leaves behind, the steps of workflows, laws, changes of people, the configuration
that decisions cite.
Does not cover: kinds of the device itself (`boot`, `pruned` and others); their facts are read where they are used.
"""

from __future__ import annotations

from typing import Final

from appliance.contracts import decision, people, workflow
from appliance.contracts.decision import Facts
from appliance.contracts.record import JsonObject

FORMS: Final[dict[str, type[Facts]]] = {
    "decided": decision.Decided,
    "parked": decision.Parked,
    "step": decision.Step,
    "indeterminate": decision.InDoubt,
    "resolved": decision.Resolved,
    "run": workflow.Step,
    "laws": workflow.LawsRead,
    "people": people.PersonFacts,
    "configured": decision.Configured,
}
"""Kinds that have one form; `settled` and `note` have several."""


def read(kind: str, facts: JsonObject) -> Facts | None:
    """Return the facts of a record in their type; None for a kind that has none.

    Raises:
        ValueError: they are not of the form that this software writes.
    """
    form: type[Facts] | None
    match kind:
        case "settled" if "decided" in facts:
            form = decision.Settled
        case "settled":
            form = decision.Refused if "comes_to" in facts else decision.Closed
        case "note":
            form = decision.Answered if "of" in facts else None
        case _:
            form = FORMS.get(kind)
    return None if form is None else form.from_json(facts)
