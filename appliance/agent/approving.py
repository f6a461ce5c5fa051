"""A person's approval of a call that waits: whether it counts, and for what."""

from __future__ import annotations

from appliance.agent.plan import Kept
from appliance.contracts.audit import Moment
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Origin, OriginKind
from appliance.policy.answers import Wanted
from appliance.policy.workflow.people import is_same, outranks, who
from appliance.policy.workflow.run import Given


def counted(kept: Kept, asked_by: Origin, origin: Origin, now: Moment, *, yes: bool) -> tuple[Given, ...] | str:
    """Return every approval of the call with the one of *origin*, or why that one does not count."""
    asker = who(origin, origin.person)
    mine = [want for want in kept.wanted if origin.person and outranks(asker.role, want.role)]
    if not mine:
        roles = " or ".join(sorted({want.role for want in kept.wanted}))
        return f"This waits for an enrolled {roles}, with name and PIN."
    if not yes:
        return kept.given  # whoever may approve may refuse, also after having approved
    if not asked_by.person and all(want.others for want in mine) and asked_by.kind is OriginKind.OPERATOR:
        return "Whoever asked does not approve, and nobody knows who asked: it has to be asked with name and PIN."
    mine = [want for want in mine if not (want.others and is_same(origin.person, asked_by.person))]
    if not mine:
        return "Whoever asked does not approve."
    if any(is_same(one.who.person, origin.person) for one in kept.given):
        return f"{origin.person} has approved already."
    return (*kept.given, *(Given(of=want.of, who=asker, at=now) for want in mine))


def still_wanted(wanted: tuple[Wanted, ...], given: tuple[Given, ...]) -> JsonObject:
    """Return whose approvals are waited for, and whose are there."""
    strictest = max(wanted, key=lambda want: want.people_n)
    names = {one.who.person for one in given}
    return {"role": strictest.role, "people_n": strictest.people_n, "given": [*sorted(names)]}
