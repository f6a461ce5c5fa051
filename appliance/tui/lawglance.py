"""The status's `laws`, and the drawing of one law, as the console paints them; lenient like the rest of the glance."""

from __future__ import annotations

import json
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.contracts.record import JsonObject
from appliance.errors import WireError


class Part(BaseModel):
    """A part of what the daemon tells; what this console does not know is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Needed(Part):
    """People who must still approve."""

    approval_id: str = ""
    question: str = ""
    role: str = "approver"
    people_n: int = 1
    given: tuple[str, ...] = ()
    """Names of those who have."""

    by: str = ""
    """Who asked for it."""

    expires_s: float | None = None

    @classmethod
    def parse(cls, approval: JsonObject) -> Needed:
        """Read what an outcome says of approvals; what cannot be read leaves what is usual."""
        try:
            return cls.model_validate_json(json.dumps(approval))
        except ValidationError:
            return cls()

    @property
    def missing_n(self) -> int:
        """How many more."""
        return max(0, self.people_n - len(self.given))


class Owed(Part):
    """A call that the law itself makes and that has not been made yet."""

    tool: str = ""
    arguments: JsonObject = Field(default_factory=dict)


class Sayable(Part):
    """An event that the law waits for in its present state."""

    event: str = ""
    about: str = ""
    by: tuple[str, ...] = ()
    """Roles that may say it."""


class Passed(Part):
    """A step of the last path."""

    before: str = ""
    after: str = ""
    cause: str = ""
    at: datetime | None = None


class Run(Part):
    """Where one workflow is."""

    workflow: str = ""
    title: str = ""
    version: int = 0
    digest: str = ""
    danger: str = ""
    state: str = ""
    about: str = ""
    instructions: str = ""
    since: datetime | None = None
    due_s: float | None = None
    """Until time alone leads on."""

    calls: tuple[int, int] | None = None
    """Calls made in this state, and how many it allows."""

    pending: Needed | None = None
    stack: tuple[str, ...] = ()
    """States that were interrupted, the oldest first."""

    owed: tuple[Owed, ...] = ()
    events: tuple[Sayable, ...] = ()
    allowed: tuple[str, ...] = ()
    path: tuple[Passed, ...] = ()
    """Oldest first."""

    swap: str | None = None
    """Why a newer version waits to take over; None where none does."""


class Laws(Part):
    """All laws in force."""

    barred: str = ""
    """Why they cannot be used; then nothing but reading is allowed."""

    number: int | None = None
    signed_by: str = ""
    complaints: tuple[str, ...] = ()
    maintenance: str = ""
    """Who locked the device for maintenance, and why."""

    workflows: tuple[Run, ...] = ()

    def run(self, workflow: str) -> Run | None:
        """Return where *workflow* is."""
        return next((run for run in self.workflows if run.workflow == workflow), None)


class State(Part):
    """A state as it is drawn."""

    name: str
    about: str = ""
    instructions: str = ""
    allowed: tuple[str, ...] = ()
    calls: int | None = None
    deadline_s: float | None = None
    swap: bool = False


class Way(Part):
    """An arrow as it is drawn."""

    source: str
    to: str
    says: str = ""
    cause: str = ""
    key: str = ""
    approve: str = ""
    """Who must approve it."""


class LawDrawing(Part):
    """A law, as the op `law` describes it."""

    workflow: str = ""
    version: int = 0
    digest: str = ""
    initial: str = ""
    safe: str = ""
    states: tuple[State, ...] = ()
    ways: tuple[Way, ...] = ()

    @classmethod
    def parse(cls, described: JsonObject) -> LawDrawing:
        """Read the daemon's description.

        Raises:
            WireError: it cannot be drawn.
        """
        try:
            return cls.model_validate_json(json.dumps(described))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WireError(f"the daemon's description of a law cannot be read: {where}: {first['msg']}") from error
