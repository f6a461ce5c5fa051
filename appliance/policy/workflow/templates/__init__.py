"""Workflows to begin with, each with scripts that are played as tests."""

from __future__ import annotations

from importlib import resources


def titles() -> dict[str, str]:
    """Return each template's name and what its first line says."""
    found = {}
    for entry in sorted(resources.files(__name__).iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml") and ".script." not in entry.name:
            first = entry.read_text(encoding="utf-8").split("\n", 1)[0]
            found[entry.name.removesuffix(".yaml")] = first.removeprefix("# ")
    return found


def text(name: str) -> str | None:
    """Return the template called *name*."""
    return (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8") if name in titles() else None
