"""Others' evaluation sets in the row format; for measuring only, never for training."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from firmware_models.corpus import checking
from firmware_models.corpus.converters import rows, schemas, snips

_TYPES: Final = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "list": "array",
    "array": "array",
    "bool": "boolean",
    "boolean": "boolean",
    "dict": "object",
    "object": "object",
}
Row = dict[str, Any]


def convert(folder: Path) -> dict[str, list[Row]]:
    """Make the rows of every evaluation set that *folder* holds, by file name."""
    made: dict[str, list[Row]] = {}
    if (folder / "snips").is_dir():
        built = rows.build(snips.read(folder, "validate"), schemas.human(), random.Random("dev_snips"), 0.1)
        made["dev_snips"] = [row for row in built if not checking.check(row)]
    for name, file in (("dev_api_bank", "apibank_l1.json"), ("dev_toolalpaca", "toolalpaca.json")):
        path = folder / "eval" / file
        if path.is_file():
            made[name] = list(dialogues(name, json.loads(path.read_text("utf-8"))))
    if (folder / "seal-tools" / "dev.jsonl").is_file():
        made["dev_seal"] = list(seal(folder / "seal-tools"))
    return made


def files(folder: Path) -> list[Path]:
    """The files that `convert` reads."""
    return [
        *snips.files(folder, "validate"),
        folder / "eval" / "apibank_l1.json",
        folder / "eval" / "toolalpaca.json",
        folder / "seal-tools" / "dev.jsonl",
        folder / "seal-tools" / "tools.jsonl",
    ]


def dialogues(name: str, entries: list[dict[str, Any]]) -> Iterator[Row]:
    """Rows of `{query, tools, answers}`; of a dialogue, all that the user said is the request."""
    for number, entry in enumerate(entries):
        query = entry["query"]
        if not isinstance(query, str):
            query = " ".join(turn["content"].strip() for turn in query if turn["role"] == "user")
        answers = [
            (answer["name"], answer.get("arguments", answer.get("parameters", {}))) for answer in entry["answers"]
        ]
        yield _row(f"{name}-{number}", name, query, [_tool(t) for t in entry["tools"]], answers)


def seal(folder: Path) -> Iterator[Row]:
    """Rows of Seal-Tools: the tools that are needed with a few others."""
    tools = {
        t["api_name"]: t for line in (folder / "tools.jsonl").read_text("utf-8").splitlines() if (t := json.loads(line))
    }
    names = sorted(tools)
    for line in (folder / "dev.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        needed = list(dict.fromkeys(call["api"] for call in entry["calling"]))
        if any(name not in tools for name in needed):
            continue
        chance = random.Random(entry["id"])
        others = chance.sample([n for n in names if n not in needed], max(0, 4 - len(needed)))
        offered = chance.sample([*needed, *others], len(needed) + len(others))
        answers = [(call["api"], call["parameters"]) for call in entry["calling"]]
        yield _row(entry["id"], "dev_seal", entry["query"], [_seal_tool(tools[n]) for n in offered], answers)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    given = tool.get("parameters", {})
    marked = [n for n, p in given.items() if p.get("required") is True]
    required = marked if any("required" in p for p in given.values()) else list(given)
    return _declared(tool["name"], tool.get("description", ""), given, required)


def _seal_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return _declared(tool["api_name"], tool["api_description"], tool["parameters"], list(tool.get("required", ())))


def _declared(name: str, told: str, given: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    properties = {}
    for parameter, p in given.items():
        kind = _TYPES.get(str(p.get("type", "str")).split("[")[0].lower(), "string")
        shape: dict[str, Any] = {"type": kind, "description": p.get("description", "")}
        if kind == "array":
            shape["items"] = {"type": "string"}
        properties[parameter] = shape
    return {
        "name": name,
        "description": told,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": [r for r in required if r in properties],
        },
    }


def _row(
    row_id: str, source: str, request: str, tools: list[dict[str, Any]], answers: list[tuple[str, Mapping[str, Any]]]
) -> Row:
    request = " ".join(request.split())
    shapes = {tool["name"]: tool["parameters"] for tool in tools}
    calls = []
    absent = False
    for name, given in answers:
        properties = shapes.get(name, {}).get("properties", {})
        arguments = {
            p: {"value": _cast(v, properties[p]["type"]), "spans": spans(request, v)}
            for p, v in given.items()
            if p in properties
        }
        absent = absent or any(required not in arguments for required in shapes.get(name, {}).get("required", ()))
        calls.append({"name": name, "arguments": arguments})
    names = [call["name"] for call in calls]
    kind = "call" if len(calls) == 1 else "same_tool_twice" if len(set(names)) < len(names) else "multi"
    return {
        "id": row_id,
        "source": source,
        "family": source,
        "phrasing": "evaluation",
        "kind": kind,
        "request": request,
        "now": None,
        "tools": tools,
        "calls": calls,
        "expect": "ask" if absent else "call",
    }


def _cast(value: Any, kind: str) -> Any:
    if kind == "integer" and isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if kind == "number" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if kind == "string" and not isinstance(value, str | list | dict):
        return str(value)
    return value


def spans(request: str, value: Any) -> list[list[int]]:
    """Where the words of *value* stand in *request*; nowhere when they are not all there."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        at = request.lower().find(str(item).strip().lower()) if str(item).strip() else -1
        if at < 0:
            return []
        found.append([at, at + len(str(item).strip())])
    return found
