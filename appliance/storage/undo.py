"""The acts that can be taken back, newest first."""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.contracts.toolcall import ToolCall
from appliance.storage.database import Database

KEPT_N: Final = 50


class Undoable(NamedTuple):
    """An act, and the call that takes it back."""

    seq: int
    request_id: str
    call: ToolCall


def push(db: Database, request_id: str, call: ToolCall) -> None:
    """Remember how to take back an act that has just been done."""
    body = canonical(call.model_dump(mode="json")).decode()
    with db.atomic() as connection:
        connection.execute("insert into undo (request_id, body) values (?, ?)", (request_id, body))
        connection.execute("delete from undo where seq <= (select max(seq) from undo) - ?", (KEPT_N,))


def last(db: Database) -> Undoable | None:
    """Return the newest act that can be taken back."""
    row = db.row("select seq, request_id, body from undo order by seq desc limit 1")
    if row is None:
        return None
    return Undoable(row["seq"], row["request_id"], ToolCall.model_validate_json(row["body"]))


def drop(db: Database, seq: int) -> None:
    """Forget an act that has been taken back."""
    db.execute("delete from undo where seq = ?", (seq,))
