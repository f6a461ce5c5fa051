"""A request to what of it may leave the device: plain English words, small numbers, names of the site; the rest blank.

A list of what may leave, not of what may not: whatever nobody thought of stays here. What is blanked becomes `[1]`,
`[2]`, ... so that a server can still point at it, and the device still knows which words it pointed at.

A capital tells a name from a word: with one, a word leaves only where a sentence begins, where English always writes
it so (I, Monday, TV), or where the owner spells a place of the site so.

Covers: names, addresses, telephone and card numbers, codes, foreign words, typing errors, symbols.
Does not cover: a name in small letters that is also a plain word (will, may, summer), or one that begins a sentence and
is no given name (Cook); what plain words say between them ("the key is under the green pot"). The owner who cannot let
that leave asks no server.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from appliance.adapters import figures
from appliance.contracts.toolcall import Span
from appliance.contracts.toolspec import Parameter, ToolSpec

_TOKENS: Final = re.compile(r"\d+(?:[.:]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\s+|.", re.DOTALL)
_CAPITALS: Final = frozenset((
    "I", "I'd", "I'll", "I'm", "I've", "AM", "OK", "PM", "TV", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
    "Saturday", "Sunday",
))  # fmt: skip
_AFTER_NUMBERS: Final = frozenset(("C", "F", "V", "W", "kW", "L"))
"""Alone such a letter may be somebody's initial."""

_ENDS: Final = frozenset(".!?")


class Masked(NamedTuple):
    """A request without what may not leave."""

    text: str
    starts: tuple[int, ...]
    """For every character of *text*, where it (or what it stands for) begins in the request."""

    ends: tuple[int, ...]
    hidden_n: int

    def original(self, span: Span) -> Span:
        """Return where a span of *text* lies in the request."""
        return Span(self.starts[span.start], self.ends[span.end - 1])


def mask(text: str, tools: Sequence[ToolSpec]) -> Masked:
    """Return *text* as it may leave the device; what the *tools* of the site are called may."""
    allowed, spelled = plain_words() | site_words(tools), _spelled(tools)
    tokens = [(match[0], match.start(), match.end()) for match in _TOKENS.finditer(text)]
    numbers = figures.weigh([token for token, _, _ in tokens])
    kept: list[bool] = []
    for place, (token, _, _) in enumerate(tokens):
        may = place not in numbers.hidden and (place in numbers.units or _may_leave(token, allowed))
        kept.append(may and (token == token.lower() or token in spelled or _may_be_capital(tokens, kept, place)))
    written: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    hidden_n = 0
    place = 0
    while place < len(tokens):
        token, start, end = tokens[place]
        if kept[place]:
            written.append(" " if token.isspace() else token)
            starts += [start] if token.isspace() else range(start, end)
            ends += [end] if token.isspace() else range(start + 1, end + 1)
            place += 1
            continue
        last = _last_hidden(tokens, kept, place)
        hidden_n += 1
        blank = f"[{hidden_n}]"
        written.append(blank)
        starts += [start] * len(blank)
        ends += [tokens[last][2]] * len(blank)
        place = last + 1
    return Masked("".join(written), tuple(starts), tuple(ends), hidden_n)


@functools.cache
def plain_words() -> frozenset[str]:
    """Return the words that may leave any device."""
    return frozenset(word.removesuffix("*") for word in _listed())


@functools.cache
def also_names() -> frozenset[str]:
    """Return the plain words that are given names too; these leave in small letters only."""
    return frozenset(word.removesuffix("*") for word in _listed() if word.endswith("*"))


def _listed() -> list[str]:
    lines = Path(__file__).with_name("plain_words.txt").read_text("utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def site_words(tools: Sequence[ToolSpec]) -> frozenset[str]:
    """Return the words in which the tools, their parameters, options and places of the site are named."""
    return frozenset(word.lower() for word in _spelled(tools))


def _spelled(tools: Sequence[ToolSpec]) -> frozenset[str]:
    said = [name for tool in tools for name in _names(tool)]
    return frozenset(token[0] for name in said for token in _TOKENS.finditer(name) if token[0][0].isalpha())


def _names(tool: ToolSpec) -> Iterable[str]:
    yield tool.name.replace("_", " ")
    for parameter in tool.parameters:
        yield from _choices(parameter)


def _choices(parameter: Parameter) -> Iterable[str]:
    yield from parameter.entities
    yield from (option for option in parameter.options or () if isinstance(option, str))
    if parameter.items is not None:
        yield from _choices(parameter.items)


def _may_leave(token: str, allowed: frozenset[str]) -> bool:
    if token.isspace() or token in figures.MARKS:
        return True
    if token[0].isdecimal():
        return True
    folded = token.lower().replace("\u2019", "'")
    return folded in allowed or folded.removesuffix("'s") in allowed


def _may_be_capital(tokens: Sequence[tuple[str, int, int]], kept: Sequence[bool], place: int) -> bool:
    """Return whether a plain word with a capital is no name: because of the word, or of where it stands."""
    token = tokens[place][0].replace("\u2019", "'")
    before = [at for at in range(place) if not (tokens[at][0].isspace() or tokens[at][0] == "\u00b0")]
    if token in _CAPITALS:
        return True
    if token in _AFTER_NUMBERS:
        return bool(before) and tokens[before[-1]][0][0].isdigit()
    return token.lower().removesuffix("'s") not in also_names() and _begins(tokens, kept, before)


def _begins(tokens: Sequence[tuple[str, int, int]], kept: Sequence[bool], before: Sequence[int]) -> bool:
    """Return whether a sentence begins after what is *before*."""
    if not before:
        return True
    if len(before) < 2 or tokens[before[-1]][0] not in _ENDS:
        return False
    # "Dr. Cook", "J. Cook": a full stop after what is blanked, or after a letter, ends no sentence.
    last = tokens[before[-2]][0]
    return kept[before[-2]] and (last[0].isdigit() or (len(last) > 1 and last[0].isalpha()))


def _last_hidden(tokens: Sequence[tuple[str, int, int]], kept: Sequence[bool], place: int) -> int:
    """Return the last token of a run of hidden ones; spaces and marks between two of them are hidden with them."""
    last = place
    for at in range(place + 1, len(tokens)):
        if not kept[at]:
            last = at
        elif not (tokens[at][0].isspace() or tokens[at][0] in figures.MARKS):
            break
    return last


def unmasked(text: str) -> Masked:
    """Return *text* as it is, for a model on the device."""
    return Masked(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)), 0)
