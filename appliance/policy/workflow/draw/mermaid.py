"""A law as a Mermaid state diagram: GitHub, GitLab and most editors draw it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from appliance.policy.workflow.draw.diagram import ANY_STATE, Diagram, diagrams
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.words import RETURN

_ENTITIES: Final = {"#": "#35\0", ";": "#59;", "\0": ";", ":": "#58;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
"""In this order: what an entity itself is written with comes first."""


def mermaid(loaded: Loaded) -> str:
    """Draw *loaded*; parts stand inside the states that hold them."""
    main, *parts = diagrams(loaded)
    by_name = {part.name: part for part in parts}
    title = json.dumps(loaded.compiled.title, ensure_ascii=False)
    lines = ["---", f"title: {title}", "---", "stateDiagram-v2", "    direction TB"]
    lines += _drawn(loaded, main, by_name, "", "    ")
    lines += ["    classDef safe stroke-width:3px", f"    class {_id(loaded.law.safe, '')} safe"]
    return "\n".join(lines) + "\n"


def _drawn(loaded: Loaded, diagram: Diagram, parts: dict[str, Diagram], around: str, indent: str) -> Iterator[str]:
    states = loaded.law.states if not diagram.name else loaded.law.parts[diagram.name].states
    for box in diagram.boxes:
        name = _id(box.name, around)
        if box.is_initial:
            yield f"{indent}[*] --> {name}"
        about = f"{box.name}<br>{_text(box.about)}" if box.about else box.name
        if box.kind == "part":
            yield f'{indent}state "{about}" as {name} {{'
            yield from _drawn(loaded, parts[states[box.name].part or ""], parts, f"{name}__", f"{indent}    ")
            yield f"{indent}}}"
        elif box.kind == "any":
            yield f'{indent}state "from any state" as {name}'
        elif box.kind == "state":
            yield f'{indent}state "{about}" as {name}'
    outcomes = {box.name for box in diagram.boxes if box.kind == "outcome"}
    for line in diagram.lines:
        ends = line.target in outcomes or line.target == RETURN
        label = _text(line.label) + (f" ({line.target})" if ends else "")
        target = "[*]" if ends else _id(line.target, around)
        yield f"{indent}{_id(line.source, around)} --> {target}: {label}"


def _id(name: str, around: str) -> str:
    """Return what stands for a state: a state called `end` or `note` would be a word of Mermaid's."""
    return "any" if name == ANY_STATE else f"{around}s_{name}"


def _text(text: str) -> str:
    """Write *text* so that Mermaid shows it as it is: it has entities of its own, without an ampersand."""
    shown = " ".join(text.split())
    for sign, entity in _ENTITIES.items():
        shown = shown.replace(sign, entity)
    return shown
