"""Which figures of a request may leave the device: three digits of them; where there are more, only values and times.

A code is told in as many ways as there are people ("47 11", "4-7-1-1", "07 then 70 then 09", "four seven one one"), so
the digits of the whole request are counted, whatever stands between them. A request to a device has few of them, and
those that it has carry a unit or say when.

Covers: digits of any script, numbers in words, decimals, times of day.
Does not cover: a code that is said as values or times ("47 minutes and 11 seconds", "at 12:34"): two of those leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from appliance.adapters.pointing import SMALL, TENS

DIGITS_N: Final = 3
"""Digits that may leave of a request without a look at what they are, and digits of one value."""

VALUES_N: Final = 2
"""More numbers with units than these are a row, whatever their units are."""

UNITS: Final = frozenset((
    "am", "pm", "c", "f", "h", "hr", "hrs", "k", "kg", "km", "kw", "l", "m", "min", "mins", "ml", "mm", "pct", "s",
    "sec", "secs", "v", "w",
))  # fmt: skip
"""Words that are units and nothing else: alone they may be letters of a code."""

MARKS: Final = frozenset(".,;:!?%\u00b0'\u2019-")

_MEASURES: Final = UNITS | {
    "%", "\u00b0", "percent", "degree", "degrees", "second", "seconds", "minute", "minutes", "hour", "hours", "day",
    "days", "week", "weeks", "month", "months", "o'clock", "o\u2019clock",
}  # fmt: skip
_TIME: Final = re.compile(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]")
_WHEN: Final = frozenset((
    "at", "from", "until", "till", "by", "before", "after", "around", "about", "between", "since",
))  # fmt: skip
_DIGITS_OF: Final = (
    {word: 1 if value < 10 else 2 for value, word in enumerate(SMALL)}
    | dict.fromkeys(TENS, 2)
    | {"oh": 1, "double": 1, "hundred": 2, "thousand": 3}
)


class Figures(NamedTuple):
    """Places of tokens."""

    hidden: frozenset[int]
    """Numbers that stay here."""

    units: frozenset[int]
    """Units of numbers that leave."""


class _Number(NamedTuple):
    """Numbers with nothing but spaces and marks between them, and their unit."""

    places: tuple[int, ...]
    units: tuple[int, ...]
    digits_n: int
    is_value: bool

    @property
    def last(self) -> int:
        return (*self.places, *self.units)[-1]


def weigh(tokens: Sequence[str]) -> Figures:
    """Return what of the numbers among *tokens* may leave."""
    numbers = list(_numbers(tokens))
    leaving = numbers
    if sum(number.digits_n for number in numbers) > DIGITS_N:
        leaving = [number for number in _apart(numbers, tokens) if number.is_value]
        leaving = leaving if len(leaving) <= VALUES_N else []
    hidden = frozenset(place for number in numbers if number not in leaving for place in number.places)
    return Figures(hidden, frozenset(place for number in leaving for place in number.units))


def digits_n(token: str) -> int:
    """Return how many digits *token* says; 0 where it is no number."""
    word = token.lower().replace("\u2019", "'").removesuffix("'s")
    return sum(letter.isdecimal() for letter in token) or _DIGITS_OF.get(word, 0)


def _numbers(tokens: Sequence[str]) -> Iterator[_Number]:
    row: list[int] = []
    for place, token in enumerate([*tokens, "end"]):
        if digits_n(token):
            row.append(place)
        elif row and not (token.isspace() or token in MARKS - {"%", "\u00b0"}):
            yield _number(tokens, row)
            row = []


def _number(tokens: Sequence[str], row: Sequence[int]) -> _Number:
    units = _units(tokens, row[-1] + 1)
    said_n = sum(digits_n(tokens[place]) for place in row)
    is_time = len(row) == 1 and _TIME.fullmatch(tokens[row[0]]) is not None
    before = next((token.lower() for token in reversed(tokens[: row[0]]) if not token.isspace()), "")
    # Several words may be one number ("thirty five"); several figures are not.
    is_one = len(row) == 1 or not any(tokens[place][0].isdecimal() for place in row)
    is_value = (bool(units) and is_one and (said_n <= DIGITS_N or is_time)) or (is_time and before in _WHEN)
    return _Number(tuple(row), units, said_n, is_value)


def _units(tokens: Sequence[str], start: int) -> tuple[int, ...]:
    """Return the places of the unit that begins at *start*: one word or mark, or a degree sign and a letter."""
    found: list[int] = []
    for place in range(start, len(tokens)):
        token = tokens[place].lower()
        if token in _MEASURES and (not found or (tokens[found[-1]] == "\u00b0" and token in {"c", "f", "k"})):
            found.append(place)
        elif not token.isspace():
            break
    return tuple(found)


def _apart(numbers: Sequence[_Number], tokens: Sequence[str]) -> Iterator[_Number]:
    """Yield the numbers that have a word on either side of them, and not one more number."""
    for at, number in enumerate(numbers):
        beside = [pair for pair in (numbers[max(at - 1, 0) : at + 1], numbers[at : at + 2]) if len(pair) == 2]
        if all(_word_between(tokens, one.last + 1, other.places[0]) for one, other in beside):
            yield number


def _word_between(tokens: Sequence[str], start: int, end: int) -> bool:
    return any(not (token.isspace() or token in MARKS) for token in tokens[start:end])
