"""Rules that hold in every state, as an author writes them: quiet hours, limits, interlocks, roles and more."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.contracts.record import Record
from appliance.policy.workflow.words import (
    DAYS,
    Day,
    Duration,
    Expression,
    Line,
    Role,
    Selection,
    TimeOfDay,
    selected,
)

Choice = Annotated[Selection, BeforeValidator(selected, json_schema_input_type=str | Selection)]
Choices = Annotated[tuple[Choice, ...], Field(min_length=1, max_length=64, strict=False)]


class Quiet(Record):
    """A time of day in which the tools rest, in the site's time zone; it may pass midnight."""

    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")
    days: Annotated[tuple[Day, ...], Field(min_length=1, strict=False)] = DAYS
    """Days on which it begins."""


class Limit(Record):
    """At most so many calls in a sliding time."""

    calls: int = Field(ge=1, le=1000)
    per: Duration
    each: Annotated[str, Field(pattern="^(all|tool|origin)$")] = "all"
    """Counted together, for each tool, or for each role of origin, not for each person.

    Roles of origin are operator, approver, admin, controller, timer and system: two operators share one count.
    """


class Exclusive(Record):
    """The tools of the rule and those named here keep a distance in time."""

    against: Choices = Field(alias="with")
    within: Duration
    """After a call of one side, the other side rests this long."""


class Confirmation(Record):
    """When a person must say yes."""

    below: float | None = Field(default=None, gt=0, le=1)
    """Only below this confidence; always when absent."""


class Rule(Record):
    """One rule; it holds in every state, for the tools that it names."""

    tools: Choices
    quiet: Quiet | None = None
    limit: Limit | None = None
    needs: Expression | None = None
    """What must be measured for the tools to act: an interlock. Unknown is not enough."""

    exclusive: Exclusive | None = None
    roles: Annotated[tuple[Role, ...], Field(min_length=1, strict=False)] | None = None
    """Who may call the tools; everyone else may not."""

    confirm: Confirmation | None = None
    why: Line = ""
    """Told to whoever is refused."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        found = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(found) != 1:
            said = "says nothing" if not found else f"says {' and '.join(found)}"
            raise PydanticCustomError(
                "rule", "{said}; a rule has exactly one of {kinds}", {"said": said, "kinds": ", ".join(KINDS)}
            )
        return self


KINDS: Final = ("quiet", "limit", "needs", "exclusive", "roles", "confirm")
