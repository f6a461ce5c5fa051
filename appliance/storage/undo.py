"""The acts that can be taken back, newest first.

One that was taken back keeps its row, without its call, until newer ones push it out: its number stays taken, so that
a confirmation which still speaks of it never means another act.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.toolcall import ToolCall
from appliance.storage.database import Database

KEPT_N: Final = 50

_DROPPED_AT_ONCE_N: Final = 25
"""The oldest lie on another page than the newest; that page is written once in so many acts."""


class Undoable(NamedTuple):
    """An act, and the call that takes it back."""

    seq: int
    request_id: str
    call: ToolCall


def push(db: Database, request_id: str, call: ToolCall) -> None:
    """Remember how to take back an act that has just been done."""
    body = canonical(call.model_dump(mode="json")).decode()
    with db.atomic() as connection:
        seq = connection.execute("insert into undo (request_id, body) values (?, ?)", (request_id, body)).lastrowid
        if seq is not None and seq % _DROPPED_AT_ONCE_N == 0:
            connection.execute("delete from undo where seq <= ?", (seq - KEPT_N,))


def last(db: Database) -> Undoable | None:
    """Return the newest act that can be taken back."""
    row = db.row("select seq, request_id, body from undo where body is not null order by seq desc limit 1")
    if row is None:
        return None
    return Undoable(row["seq"], row["request_id"], ToolCall.model_validate_json(row["body"]))


def drop(db: Database, seq: int) -> None:
    """Forget an act that has been taken back."""
    db.execute("update undo set body = null where seq = ?", (seq,))
