"""A rollout's YAML file to what it declares, or to everything that is wrong with it: where, what, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from appliance.errors import UsageError
from appliance.fleet.rollout import Rollout
from appliance.policy.workflow import reader
from appliance.policy.workflow.complaint import Complaint, Place, Refused, ordered
from appliance.policy.workflow.reader import Tree

MAX_FILE_BYTES: Final = 64 * 1024
HOW_TO: Final = "docs/how-to/roll-out-in-rings.md shows one"
_MOST_N: Final = 20


def read(path: Path) -> Rollout:
    """Read the file at *path*.

    Raises:
        UsageError: it cannot be read or used; the message has a line for everything that is wrong.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    found = parse(raw, str(path))
    if isinstance(found, Refused):
        raise UsageError(found.text())
    return found


def parse(raw: bytes, name: str) -> Rollout | Refused:
    """Read *raw*; *name* is what complaints call it."""
    start = Place(1, 1)
    if len(raw) > MAX_FILE_BYTES:
        return Refused(name, (Complaint(start, f"larger than {MAX_FILE_BYTES // 1024} KiB", "name groups by tags"),))
    try:
        tree = reader.read(raw)
    except reader.Unreadable as error:
        # The reader speaks to authors of laws.
        ours = "workflow" not in error.complaint.remedy and "law" not in error.complaint.remedy
        return Refused(name, (error.complaint if ours else error.complaint._replace(remedy=HOW_TO),))
    if not isinstance(tree.data, dict):
        return Refused(name, (Complaint(start, "the file is no mapping of keys to values", HOW_TO),))
    try:
        # Through JSON: strict records take JSON's lists for tuples and its strings for enums.
        return Rollout.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        return Refused(name, ordered(_complaint(detail, tree) for detail in details)[:_MOST_N])


def _complaint(detail: ErrorDetails, tree: Tree) -> Complaint:
    path = _in_data(detail, tree.data)
    at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "the file"
    said = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "missing":
            return Complaint(tree.place(*path), f"{at} needs the key {detail['loc'][-1]!r}", HOW_TO)
        case "extra_forbidden":
            return Complaint(tree.place(*path), f"unknown key {at}", f"delete it, or look how it is spelt; {HOW_TO}")
        case "union_tag_invalid" | "union_tag_not_found":
            return Complaint(tree.place(*path), f"{at}: no such command", "docs/reference/wire.md lists them by `kind`")
        case "string_pattern_mismatch" if "smhd" in str(detail.get("ctx", {}).get("pattern", "")):
            return Complaint(tree.place(*path), f"{at}: no duration", "a number with s, m, h or d: 90s, 2h, 7d")
        case _:
            return Complaint(tree.place(*path), f"{at}: {said[:1].lower()}{said[1:]}")


def _in_data(detail: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    path: list[str | int] = []
    at = data
    for part in detail["loc"]:
        inside = (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int))
        if inside:  # the tag of a command is no place in the file
            at = at[part]
            path.append(part)
    return tuple(path)
