"""What is missing to a question that a person can answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from appliance.contracts.toolcall import Question, Span
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.grounding import schema, texts
from appliance.grounding.values import units

_SHOWN_N: Final = 8
_WH: Final = re.compile(r"^(?:how|which|what|when|where|who|whom|whose|why|whether)\b", re.IGNORECASE)


def ask(
    spec: ToolSpec,
    missing: Sequence[Parameter],
    arguments: Mapping[str, JsonValue],
    spans: Mapping[str, tuple[Span, ...]],
    confidence: float,
    *,
    choices: Sequence[str] = (),
    because: str = "",
) -> Question:
    """Return the question for every missing parameter at once."""
    asked = [_phrase(p) for p in missing]
    if len(asked) == 1:
        text = asked[0][0].upper() + asked[0][1:] + "?"
    else:
        text = f"To {_readable(spec.name)}, tell me {', '.join(asked[:-1])} and {asked[-1]}?"
    closed = choices or (_options(missing[0]) if len(missing) == 1 else ())
    if closed and len(closed) <= _SHOWN_N:
        text = (
            text.removesuffix("?")
            + ": "
            + (", ".join(closed[:-1]) + " or " if len(closed) > 1 else "")
            + closed[-1]
            + "?"
        )
    return Question(
        tool=spec.name,
        missing=tuple(p.name for p in missing),
        text=f"{because} {text}".strip(),
        arguments=dict(arguments),
        spans=dict(spans),
        choices=tuple(closed),
        confidence=confidence,
    )


def _phrase(parameter: Parameter) -> str:
    """Say what is asked for: "how long (run time in seconds)", "which room", "what message"."""
    noun = _noun(parameter)
    if _WH.match(noun):
        return noun[0].lower() + noun[1:]
    unit = units.wanted(parameter)
    span = schema.range_words(parameter)
    bounds = f", {span}" if span else ""
    form = texts.format_of(parameter) if parameter.kind == "string" else None
    if form == "duration" or (unit is not None and unit.dimension == "time" and "interval" not in parameter.name):
        return f"how long ({noun}{bounds})"
    if form == "date":
        return f"on which day ({noun})"
    if form in {"time", "hh:mm", "date-time"}:
        return f"when ({noun})"
    if parameter.kind == "boolean":
        return f"yes or no: {noun}"
    if parameter.options is not None or parameter.entities:
        return f"which {noun}"
    if parameter.kind in {"integer", "number"}:
        return f"what {noun}" + (f" ({span})" if span else "")
    return f"what {noun}" + ("s" if parameter.kind == "array" and not noun.endswith("s") else "")


def _noun(parameter: Parameter) -> str:
    """Return the description's first clause when it is short, else the name in words."""
    first = re.split(r"[.;(\n]|, (?:e\.?g|such|for example|in )", parameter.description, maxsplit=1)[0].strip(" :")
    first = re.sub(r"^(?:the|a|an)\s+", "", first, flags=re.IGNORECASE)
    if 0 < len(first.split()) <= 8 and len(first) <= 60:
        return first if _WH.match(first) or first[:2].isupper() else first[0].lower() + first[1:]
    return _readable(parameter.name)


def _readable(name: str) -> str:
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return " ".join(re.split(r"[_.\-\s]+", split)).strip().lower() or name


def _options(parameter: Parameter) -> tuple[str, ...]:
    if parameter.options is not None:
        return tuple(str(o) for o in parameter.options)
    return parameter.entities
