"""Clause patterns to pieces of a request.

`(a|b)` chooses, `[x]` and `[x|y]` may be left out, `{slot}` is the words of a value, `<slot=value:words>` are words
that say a value themselves, and a `[~ ...]` is an adjunct that may stand in front of the clause.
"""

import random
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple


class Literal(NamedTuple):
    """Plain words; with a slot, words that are the evidence of *value*."""

    text: str
    slot: str | None = None
    value: str | None = None


class Slot(NamedTuple):
    """The place of a value."""

    name: str


class Choice(NamedTuple):
    """One of several sequences."""

    options: "tuple[Sequence, ...]"


class Optional(NamedTuple):
    """A sequence that may be left out; *adjunct* ones may move to the front."""

    inner: "Sequence"
    adjunct: bool


class Sequence(NamedTuple):
    """Parts one after the other, with the slots that must and can appear."""

    parts: "tuple[Literal | Slot | Choice | Optional, ...]"
    must: frozenset[str]
    can: frozenset[str]


class Piece(NamedTuple):
    """Some words of a request: *slot* is the parameter that they say, of call number *call*."""

    text: str
    slot: str | None = None
    value: object = None
    call: int | tuple[int, ...] | None = None
    free: bool = False
    """Whether the value is simply the words."""
    verbal: bool = False
    """Whether these words are the pattern's own, such as a verb that implies the value."""


_NEVER: Final = frozenset[str]()


@cache
def compile_pattern(text: str) -> Sequence:
    """Read one pattern.

    Raises:
        ValueError: a bracket is not closed.
    """
    sequence, end = _sequence(text, 0, ")]")
    if end != len(text):
        raise ValueError(f"unbalanced pattern: {text!r}")
    return sequence


def _sequence(text: str, at: int, until: str) -> tuple[Sequence, int]:
    parts: list[Literal | Slot | Choice | Optional] = []
    buffer = ""
    while at < len(text) and text[at] not in until:
        char = text[at]
        if char not in "([{<":
            buffer += char
            at += 1
            continue
        if buffer:
            parts.append(Literal(buffer))
            buffer = ""
        if char == "(":
            options = []
            while True:
                option, at = _sequence(text, at + 1, "|)")
                options.append(option)
                if at >= len(text):
                    raise ValueError(f"unclosed ( in {text!r}")
                if text[at] == ")":
                    break
            parts.append(Choice(tuple(options)))
            at += 1
        elif char == "[":
            adjunct = text.startswith("[~", at)
            at += 1 if adjunct else 0
            inners = []
            while True:
                inner, at = _sequence(text, at + 1, "|]")
                inners.append(inner)
                if at >= len(text):
                    raise ValueError(f"unclosed [ in {text!r}")
                if text[at] == "]":
                    break
            choice = Choice(tuple(inners))
            parts.append(
                Optional(
                    inners[0] if len(inners) == 1 else Sequence((choice,), _must([choice]), _can([choice])), adjunct
                )
            )
            at += 1
        elif char == "{":
            end = text.index("}", at)
            parts.append(Slot(text[at + 1 : end]))
            at = end + 1
        else:
            end = text.index(">", at)
            slot, _, rest = text[at + 1 : end].partition("=")
            value, _, words = rest.partition(":")
            parts.append(Literal(words, slot, value))
            at = end + 1
    if buffer:
        parts.append(Literal(buffer))
    return Sequence(tuple(parts), _must(parts), _can(parts)), at


def _must(parts: list[Literal | Slot | Choice | Optional]) -> frozenset[str]:
    found: set[str] = set()
    for part in parts:
        if isinstance(part, Slot):
            found.add(part.name)
        elif isinstance(part, Literal) and part.slot:
            found.add(part.slot)
        elif isinstance(part, Choice):
            found |= frozenset.intersection(*(option.must for option in part.options))
    return frozenset(found)


def _can(parts: list[Literal | Slot | Choice | Optional]) -> frozenset[str]:
    found: set[str] = set()
    for part in parts:
        if isinstance(part, Slot):
            found.add(part.name)
        elif isinstance(part, Literal) and part.slot:
            found.add(part.slot)
        elif isinstance(part, Choice):
            found |= frozenset.union(*(option.can for option in part.options))
        elif isinstance(part, Optional):
            found |= part.inner.can
    return frozenset(found)


def expand(
    pattern: Sequence, chance: random.Random, say: frozenset[str], words: Callable[[str], list[Piece]]
) -> tuple[list[Piece], list[Piece]]:
    """Choose words for *pattern*, saying the slots of *say* and no others; *words* gives the pieces of a slot.

    Returns the clause and, when an adjunct was moved to the front, the adjunct.
    """
    pieces: list[Piece] = []
    front: list[Piece] = []
    _expand(pattern, chance, say, words, pieces, front)
    return pieces, front


def _expand(
    sequence: Sequence,
    chance: random.Random,
    say: frozenset[str],
    words: Callable[[str], list[Piece]],
    out: list[Piece],
    front: list[Piece],
) -> None:
    for part in sequence.parts:
        if isinstance(part, Literal):
            out.append(Piece(part.text, part.slot, part.value))
        elif isinstance(part, Slot):
            out.extend(words(part.name))
        elif isinstance(part, Choice):
            fitting = [option for option in part.options if option.can <= say] or list(part.options)
            best = max(len(option.can & say) for option in fitting)
            _expand(chance.choice([o for o in fitting if len(o.can & say) == best]), chance, say, words, out, front)
        elif part.inner.can <= say and (part.inner.can or chance.random() < 0.4):
            moved = part.adjunct and not front and chance.random() < 0.2
            _expand(part.inner, chance, say, words, front if moved else out, front)
