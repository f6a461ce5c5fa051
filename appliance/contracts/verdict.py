"""The law's answer to a grounded call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.contracts.record import Record


class Allow(Record):
    """It may happen now."""

    verdict: Literal["allow"] = "allow"
    rule: str = "default"


class Confirm(Record):
    """A person at the device must say yes first."""

    verdict: Literal["confirm"] = "confirm"
    rule: str
    question: str


class Approve(Record):
    """Enrolled people in a role must approve first."""

    verdict: Literal["approve"] = "approve"
    rule: str
    role: str
    approvals_n: int = 1
    question: str


class Deny(Record):
    """It may not happen: what, why, what is allowed now, how to get there."""

    verdict: Literal["deny"] = "deny"
    rule: str
    reason: str
    allowed: tuple[str, ...] = ()
    remedy: str = ""


Verdict = Annotated[Allow | Confirm | Approve | Deny, Field(discriminator="verdict")]
