"""A value that another model gave to the words of the request that carry it; what no words carry points nowhere.

A model of the device points at words and cannot invent any. Another one writes values. Here they are looked for in the
request, letter by letter, and only then are they words that grounding reads: a value that nobody said is refused by the
same line of grounding that refuses a span outside the request.

Covers: words, digits, whole numbers up to a hundred in words, options of a closed set, several values.
Does not cover: a value said in other words ("half" for 50): the request is refused then, or asked back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from appliance.contracts.toolcall import Mention, Span
from appliance.contracts.toolspec import Parameter, ToolSpec

NOWHERE: Final = Mention(spans=(Span(0, 0),))
"""Words that are not in the request; grounding refuses it, whatever the parameter is."""

MOST_N: Final = 16
"""Values of one list."""

SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def mentions(arguments: Mapping[str, JsonValue], spec: ToolSpec | None, text: str) -> dict[str, Mention]:
    """Return for every argument the words of *text* that carry it; a null is none."""
    found: dict[str, Mention] = {}
    taken: list[Span] = []
    for name, value in arguments.items():
        if value is None:
            continue
        mention = _mention(None if spec is None else spec.parameter(name), value, text, taken)
        taken += mention.spans
        found[name] = mention
    return found


def find(said: str, text: str, taken: list[Span]) -> Span | None:
    """Return where *text* says *said*, as whole words; where nothing else was taken from, if it is said twice."""
    words = said.split()
    if not words or len(said) > len(text):
        return None
    pattern = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
    places = [Span(match.start(), match.end()) for match in pattern.finditer(text)]
    return next((span for span in places if span not in taken), places[0] if places else None)


def _mention(parameter: Parameter | None, value: JsonValue, text: str, taken: list[Span]) -> Mention:
    if isinstance(value, list):
        spans = [_span(item, text, taken) for item in value[:MOST_N]] if parameter and parameter.kind == "array" else []
        whole = tuple(span for span in spans if span is not None)
        return Mention(spans=whole) if whole and len(whole) == len(value) else NOWHERE
    if parameter is not None and (parameter.options or parameter.kind == "boolean"):
        option = _option(parameter, value)
        if option is None:
            return NOWHERE
        span = _span(value, text, taken) if not isinstance(value, bool) else None
        return Mention(spans=() if span is None else (span,), option=option)
    span = _span(value, text, taken)
    return NOWHERE if span is None else Mention(spans=(span,))


def _option(parameter: Parameter, value: JsonValue) -> str | int | float | bool | None:
    """Return the option of the tool's own list that *value* is; nothing else of an answer is ever kept."""
    if parameter.options:
        same = [one for one in parameter.options if one == value and isinstance(one, bool) == isinstance(value, bool)]
        spelled = [one for one in parameter.options if str(one).casefold() == str(value).casefold()]
        return next(iter((*same, *spelled)), None)
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).casefold())


def _span(value: JsonValue, text: str, taken: list[Span]) -> Span | None:
    for said in _spellings(value):
        span = find(said, text, taken)
        if span is not None:
            return span
    return None


def _spellings(value: JsonValue) -> list[str]:
    """Return how a value may stand in a request."""
    if isinstance(value, str):
        return [value.strip(" .,;!?\"'")]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    whole = int(value) if abs(value) < 1e9 and value == int(value) else None  # NaN and infinity are not below it
    if whole is None:
        return [f"{value}"]
    said = [f"{whole}", f"{whole}.0"]
    if 0 <= whole < len(SMALL):
        said.append(SMALL[whole])
    elif whole == 100:
        said += ["a hundred", "one hundred", "hundred"]
    elif len(SMALL) <= whole < 100:
        tens, ones = divmod(whole, 10)
        said += [f"{TENS[tens - 2]}{joint}{SMALL[ones]}" for joint in ("-", " ")] if ones else [TENS[tens - 2]]
    return said
