"""Identifiers and values as a person would write them: for the console, the command line and the report alike."""

from __future__ import annotations

import json
from typing import Any


def plain_name(identifier: str) -> str:
    """Write an identifier as words: `set_light_level` as `set light level`."""
    return identifier.replace("_", " ")


def shown_value(value: Any) -> str:
    """Write an argument's value as a person would."""
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(shown_value(v) for v in value)
        case _:
            return json.dumps(value, ensure_ascii=False)
