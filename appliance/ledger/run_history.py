"""What workflows did, denied and had approved, a page at a time, for the command line and for programs.

Covers: pages by the number of the record, of everything, of one workflow or of one run, in either direction.
Does not cover: anything else; the views are there for any other question (`appliance audit query --views`).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final, Literal, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.contracts.workflow import StepKind, Weighed

View = Literal["workflow_steps", "workflow_denials", "workflow_approvals"]
VIEWS: Final[tuple[View, ...]] = ("workflow_steps", "workflow_denials", "workflow_approvals")
_JSON: Final = ("weighed", "given", "arguments", "interrupted")


class Wanted(NamedTuple):
    """Which rows, and how many of them."""

    workflow: str | None = None
    run_id: str | None = None
    after: int | None = None
    """Records above this number, the oldest of them first; the newest when absent."""

    before: int | None = None
    """Records below this number."""

    limit: int = 50


class StepRow(NamedTuple):
    """A step, as the view has it."""

    kind: StepKind
    workflow: str
    before: str
    after: str
    cause: str
    reason: str
    set_aside: bool
    event: JsonObject
    weighed: tuple[Weighed, ...]


def page(reader: sqlite3.Connection, view: View, wanted: Wanted) -> list[JsonObject]:
    """Return rows of *view*, in order of their number.

    Args:
        reader: of `storage.database.open_reader`.
    """
    conditions = {
        "workflow = :workflow": wanted.workflow is not None,
        "run_id = :run_id": wanted.run_id is not None and view == "workflow_steps",
        "seq > :after": wanted.after is not None,
        "seq < :before": wanted.before is not None,
    }
    where = " and ".join(text for text, is_asked in conditions.items() if is_asked)
    direction = "asc" if wanted.after is not None else "desc"
    found = reader.execute(
        f"select * from {view}{f' where {where}' if where else ''} order by seq {direction} limit :limit",  # noqa: S608 -- our own text
        wanted._asdict(),
    ).fetchall()
    rows = [_read(row) for row in found]
    return rows if direction == "asc" else rows[::-1]


def runs(reader: sqlite3.Connection, workflow: str | None = None) -> list[JsonObject]:
    """Return every run that is kept, those that go on first."""
    found = reader.execute(
        "select * from workflow_runs where workflow = coalesce(?, workflow) order by ended_at is not null, workflow,"
        " started_at desc",
        (workflow,),
    ).fetchall()
    return [_read(row) for row in found]


def as_step(row: JsonObject) -> StepRow:
    """Return a row of `workflow_steps` as something that can be said in words."""
    found: dict[str, Any] = row
    return StepRow(
        kind=found["kind"],
        workflow=found["workflow"] or "",
        before=found["before"] or "",
        after=found["after"] or "",
        cause=found["cause"] or "",
        reason=found["reason"] or "",
        set_aside=bool(found["set_aside"]),
        event=found["given"] or {},
        weighed=tuple(Weighed.from_json(one) for one in found["weighed"] or ()),
    )


def _read(row: sqlite3.Row) -> JsonObject:
    read: JsonObject = dict(row)
    for name in _JSON:
        text = read.get(name)
        if isinstance(text, str):
            read[name] = json.loads(text)
    return read
