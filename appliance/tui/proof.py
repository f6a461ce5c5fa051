"""The ledger's own history: checkpoints, keys, and how each epoch began; read-only."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from appliance.errors import StorageError
from appliance.storage import checkpoints, database

SHOWN_N: Final = 12
"""Earlier checkpoints that are listed; `appliance audit export` has them all."""


class Signed(NamedTuple):
    """A checkpoint, as it was given out."""

    size: int
    at: datetime
    note: str


class Rotated(NamedTuple):
    """A change of the device's key."""

    at: datetime
    old_key: str
    new_key: str
    compromised: bool


class Begun(NamedTuple):
    """How an epoch began."""

    at: datetime
    epoch: str
    reason: str
    cited: str
    """The epoch before, and how far it was."""

    saved: str
    """What was saved of a damaged one."""


class Proof(NamedTuple):
    """What an outsider needs, and what the ledger has been through."""

    newest: Signed | None
    earlier: tuple[Signed, ...]
    rotations: tuple[Rotated, ...]
    epochs: tuple[Begun, ...]


def read(path: Path) -> Proof:
    """Read the proof from the database in *path*.

    Raises:
        StorageError: it cannot be read.
    """
    reader = database.open_reader(path)
    try:
        signed = [Signed(c.size, datetime.fromisoformat(c.at), c.note) for c in checkpoints.history(reader)][::-1]
        return Proof(
            newest=signed[0] if signed else None,
            earlier=tuple(signed[1 : 1 + SHOWN_N]),
            rotations=tuple(_rotations(reader)),
            epochs=tuple(_epochs(reader)),
        )
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: the ledger cannot be read: {error}") from error
    finally:
        reader.close()


def _rotations(reader: sqlite3.Connection) -> list[Rotated]:
    found = []
    for at, facts in _of_kind(reader, "key_rotated"):
        statement = facts.get("rotation", {}).get("statement", {})
        if isinstance(statement, dict):
            found.append(
                Rotated(
                    at=at,
                    old_key=str(facts.get("key_id_before", "")),
                    new_key=str(facts.get("key_id", "")),
                    compromised=bool(statement.get("compromised")),
                )
            )
    return found


def _epochs(reader: sqlite3.Connection) -> list[Begun]:
    return [
        Begun(at, str(facts.get("epoch", "")), str(facts.get("reason") or ""), _cited(facts), _saved(facts))
        for at, facts in _of_kind(reader, "epoch")
    ]


def _cited(facts: dict[str, Any]) -> str:
    match facts.get("predecessor"):
        case {"epoch": str(epoch), "size": int(size)}:
            return f"{epoch} of {size:,} records"
        case _:
            return ""


def _saved(facts: dict[str, Any]) -> str:
    match facts.get("found"):
        case {"records": {"saved": int(saved)}}:
            return f"{saved:,} records were saved"
        case _:
            return ""


def _of_kind(reader: sqlite3.Connection, kind: str) -> list[tuple[datetime, dict[str, Any]]]:
    rows = reader.execute(
        "select at, body from past where kind = :kind union all select at, body from audit where kind = :kind"
        " order by at desc",
        {"kind": kind},
    )
    return [(datetime.fromisoformat(row["at"]), json.loads(row["body"]).get("facts", {})) for row in rows]
