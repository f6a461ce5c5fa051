"""A simulation's script as its author writes it: who says and asks what, what is measured, what must come of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from appliance.contracts.record import Record
from appliance.contracts.workflow import StepKind
from appliance.policy.workflow import reader
from appliance.policy.workflow.complaint import Complaint, Place, Refused, ordered
from appliance.policy.workflow.reader import Tree
from appliance.policy.workflow.words import Duration, Line, Name, Role

Measured = bool | int | float | str
Result = Literal["done", "failed", "indeterminate"]

DEEDS: Final = (
    "say", "call", "approve", "refuse", "wait", "measure", "silence", "emergency", "release", "lock", "unlock",
    "restart", "clock", "results", "look",
)  # fmt: skip


class Restart(Record):
    """The power fails and comes back."""

    after: Duration
    """How long it is off."""

    clock: Literal["trusted", "untrusted"] = "trusted"


def _operator() -> dict[str, Role]:
    return {"operator": "operator"}


class Deed(Record):
    """One step of a script: something happens, and something is expected of it."""

    say: Name | None = None
    """An event of the workflow."""

    call: Name | None = None
    """A tool that somebody asks for."""

    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    by: str = ""
    """Who: a name of `people`, or the role `controller` or `timer`."""

    confirmed: bool = False
    confidence: float = Field(default=1.0, ge=0, le=1)
    result: Result = "done"
    """What the call comes to, if it is allowed."""

    approve: str | None = None
    """Who approves what waits: an arrow, or the call that was asked for last."""

    refuse: str | None = None
    wait: Duration | None = None
    measure: dict[str, Measured] | None = None
    silence: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Sensors that give no values any more."""

    emergency: Literal[True] | None = None
    release: Literal[True] | None = None
    """Of the emergency stop."""

    lock: str | None = None
    """Who sets the maintenance lock: nothing but reading is let through."""

    unlock: str | None = None
    """Who releases it: whoever set it, or an admin."""

    restart: Restart | None = None
    clock: Literal["trusted", "untrusted"] | None = None
    results: dict[str, Result] | None = None
    """What calls of a tool come to from now on, acts of the law too."""

    look: Literal[True] | None = None
    """Nothing happens; only expectations are checked."""

    state: str | None = None
    """Expected: where the workflow is afterwards."""

    verdict: Literal["allow", "confirm", "approve", "deny", "outside"] | None = None
    """Expected of a call."""

    step: StepKind | None = None
    """Expected: what the deed itself did."""

    because: str = ""
    """Expected: part of the reason, or of the remedy."""

    performed: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """Expected: the tools that acted since the last deed, the law's own acts too, in order."""

    @model_validator(mode="after")
    def _one_deed(self) -> Self:
        found = [deed for deed in DEEDS if getattr(self, deed) is not None]
        if len(found) != 1:
            said = f"has {' and '.join(found)}" if found else "does nothing"
            raise PydanticCustomError(
                "deed", "this step {said}; it takes exactly one of {deeds}", {"said": said, "deeds": ", ".join(DEEDS)}
            )
        return self


class Script(Record):
    """A simulation, which is also a test."""

    script: Line
    """What it shows, in a sentence."""

    workflow: str = ""
    """File with the laws, relative to this one."""

    start: Annotated[datetime, Field(strict=False)] = datetime(2026, 11, 23, 8, 0)  # noqa: DTZ001 -- in the site's zone
    """In the site's time."""

    people: dict[str, Role] = Field(default_factory=_operator)
    measures: dict[str, Measured] = Field(default_factory=dict)
    steps: Annotated[tuple[Deed, ...], Field(min_length=1, max_length=1000, strict=False)]


class Read(Record):
    """A script that was read, with the line of each step."""

    name: str
    script: Script
    lines: tuple[int, ...]


def load(path: Path) -> Read | Refused:
    """Read the script at *path*."""
    try:
        with path.open("rb") as file:
            raw = file.read(reader.MAX_FILE_BYTES + 1)
    except OSError as error:
        return Refused(str(path), (Complaint(Place(1, 1), f"cannot be read: {error.strerror}"),))
    return parse(raw, str(path))


def parse(raw: bytes, name: str) -> Read | Refused:
    """Read a script; *name* is what complaints call it."""
    try:
        tree = reader.read(raw)
    except reader.Unreadable as error:
        return Refused(name, (error.complaint,))
    if not isinstance(tree.data, dict):
        return Refused(name, (Complaint(Place(1, 1), "no script: it begins with `script: WHAT IT SHOWS`"),))
    try:
        script = Script.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        return Refused(name, ordered(_complaint(detail["loc"], detail["msg"], tree) for detail in error.errors()))
    lines = tuple(tree.place("steps", n).line for n in range(len(script.steps)))
    return Read(name=name, script=script, lines=lines)


def _complaint(loc: tuple[int | str, ...], message: str, tree: Tree) -> Complaint:
    path = ".".join(map(str, loc))
    return Complaint(tree.place(*loc), f"{path}: {message[:1].lower()}{message[1:]}" if path else message)
