"""The last word on a value: does it satisfy its parameter; every grounded value passes here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any, Final, NamedTuple

from pydantic import JsonValue

from appliance.contracts.toolcall import RefusalCode
from appliance.contracts.toolspec import Parameter


class Objection(NamedTuple):
    """Why a value will not do."""

    code: RefusalCode
    reason: str
    choices: tuple[str, ...] = ()
    """Values that were near, where several were: worth a question rather than a refusal."""


MAX_INTEGER: Final = 2**53
"""Beyond it JSON readers disagree about integers (RFC 8785)."""

_PATTERN_TIME_S: Final = 0.1
"""A schema's pattern comes from outside and may be written to hang."""

_EMAIL: Final = re.compile(r"[^@\s\"<>]{1,64}@[^@\s\"<>.]+(?:\.[^@\s\"<>.]+)+")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DURATION: Final = re.compile(
    r"P(?!$)(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?"
)


def check(parameter: Parameter, value: JsonValue, at: str = "") -> Objection | None:
    """Return why *value* does not satisfy *parameter*, or None when it does."""
    name = at or parameter.name
    if parameter.kind == "unsupported":
        return Objection(RefusalCode.UNSUPPORTED, f"{name} wants a kind of value that cannot be filled here.")
    objection = _kind(parameter, value, name)
    if objection is None and parameter.options is not None:
        objection = _option(parameter, value, name)
    if objection is not None:
        return objection
    match value:
        case bool() | None:
            return None
        case int() | float():
            return _range(parameter, value, name)
        case str():
            return _text(parameter, value, name)
        case list():
            return _items(parameter, value, name)
        case dict():
            return _properties(parameter, value, name)


def range_words(parameter: Parameter) -> str:
    """Return the allowed range in plain words: "0 to 100", "at least 5", "less than 10"."""
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{number_words(low)} to {number_words(high)}"
    parts = [
        f"{claim} {number_words(bound)}"
        for claim, bound in (
            ("at least", low), ("more than", parameter.exclusive_minimum),
            ("at most", high), ("less than", parameter.exclusive_maximum),
        )
        if bound is not None
    ]  # fmt: skip
    return " and ".join(parts)


def number_words(value: float) -> str:
    """Return a number without a needless decimal point."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e16 else f"{value:g}"


def _kind(parameter: Parameter, value: JsonValue, name: str) -> Objection | None:
    match parameter.kind, value:
        case ("string", str()) | ("boolean", bool()) | ("array", list()) | ("object", dict()):
            return None
        case (("integer" | "number"), bool()):
            pass
        case (("integer" | "number"), int() | float()):
            if isinstance(value, float) and not math.isfinite(value):
                return Objection(RefusalCode.UNREADABLE, f"{name} must be a finite number.")
            if parameter.kind == "integer" and isinstance(value, float) and not value.is_integer():
                return Objection(RefusalCode.UNREADABLE, f"{name} must be a whole number, and {value:g} is not.")
            if isinstance(value, int) and abs(value) > MAX_INTEGER:
                return Objection(RefusalCode.OUT_OF_RANGE, f"{name} is too large a number.")
            return None
        case _, _ if parameter.options is not None and any(_same(value, o) for o in parameter.options):
            return None
    article = {"integer": "a whole number", "array": "a list", "object": "an object", "boolean": "true or false"}
    wants = article.get(parameter.kind, {"string": "text"}.get(parameter.kind, f"a {parameter.kind}"))
    return Objection(RefusalCode.UNREADABLE, f"{name} must be {wants}, not {_shown(value)}.")


def _option(parameter: Parameter, value: JsonValue, name: str) -> Objection | None:
    options = parameter.options or ()
    if any(_same(value, o) for o in options):
        return None
    listed = ", ".join(_shown(o) for o in options[:8]) + (" ..." if len(options) > 8 else "")
    return Objection(RefusalCode.OUT_OF_RANGE, f"{name} must be one of {listed}; {_shown(value)} is not.")


def _same(value: Any, option: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    return isinstance(value, bool) == isinstance(option, bool) and value == option


def _range(parameter: Parameter, value: float, name: str) -> Objection | None:
    low, high = parameter.minimum, parameter.maximum
    above, below = parameter.exclusive_minimum, parameter.exclusive_maximum
    if (
        (low is not None and value < low) or (high is not None and value > high)
        or (above is not None and value <= above) or (below is not None and value >= below)
    ):  # fmt: skip
        unit = f" {parameter.unit}" if parameter.unit else ""
        reason = f"{name} must be {range_words(parameter)}{unit}; {number_words(value)} is outside."
        return Objection(RefusalCode.OUT_OF_RANGE, reason)
    step = parameter.multiple_of
    if step is not None and step > 0 and Fraction(str(value)) % Fraction(str(step)):
        return Objection(
            RefusalCode.OUT_OF_RANGE, f"{name} goes in steps of {number_words(step)}; {value:g} is between."
        )
    return None


def _text(parameter: Parameter, value: str, name: str) -> Objection | None:
    if any("\ud800" <= c <= "\udfff" for c in value):
        return Objection(RefusalCode.UNREADABLE, f"{name} holds characters that are not text.")
    if parameter.min_length is not None and len(value) < parameter.min_length:
        return Objection(RefusalCode.OUT_OF_RANGE, f"{name} must have at least {parameter.min_length} characters.")
    if parameter.max_length is not None and len(value) > parameter.max_length:
        return Objection(RefusalCode.OUT_OF_RANGE, f"{name} may have at most {parameter.max_length} characters.")
    if parameter.format is not None and not _has_format(parameter.format, value):
        return Objection(RefusalCode.UNREADABLE, f"{name} must be a {parameter.format}, and {_shown(value)} is not.")
    objection = _pattern(parameter.pattern, value, name) if parameter.pattern is not None else None
    if objection is not None:
        return objection
    if parameter.entities and value not in parameter.entities:
        return Objection(RefusalCode.UNKNOWN_NAME, f"There is nothing called {_shown(value)} here.")
    return None


def _has_format(name: str, value: str) -> bool:
    try:
        match name:
            case "date":
                date.fromisoformat(value)
            case "time":
                time.fromisoformat(value)
            case "date-time":
                datetime.fromisoformat(value)
                return len(value) > len("2026-11-22")
            case "duration":
                return _DURATION.fullmatch(value) is not None
            case "email":
                return _EMAIL.fullmatch(value) is not None
            case "uri" | "url":
                return _URI.fullmatch(value) is not None
            case "uuid":
                return _UUID.fullmatch(value) is not None
    except ValueError:
        return False
    return True  # JSON Schema: a format that a reader does not know is a note


def _pattern(pattern: str, value: str, name: str) -> Objection | None:
    # 35 ms and 3 MB (measured): only a schema with a pattern pays; it can be stopped, `re` cannot.
    import regex  # type: ignore[import-untyped,unused-ignore]

    try:
        found = regex.search(pattern, value, timeout=_PATTERN_TIME_S)
    except regex.error:
        return Objection(RefusalCode.UNSUPPORTED, f"{name}: the tool's pattern {pattern[:80]!r} cannot be read.")
    except (TimeoutError, RecursionError, MemoryError, OverflowError):
        return Objection(RefusalCode.UNSUPPORTED, f"{name}: the tool's pattern {pattern[:80]!r} takes too long.")
    if found is None:
        return Objection(RefusalCode.UNREADABLE, f"{name} must look like {pattern[:80]}, and {_shown(value)} does not.")
    return None


def _items(parameter: Parameter, value: list[JsonValue], name: str) -> Objection | None:
    if parameter.min_items is not None and len(value) < parameter.min_items:
        return Objection(RefusalCode.OUT_OF_RANGE, f"{name} needs at least {parameter.min_items} entries.")
    if parameter.max_items is not None and len(value) > parameter.max_items:
        return Objection(RefusalCode.OUT_OF_RANGE, f"{name} takes at most {parameter.max_items} entries.")
    if parameter.items is None:
        return None
    found = (check(parameter.items, entry, f"{name}[{n}]") for n, entry in enumerate(value))
    return next((objection for objection in found if objection is not None), None)


def _properties(parameter: Parameter, value: Mapping[str, JsonValue], name: str) -> Objection | None:
    known = {p.name: p for p in parameter.properties}
    if not known:
        return None
    for key, entry in value.items():
        if key not in known:
            return Objection(RefusalCode.UNKNOWN_ARGUMENT, f"{name} has no field {key!r}.")
        objection = check(known[key], entry, f"{name}.{key}")
        if objection is not None:
            return objection
    missing = next((p.name for p in parameter.properties if p.required and p.name not in value), None)
    return None if missing is None else Objection(RefusalCode.UNREADABLE, f"{name} needs a field {missing!r}.")


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
