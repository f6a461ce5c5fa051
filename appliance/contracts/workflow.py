"""What a declared workflow does and is asked, as the ledger tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from appliance.contracts.audit import Moment
from appliance.contracts.decision import Facts
from appliance.contracts.record import JsonObject


class Weighed(Facts):
    """A guard or rule that was asked, and its answer."""

    what: str
    """Which: an arrow, a grant, a rule."""

    said: Literal["true", "false", "unknown"]
    text: str = ""
    values: JsonObject = Field(default_factory=dict)
    """Every measurement that it looked at; null where there is none."""

    why: str = ""


StepKind = Literal[
    "started",
    "moved",
    "returned",
    "parked",  # an arrow waits for approvals
    "approved",  # one approval more; not enough yet
    "lapsed",  # an arrow that waited waits no more
    "held",  # a cause without a guard that holds
    "denied",  # not from this role
    "illegal",  # nothing waits for this here
    "swapped",  # a newer version of the file took over
    "ended",  # the owner withdrew the workflow
    "noted",  # counted, nothing moves
]


class Step(Facts):
    """`run`: what one event did to a run."""

    kind: StepKind
    run_id: str
    workflow: str
    version: int
    seq: int
    at: Moment
    event: JsonObject
    before: str
    after: str
    way: str = ""
    """The arrow that was taken or that waits: where it stands in the file."""

    cause: str = ""
    outcome: str = ""
    """Of a part that ended by this step."""

    set_aside: bool = False
    """Something more urgent went first; the event itself did nothing."""

    reason: str = ""
    weighed: tuple[Weighed, ...] = ()
    context_version: int = 0


class LawNamed(Facts):
    """A law, by which version of which text."""

    name: str
    version: int
    digest: str
    """SHA-256 of the file."""


class LawsRead(Facts):
    """`laws`: the owner's laws were read, and either put into force or not."""

    number: int = 0
    """Of the set in force, as its owner counts; 0 where nobody signed it."""

    signed_by: str = ""
    """Key id of its owner; empty where nobody signed it."""

    laws: tuple[LawNamed, ...] = ()
    """In force from here on."""

    barred: str = ""
    """Why there are none that can be used, and so nothing acts."""

    complaints: tuple[str, ...] = ()
    """Why what lies in HOME/laws was not put into force; what was before stays."""
