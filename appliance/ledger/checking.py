"""One record as it lies in a file to what is wrong with it; no record classes here, a million must be quick.

Covers: bytes that do not give the leaf, columns that say something else than the hashed body or say it otherwise than
the writer does, a personal value that is not the one committed to, JSON that two readers may read differently.
Does not cover: whether the leaf is in the tree; `verify` tells that.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, NamedTuple

import pydantic_core

from appliance.contracts.canonical import canonical
from appliance.errors import WireError
from appliance.storage import audit


class RawRow(NamedTuple):
    """A record as SQLite holds it, every text as its bytes: what was tampered with need not be text."""

    seq: int
    kind: bytes
    request_id: bytes | None
    at: bytes
    body: bytes
    personal: bytes | None
    leaf: bytes


COLUMNS: Final = ", ".join(RawRow._fields)


class Looked(NamedTuple):
    """What a record is by itself."""

    fault: str | None
    is_erased: bool = False
    """A personal value that it is committed to is gone."""


def looked_at(row: RawRow) -> Looked:
    """Look at a record by itself."""
    try:
        return _looked_at(row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, WireError) as error:
        return Looked(f"it cannot be read: {type(error).__name__}: {error}")


def _looked_at(row: RawRow) -> Looked:
    if type(row.seq) is not int:
        return Looked("its number is none")
    if hashlib.sha256(b"\x00" + row.body).digest() != row.leaf:
        return Looked("its bytes do not give its leaf: it was edited")
    said = _only_reading(row.body)
    if said["seq"] != row.seq:
        return Looked(f"it is record {said['seq']} by its own bytes: records were moved, deleted or inserted")
    request_id = None if row.request_id is None else row.request_id.decode()
    if said["kind"] != row.kind.decode() or said["request_id"] != request_id or row.at.decode() != _at(said["at"]):
        return Looked("its columns differ from its hashed bytes")
    commitments = said["personal"]
    if row.personal is None:
        return Looked(None, bool(commitments))
    kept = _only_reading(row.personal)
    return Looked(_personal_fault(kept, commitments), kept.keys() != commitments.keys())


def facts(body: bytes | str) -> dict[str, Any]:
    """Return the facts of a record.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        found = json.loads(body)["facts"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its facts cannot be read: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise ValueError("its facts are no JSON object")  # noqa: TRY004 -- what it is that cannot be read
    return found


def _only_reading(data: bytes) -> dict[str, Any]:
    """Read canonical JSON; any other has a second reading, which another reader may choose (a name given twice).

    Read and written again it gives the same bytes: a name that was there twice would be there once. The quick writer
    keeps the order that it finds, which changes no meaning; what it spells otherwise is left to the one that is sure.
    """
    found = pydantic_core.from_json(data)
    if not isinstance(found, dict):
        raise WireError("it is no JSON object")
    if pydantic_core.to_json(found) != data and canonical(found) != data:
        raise WireError("its JSON is not in canonical form: it may be read in two ways")
    return found


def _personal_fault(personal: dict[str, Any], commitments: dict[str, str]) -> str | None:
    for name, kept in personal.items():
        if kept.keys() != {"salt", "value"}:
            return f"its personal value {name!r} is not a salt and a value"
        committed = commitments.get(name)
        if hashlib.sha256(pydantic_core.to_json(kept)).hexdigest() == committed:
            continue
        if audit.commitment(kept["salt"], kept["value"]) != committed:
            return f"its personal value {name!r} is not the one that was committed to"
    return None


def _at(said: str) -> str:
    """Return how the writer puts the time of a body into the column; another spelling of it sorts elsewhere."""
    return f"{said[:-1]}+00:00" if said.endswith("Z") else said
