"""An outcome's calls and spans to marked words: which words each argument came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.record import JsonObject

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


class Argument(NamedTuple):
    """One argument as shown: a letter joins it to its words."""

    letter: str
    """Empty when no words carry it."""

    name: str
    value: str


class Understood(NamedTuple):
    """One call as shown."""

    tool: str
    arguments: tuple[Argument, ...]
    confidence: float
    verdict: str
    rule: str
    state: str
    message: str
    postcondition: str


class Piece(NamedTuple):
    """A stretch of the request and the arguments that it carries."""

    text: str
    letters: str
    closing: str
    """Letters whose words end here: where their badge stands."""


class Understanding(NamedTuple):
    """A request and its calls, tied together by letters."""

    pieces: tuple[Piece, ...]
    calls: tuple[Understood, ...]


def understand(text: str, calls: Sequence[JsonObject]) -> Understanding:
    """Tie *calls* to the words of *text*; whatever is missing or malformed in them is left out."""
    letters = iter(LETTERS)
    spans: list[tuple[int, int, str]] = []
    shown: list[Understood] = []
    for call in calls:
        marked = _spans(call.get("spans"), len(text))
        arguments = []
        known = call.get("arguments")
        for name, value in known.items() if isinstance(known, dict) else ():
            letter = next(letters, "") if marked.get(name) else ""
            spans.extend((start, end, letter) for start, end in marked.get(name, []) if letter)
            arguments.append(Argument(letter, *_with_unit(name, shown_value(value))))
        shown.append(
            Understood(
                tool=_text(call, "name"),
                arguments=tuple(arguments),
                confidence=_number(call.get("confidence")),
                verdict=_text(call, "verdict"),
                rule=_text(call, "rule"),
                state=_text(call, "state"),
                message=_text(call, "message"),
                postcondition=_text(call, "postcondition"),
            )
        )
    return Understanding(tuple(_pieces(text, spans)), tuple(shown))


def _with_unit(name: str, value: str) -> tuple[str, str]:
    """Move a unit from the end of a parameter's name to its value: `level_pct` 30 is `level` 30 %."""
    for suffix, unit in (("_pct", "%"), ("_c", "°C"), ("_s", "s")):
        if name.endswith(suffix):
            return plain_name(name.removesuffix(suffix)), f"{value} {unit}"
    return plain_name(name), value


def _pieces(text: str, spans: list[tuple[int, int, str]]) -> Iterator[Piece]:
    edges = sorted({0, len(text), *(s for s, _, _ in spans), *(e for _, e, _ in spans)})
    for start, end in pairwise(edges):
        letters = "".join(sorted({letter for s, e, letter in spans if s <= start and end <= e}))
        closing = "".join(sorted({letter for s, e, letter in spans if e == end}))
        yield Piece(text[start:end], letters, closing)


def _spans(value: Any, length: int) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for name, spans in value.items() if isinstance(value, dict) else ():
        for span in spans if isinstance(spans, list) else ():
            match span:
                case [int(start), int(end)] if 0 <= start < end <= length:
                    found.setdefault(name, []).append((start, end))
    return found


def _text(call: JsonObject, key: str) -> str:
    value = call.get(key)
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
