"""What the declared workflows answer about a call, as the rules beside them need it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.verdict import Verdict


class Wanted(Record):
    """Approvals that a law waits for."""

    law: str
    of: str
    """What the people approve: this call, once, in this visit of the law's state."""

    role: Literal["operator", "approver", "admin"]
    people_n: int
    within_s: float
    others: bool
    """Whoever asked does not count."""


class Said(NamedTuple):
    """What one law answered, and all that it asked on the way."""

    law: str
    state: str
    verdict: Verdict
    weighed: tuple[JsonObject, ...]


class Answer(NamedTuple):
    """What the laws answer about one call."""

    verdict: Verdict | None
    """The strictest; None where no law governs the call."""

    said: tuple[Said, ...] = ()
    carried: bool = False
    """People approved it, or a law owes it: a risk that they took on needs no further yes."""

    wanted: tuple[Wanted, ...] = ()
