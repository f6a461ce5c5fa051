"""A law as a Graphviz graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appliance.policy.workflow.draw.diagram import Box, Diagram, LineKind, diagrams
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.words import RETURN

_STYLES: Final[dict[LineKind, str]] = {
    "event": "solid", "tool": "solid", "measured": "solid", "outcome": "bold", "time": "dashed", "deadline": "dashed",
    "cap": "dashed", "interrupt": "dotted",
}  # fmt: skip


def dot(loaded: Loaded) -> str:
    """Draw *loaded*; each part is a cluster of its own."""
    main, *parts = diagrams(loaded)
    lines = [
        f"digraph {_quoted(loaded.law.workflow)} {{",
        f"  label={_quoted(loaded.compiled.title)}; labelloc=t; fontname=Helvetica;",
        "  node [shape=box, style=rounded, fontname=Helvetica, fontsize=11];",
        "  edge [fontname=Helvetica, fontsize=9];",
        *_drawn(main, "", "  "),
    ]
    for part in parts:
        lines += [f"  subgraph cluster_{part.name} {{", f"    label={_quoted(f'part {part.name}')};"]
        lines += [*_drawn(part, f"{part.name}/", "    "), "  }"]
    return "\n".join([*lines, "}"]) + "\n"


def _drawn(diagram: Diagram, around: str, indent: str) -> Iterator[str]:
    start = _quoted(f"{around}(start)")
    for box in diagram.boxes:
        if box.is_initial:
            yield f'{indent}{start} [shape=circle, style=filled, fillcolor=black, label="", width=0.15];'
            yield f"{indent}{start} -> {_quoted(around + box.name)};"
        yield f"{indent}{_quoted(around + box.name)} [label={_quoted(_label(box))}{_shape(box)}];"
    for line in diagram.lines:
        ends = f"{_quoted(around + line.source)} -> {_quoted(around + line.target)}"
        yield f"{indent}{ends} [label={_quoted(line.label)}, style={_STYLES[line.kind]}];"


def _label(box: Box) -> str:
    name = "return" if box.name == RETURN else box.name
    return "\n".join([name, *([box.about] if box.about else []), *(f"· {line}" for line in box.lines)])


def _shape(box: Box) -> str:
    if box.kind in {"outcome", "return", "any"}:
        return ", shape=oval"
    return (", peripheries=2" if box.is_safe else "") + (", shape=box3d" if box.kind == "part" else "")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
