"""What pydantic found wrong with a file of laws, as complaints with place and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rapidfuzz import process

from appliance.contracts.record import JsonObject
from appliance.policy.workflow.complaint import Complaint, ordered
from appliance.policy.workflow.language import Workflow
from appliance.policy.workflow.reader import Tree, shown

MAX_COMPLAINTS_N: Final = 20
"""One screen; the rest shows when these are mended."""

_ALIKE: Final = 60.0
_WANTED: Final = {
    "int_type": "a whole number", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
    "list_type": "a list", "tuple_type": "a list", "dict_type": "keys with values", "model_type": "keys with values",
    "model_attributes_type": "keys with values", "int_from_float": "a whole number",
}  # fmt: skip

Path = tuple[str | int, ...]


@cache
def schema() -> JsonObject:
    """Return the JSON Schema of a file of laws, for editors."""
    found: JsonObject = Workflow.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "A file of laws"}


def complaints(error: ValidationError, tree: Tree) -> tuple[Complaint, ...]:
    """Write what pydantic found, each place once."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_input=True):
        by_path.setdefault(_in_data(detail, tree.data), []).append(detail)
    found = ordered(_complaint(path, details, tree) for path, details in by_path.items())
    if len(found) <= MAX_COMPLAINTS_N:
        return found
    rest = len(found) - MAX_COMPLAINTS_N
    last = found[MAX_COMPLAINTS_N]
    return (*found[:MAX_COMPLAINTS_N], Complaint(last.place, f"from here on, {rest} more", "mend the ones above first"))


def written(path: Path) -> str:
    """Write a path as an author would find it: `states.closed.go[0].to`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _in_data(detail: ErrorDetails, data: Any) -> Path:
    path: list[str | int] = []
    at = data
    for part in detail["loc"]:
        inside = (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int))
        if not inside:
            break
        path.append(part)
        at = at[part]
    if detail["type"] == "missing":
        path.append(str(detail["loc"][-1]))
    return tuple(path)


def _complaint(path: Path, details: list[ErrorDetails], tree: Tree) -> Complaint:
    detail = details[0]
    kind, at = detail["type"], f"{written(path)}: " if path else ""
    place = tree.place(*path)
    match kind:
        case _ if len(details) > 1 and any(len(d["loc"]) > len(path) for d in details):
            return Complaint(place, f"{at}none of the forms it can have", "a value, a list of values, or {min, max}")
        case "missing":
            where = written(path[:-1]) or "the file"
            return Complaint(tree.place(*path[:-1]), f"{where} needs the key {path[-1]!r}", _about(path))
        case "extra_forbidden":
            known = sorted(_keys(path[:-1]))
            near = process.extractOne(str(path[-1]), known, score_cutoff=_ALIKE)
            remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            return Complaint(place, f"{at}unknown key {shown(str(path[-1]))}", remedy)
        case _ if kind in _WANTED:
            return Complaint(place, f"{at}must be {_WANTED[kind]}, not {_found(detail['input'])}")
        case "name" | "duration" | "selection" | "rule" | "arrow" | "measure" | "state" | "interrupt":
            return Complaint(place, f"{at}{detail['msg']}")
        case "string_pattern_mismatch":
            pattern = detail.get("ctx", {}).get("pattern", "")
            meant = 'a time of day, "22:00"' if "[0-5][0-9]" in pattern else pattern
            return Complaint(place, f"{at}must be {meant}, not {_found(detail['input'])}")
        case _:
            return Complaint(place, f"{at}{detail['msg'][:1].lower()}{detail['msg'][1:]}")


def _found(value: Any) -> str:
    match value:
        case dict():
            return "keys with values"
        case list() | tuple():
            return "a list"
        case str():
            return shown(value if len(value) <= 60 else f"{value[:60]}...")
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _about(path: Path) -> str:
    for inner in _reach(path):
        if "description" in inner:
            return str(inner["description"]).replace("\n", " ")
    return ""


def _keys(path: Path) -> set[str]:
    return {key for inner in _reach(path) for key in inner.get("properties", {})} or {"none"}


def _reach(path: Path) -> list[Any]:
    """Return the parts of the schema that describe what lies at *path*."""
    found = [schema()]
    for part in path:
        following = []
        for inner in found:
            for one in _forms(inner):
                if isinstance(part, int):
                    following += [one["items"]] if "items" in one else []
                elif part in one.get("properties", {}):
                    following.append(one["properties"][part])
                elif isinstance(one.get("additionalProperties"), dict):
                    following.append(one["additionalProperties"])
                elif "patternProperties" in one:
                    following += one["patternProperties"].values()
        found = following
    return [form for inner in found for form in _forms(inner)]


def _forms(inner: Any) -> Iterator[Any]:
    if "$ref" in inner:
        name = inner["$ref"].rpartition("/")[2]
        # What a field says of itself counts before what its record says.
        if "description" in inner:
            yield {"description": inner["description"]}
        yield from _forms(schema()["$defs"][name])  # type: ignore[index]  # our own schema has them
    elif "anyOf" in inner:
        for one in inner["anyOf"]:
            yield from _forms(one)
    else:
        yield inner
