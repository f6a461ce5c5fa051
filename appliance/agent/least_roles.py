"""Which request of the local protocol is for whom: one table, asked at the door before anything is done.

Covers: everything that a local client can say (a test compares the table with the protocol, and with
docs/explanation/people.md), somebody without a PIN, a device that has no admin yet.
Does not cover: what the laws say of a request (`judged`: rules, workflows and the words of `waiting` look at the role
inside), who may change the list of people (`listed`: `people` decides), commands from a controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from appliance.contracts.people import PersonRole
from appliance.policy.workflow.people import outranks

For = Literal["anybody", "judged", "listed", "operator", "keeper"]
"""`keeper`: an admin; an operator as long as no admin is enrolled."""

FOR: Final[Mapping[str, For]] = {
    "hello": "anybody",
    "status": "anybody",
    "watch": "anybody",
    "law": "anybody",
    "people": "anybody",
    "checkpoint": "anybody",
    "bundles": "anybody",
    "stop": "anybody",
    "say": "judged",
    "call": "judged",
    "confirm": "judged",
    "answer": "judged",
    "undo": "judged",
    "event": "judged",
    "approve": "judged",
    "maintenance": "judged",
    "enrol_person": "listed",
    "remove_person": "listed",
    "change_pin": "listed",
    "load_laws": "operator",
    "release": "operator",
    "resolve": "operator",
    "hold": "operator",
    "release_hold": "operator",
    "quit": "operator",
    "install_bundle": "operator",
    "roll_back_bundle": "operator",
    "sync_import": "operator",
    "sync_export": "operator",
    "activate_bundle": "keeper",
    "trust_document": "keeper",
    "rotate_key": "keeper",
    "redact": "keeper",
    "prune": "keeper",
}


def against(op: str, role: PersonRole, *, has_admin: bool) -> str:
    """Say why somebody in *role* may not ask for *op*; empty where they may, or where it is decided further inside."""
    needed: PersonRole
    match FOR[op]:
        case "operator":
            needed = "operator"
        case "keeper":
            needed = "admin" if has_admin else "operator"
        case _:
            return ""
    if outranks(role, needed):
        return ""
    return f"That takes an {needed}, not a {role}: say who you are, with name and PIN. Nothing was done."
