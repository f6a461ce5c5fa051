"""A row to the reasons why it is not a good one."""

import json
from typing import Any

KINDS = frozenset(
    [
        "call",
        "multi",
        "same_tool_twice",
        "negated",
        "missing",
        "out_of_range",
        "unrelated",
        "near_miss",
        "question",
        "quoted",
        "one_tool",
    ]
)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def check(row: dict[str, Any], *, evaluation: bool = False) -> list[str]:
    """Say what is wrong with *row*; nothing when it keeps to the format.

    Args:
        row: as parsed from one line.
        evaluation: rows of others' evaluation sets may hold values that are not in their request.
    """
    faults = [
        f"no {key}"
        for key in ("id", "source", "family", "phrasing", "kind", "request", "tools", "calls", "expect")
        if key not in row
    ]
    if faults:
        return faults
    request, tools, calls = row["request"], row["tools"], row["calls"]
    if row["kind"] not in KINDS:
        faults.append(f"kind {row['kind']!r}")
    if not request.strip() or request != request.strip() or "  " in request:
        faults.append("request is empty or badly spaced")
    names = [tool["name"] for tool in tools]
    if len(set(names)) != len(names) or not names:
        faults.append("tool names are not distinct")
    if row["expect"] == "call" and not calls:
        faults.append("nothing is called")
    if row["expect"] == "refuse" and calls and row["kind"] != "out_of_range":
        faults.append("a refused row calls")
    by_name = {tool["name"]: tool["parameters"] for tool in tools}
    seen_anchors = set()
    for call in calls:
        if call["name"] not in by_name:
            faults.append(f"no tool {call['name']}")
            continue
        anchor = tuple(call.get("anchor", ()))
        if anchor and not _inside(anchor, request):
            faults.append(f"anchor {anchor}")
        if not evaluation and (not anchor or anchor in seen_anchors):
            faults.append("anchor is missing or shared")
        seen_anchors.add(anchor)
        faults += _check_call(call, by_name[call["name"]], request, row["expect"], evaluation=evaluation)
    return faults


def _check_call(
    call: dict[str, Any], schema: dict[str, Any], request: str, expect: str, *, evaluation: bool
) -> list[str]:
    faults = []
    properties = schema.get("properties", {})
    unsaid = [name for name in schema.get("required", ()) if name not in call["arguments"]]
    if unsaid and expect == "call":
        faults.append(f"required {unsaid} absent")
    if not unsaid and expect == "ask":
        faults.append("nothing is missing")
    for name, argument in call["arguments"].items():
        if name not in properties:
            faults.append(f"no parameter {name}")
            continue
        faults += _check_value(argument["value"], properties[name], expect, name)
        for span in argument["spans"]:
            if not _inside(span, request):
                faults.append(f"span {span} of {name}")
        if not argument["spans"] and not evaluation:
            faults.append(f"{name} has no evidence")
    return faults


def _check_value(value: Any, schema: dict[str, Any], expect: str, name: str) -> list[str]:
    kind = schema.get("type", "string")
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _TYPES.get(kind, (object,))):
        return [f"{name}: {value!r} is not {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{name}: {value!r} is no option"]
    if isinstance(value, list):
        return [fault for item in value for fault in _check_value(item, schema.get("items", {}), expect, name)]
    if (
        kind in {"integer", "number"}
        and expect == "call"
        and not schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        return [f"{name}: {value!r} is out of range"]
    return []


def _inside(span: Any, request: str) -> bool:
    start, end = span
    return 0 <= start < end <= len(request) and not request[start].isspace() and not request[end - 1].isspace()


def line(row: dict[str, Any]) -> str:
    """Write *row* as one line.

    Raises:
        ValueError: the row does not keep to the format.
    """
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
