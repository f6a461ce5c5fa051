"""Which calls a selection means: by name, glob, tag, family or risk, and by what the arguments are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pydantic import JsonValue

from appliance.contracts.record import JsonScalar
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.workflow.words import Bounds, Selection, Wanted


def matches_tool(pattern: str, spec: ToolSpec) -> bool:
    """Return whether *pattern* means the tool."""
    kind, colon, rest = pattern.partition(":")
    if not colon:
        return fnmatchcase(spec.name, pattern)
    match kind:
        case "tag":
            return rest in spec.tags
        case "family":
            return spec.family == rest
        case "risk":
            return spec.risk == rest
        case _:
            return False


def matches_arguments(where: Mapping[str, Wanted], arguments: Mapping[str, JsonValue]) -> bool:
    """Return whether every wanted argument is there and as wanted."""
    return all(name in arguments and fits(wanted, arguments[name]) for name, wanted in where.items())


def matches(selection: Selection, spec: ToolSpec, arguments: Mapping[str, JsonValue]) -> bool:
    """Return whether *selection* means this call."""
    return matches_tool(selection.tool, spec) and matches_arguments(selection.where, arguments)


def any_matches(selections: Iterable[Selection], spec: ToolSpec, arguments: Mapping[str, JsonValue]) -> bool:
    """Return whether one of *selections* means this call."""
    return any(matches(selection, spec, arguments) for selection in selections)


def described(selection: Selection) -> str:
    """Write a selection as a person reads it: `start_machine (machine: pump)`."""
    if not selection.where:
        return selection.tool
    return f"{selection.tool} ({', '.join(f'{name}: {_plain(wanted)}' for name, wanted in selection.where.items())})"


def fits(wanted: Wanted, value: JsonValue) -> bool:
    """Return whether an argument is as wanted."""
    if isinstance(wanted, Bounds):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (wanted.min is None or value >= wanted.min) and (wanted.max is None or value <= wanted.max)
    if isinstance(wanted, list):
        return any(_same(one, value) for one in wanted)
    return _same(wanted, value)


def _same(wanted: JsonScalar, value: JsonValue) -> bool:
    # Python holds True == 1; a law that says 1 does not mean true.
    if isinstance(wanted, bool) != isinstance(value, bool):
        return False
    if isinstance(wanted, str) and isinstance(value, str):
        # Names of this site are said in any case, and grounding writes them as the site does.
        return wanted.casefold() == value.casefold()
    return wanted == value


def _plain(wanted: Wanted) -> str:
    if isinstance(wanted, Bounds):
        low = "" if wanted.min is None else f"from {wanted.min:g} "
        high = "" if wanted.max is None else f"to {wanted.max:g}"
        return (low + high).strip()
    return " or ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
