"""Bytes from outside to JSON that everybody reads alike, and to records.

Covers: a name twice in one object (two readers, two meanings), NaN, numbers beyond all bounds, halves of letters,
nesting without end, bytes that are no UTF-8, too many of them. Does not cover: what the values mean.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

from pydantic import ValidationError

from appliance.contracts.record import JsonObject, Record

_R = TypeVar("_R", bound=Record)


def parse(data: bytes, *, limit_bytes: int) -> Any:
    """Return the JSON value in *data*.

    Raises:
        ValueError: it is not such JSON; the message says why.
    """
    if len(data) > limit_bytes:
        raise ValueError(f"larger than {limit_bytes:,} bytes")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_each_once, parse_constant=_no_constant, parse_float=_finite
        )
        if b"\\u" in data:
            # Half of a letter that takes two can be written in JSON, and in nothing else.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half of a letter") from error
    return value


def parse_object(data: bytes, *, limit_bytes: int) -> JsonObject:
    """Return the JSON object in *data*.

    Raises:
        ValueError: it is none; the message says why.
    """
    value = parse(data, limit_bytes=limit_bytes)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 -- what is read is wrong, not who called
    return value


def read(data: bytes, record: type[_R], *, limit_bytes: int) -> _R:
    """Return *data* as *record*.

    Raises:
        ValueError: a field is missing, unknown or of another type; the message names it.
    """
    parse_object(data, limit_bytes=limit_bytes)
    try:
        return record.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))[:100] or "the whole"
        raise ValueError(f"{where!a}: {problem['msg']}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is larger than any number here")
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
