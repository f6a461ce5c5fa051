"""A refused TOML text to sentences: file, line, key, what was expected, and the key that was probably meant."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from rapidfuzz import fuzz, process

from appliance.settingsfile.template import record_in

MAX_FAULTS_N: Final = 10
"""One screen; the rest shows when these are mended."""

_ALIKE: Final = 60.0
"""`threds` to `threads` is 92, `lights` to `threads` 46 (rapidfuzz ratio)."""

Loc = tuple[str | int, ...]


def explain(error: ValidationError, model: type[BaseModel], text: str, path: Path) -> str:
    """Write one line for each fault that pydantic found, in the order of the file."""
    faults = sorted((line_of(text, detail["loc"]) or 0, _sentence(detail, model)) for detail in error.errors())
    lines = [f"{path}:{line}: {sentence}" if line else f"{path}: {sentence}" for line, sentence in faults]
    if len(lines) > MAX_FAULTS_N:
        lines = [*lines[:MAX_FAULTS_N], f"... and {len(lines) - MAX_FAULTS_N} more"]
    return "\n".join(lines)


def line_of(text: str, loc: Sequence[str | int]) -> int | None:
    """Return the line on which the key at *loc* begins, or of the nearest table around it that is written at all.

    tomllib keeps no positions. The key begins right after the longest run of whole lines that is TOML by itself and
    does not hold the key yet: exact for every form of TOML, and only ever paid for a file that is refused.
    """
    while loc and not _holds(tomllib.loads(text), loc):
        loc = loc[:-1]
    if not loc:
        return None
    lines = text.splitlines(keepends=True)
    before = 0
    for n in range(len(lines)):
        try:
            table = tomllib.loads("".join(lines[:n]))
        except tomllib.TOMLDecodeError:
            continue  # inside a value that spans lines
        if _holds(table, loc):
            break
        before = n
    return before + 1


def beyond_json(table: Any, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Yield the place of every value that TOML can say and no setting means, and what to write instead."""
    if isinstance(table, dict):
        for key, value in table.items():
            yield from beyond_json(value, (*loc, key))
    elif isinstance(table, list):
        for n, value in enumerate(table):
            yield from beyond_json(value, (*loc, n))
    elif isinstance(table, float) and not math.isfinite(table):
        yield loc, f"expected a finite number, found {table}"
    elif isinstance(table, (date, time)):  # a datetime is a date
        yield loc, f"expected no date or time, found {table}; put it in quotes if it is text"


def key_name(loc: Sequence[str | int]) -> str:
    """Write a place as its owner would find it: `[policy] act_at`, `[site] rooms[2].name`."""
    section, *rest = loc or ("",)
    inner = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return f"[{section}] {inner}".rstrip()


def _holds(table: Any, loc: Sequence[str | int]) -> bool:
    for part in loc:
        if isinstance(table, dict):
            inside = part in table
        else:
            inside = isinstance(table, list) and isinstance(part, int) and part < len(table)
        if not inside:
            return False
        table = table[part]
    return True


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return _unknown(loc, model)
    if detail["type"] == "missing":
        return f"{key_name(loc)} is missing; {_meaning(loc, model)}"
    if detail["type"] == "value_error":
        return f"{key_name(loc)}: {detail['msg'].removeprefix('Value error, ')}"
    expected = detail["msg"].removeprefix("Input should ").removeprefix("be ")
    if detail["type"] == "string_pattern_mismatch":
        expected = f"text of the form {detail['ctx']['pattern']}"
    found = json.dumps(detail["input"], default=str, ensure_ascii=False)
    return f"{key_name(loc)}: expected {expected}, found {found if len(found) <= 60 else found[:57] + '...'}"


def _unknown(loc: Loc, model: type[BaseModel]) -> str:
    what = f"unknown section [{loc[0]}]" if len(loc) == 1 else f"unknown key {key_name(loc)}"
    wrong = str(loc[-1])
    here = _keys_at(loc[:-1], model)
    if found := process.extractOne(wrong, here, scorer=fuzz.ratio, score_cutoff=_ALIKE):
        return f"{what}; did you mean {key_name((*loc[:-1], found[0])) if len(loc) > 1 else f'[{found[0]}]'}?"
    for section, field in model.model_fields.items():
        inner = record_in(field.annotation)
        if inner is not None and wrong in inner.model_fields:
            return f"{what}; it belongs under [{section}]"
    return f"{what}; known here: {', '.join(here) or 'nothing'}"


def _keys_at(loc: Loc, model: type[BaseModel]) -> list[str]:
    inner: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int) or inner is None:
            continue
        if part in inner.model_fields:
            inner = record_in(inner.model_fields[part].annotation)
    return [] if inner is None else list(inner.model_fields)


def _meaning(loc: Loc, model: type[BaseModel]) -> str:
    inner: type[BaseModel] | None = model
    for part in loc[:-1]:
        if isinstance(part, str) and inner is not None and part in inner.model_fields:
            inner = record_in(inner.model_fields[part].annotation)
    field = inner.model_fields.get(str(loc[-1])) if inner is not None else None
    return (field.description or "it has no default") if field is not None else "it has no default"
