"""Who counts as what: roles of origins, which role stands above which, who may approve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from appliance.contracts.audit import Moment
from appliance.contracts.people import PersonRole, name_key
from appliance.contracts.request import Origin, OriginKind
from appliance.policy.workflow.language import Approval
from appliance.policy.workflow.run import Given, Who
from appliance.policy.workflow.timing import elapsed_s
from appliance.policy.workflow.words import Role

_RANKS: Final[tuple[Role, ...]] = ("viewer", "operator", "approver", "admin")
_OF_KIND: Final[dict[OriginKind, Role]] = {
    OriginKind.CONTROLLER: "controller",
    OriginKind.TIMER: "timer",
    OriginKind.SYSTEM: "system",
}


def who(origin: Origin, person: str = "") -> Who:
    """Return who proposes; a role that nobody has heard of may look and nothing else.

    Args:
        person: the enrolled operator, where the receiving side knows; else the peer.
    """
    own: Role = next((role for role in _RANKS if role == origin.role), "viewer")
    return Who(person=person or origin.peer, role=_OF_KIND.get(origin.kind, own))


def outranks(role: Role, needed: Role) -> bool:
    """Return whether a person in *role* may do what *needed* may; controllers, timers and laws never may."""
    return role in _RANKS and _RANKS.index(role) >= _RANKS.index(needed)


def is_same(one: str, other: str) -> bool:
    """Return whether two names are of one person: case and accents do not tell people apart.

    >>> is_same("bo", "Bo"), is_same("uid:1000 pid:7", "uid:1000 pid:8")
    (True, False)
    """
    return _key(one) == _key(other)


def _key(person: str) -> str:
    return name_key(person) or person


def still_good(given: Iterable[Given], enrolled: Mapping[str, PersonRole]) -> tuple[Given, ...]:
    """Return what is left of approvals: none of somebody who was removed, and none in more than the present role.

    Args:
        enrolled: everybody's role now, by the key of the name.
    """
    left = []
    for one in given:
        role = enrolled.get(_key(one.who.person))
        if role is not None:
            who_now = one.who if outranks(role, one.who.role) else one.who.model_copy(update={"role": role})
            left.append(one.model_copy(update={"who": who_now}))
    return tuple(left)


def fallen(given: Iterable[Given], enrolled: Mapping[str, PersonRole], needed: Role) -> tuple[str, ...]:
    """Return who of those that approved could not any more, because they were removed or are below *needed*."""
    listed = tuple(given)
    good = {_key(one.who.person) for one in still_good(listed, enrolled) if outranks(one.who.role, needed)}
    return tuple(one.who.person for one in listed if _key(one.who.person) not in good)


def is_named(asker: Who) -> bool:
    """Return whether a person said who it is; the account of a program (`uid:1000 pid:7`) is nobody's name."""
    return ":" not in asker.person


def approvers(need: Approval) -> str:
    """Write who must approve: `2 people in the role approver`."""
    people = "one person" if need.people == 1 else f"{need.people} different people"
    return f"{people} in the role {need.role}" + (", not whoever asked" if need.others else "")


def is_approved(need: Approval, given: Iterable[Given], subject: str, asked_by: str, now: Moment) -> tuple[bool, int]:
    """Return whether enough people approved exactly *subject* in time, and how many did."""
    people = set()
    for one in given:
        passed = elapsed_s(one.at, now)
        if one.of != subject or passed is None or passed > need.within or not outranks(one.who.role, need.role):
            continue
        if need.others and is_same(one.who.person, asked_by):
            continue
        people.add(_key(one.who.person))
    return len(people) >= need.people, len(people)
