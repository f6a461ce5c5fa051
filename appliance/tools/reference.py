"""The demonstration's tools to docs/reference/tools.md; `python -m appliance.tools.reference FILE` writes it."""

from __future__ import annotations

import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Final

from appliance.contracts.toolspec import Parameter, Risk, ToolSpec
from appliance.storage.database import open_database
from appliance.tools.catalogue import NoClock
from appliance.tools.declare import INTERNAL
from appliance.tools.site import Site
from appliance.tools.toolbox import open_toolbox

_HEAD: Final = """# Tools

The tools that a device offers before anybody has configured it (the demonstration site of `appliance.tools.site`).
With your own `[site]` the same tools know your rooms, lamps, machines, doors and sensors; a tool that has nothing to
act on is not offered.

Printed from the declarations by `python -m appliance.tools.reference docs/reference/tools.md`; a test fails when this
page is stale. How to write one: [add a tool](../how-to/add-a-tool.md).

**Risk**: *read* changes nothing; *low* can be changed back at once; *high* opens, unlocks or spends, and a person
confirms it. Every tool that is not *read* looks at its effect afterwards and says `done` only if the look agrees.
"""
_INTERNAL_NOTE: Final = "Internal: called by timers and by undo, through the same gate; never offered to the model."


def page() -> str:
    """Return the reference page."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_database(Path(folder) / "a.db")
        toolbox = open_toolbox(
            Site.demonstration(),
            db=opened.db,
            clock=NoClock(),
            home=Path(folder),
            understand=lambda words: f"no model reads {words!r} here",
        )
        specs = toolbox.registry.every_spec()
        toolbox.registry.close()
        opened.db.close()
    parts = [_HEAD]
    for family, tools in groupby(specs, key=lambda spec: spec.family):
        parts.append(f"## {family.replace('_', ' ').capitalize()}\n")
        parts.extend(_described(tool) for tool in tools)
    return "\n".join(parts)


def _described(spec: ToolSpec) -> str:
    undo = "can be undone" if spec.undoable else "nothing to undo" if spec.risk is Risk.READ else "cannot be undone"
    lines = [f"### `{spec.name}`", "", spec.description, "", f"Risk: {spec.risk}; {undo}."]
    if INTERNAL in spec.tags:
        lines[-1] += f" {_INTERNAL_NOTE}"
    if spec.parameters:
        lines += ["", "| parameter | type | required | what | allowed |", "|---|---|---|---|---|"]
        lines += [
            f"| `{p.name}` | {_type(p)} | {'yes' if p.required else 'no'} | {p.description} | {_allowed(p)} |"
            for p in spec.parameters
        ]
    return "\n".join(lines) + "\n"


def _type(parameter: Parameter) -> str:
    unit = f", {parameter.unit}" if parameter.unit else ""
    return (parameter.format or parameter.kind) + unit


def _allowed(parameter: Parameter) -> str:
    found = []
    if parameter.options is not None:
        found.append(", ".join(f"`{option}`" for option in parameter.options))
    for word, bound in (
        ("from", parameter.minimum), ("above", parameter.exclusive_minimum), ("to", parameter.maximum),
        ("below", parameter.exclusive_maximum),
    ):  # fmt: skip
        if bound is not None:
            found.append(f"{word} {bound:g}")
    if parameter.max_length is not None:
        found.append(f"up to {parameter.max_length} characters")
    if parameter.entities:
        found.append("a name of this site: " + ", ".join(parameter.entities))
    if parameter.default is not None:
        found.append(f"default `{parameter.default}`")
    return "; ".join(found)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
