"""Where exactly a value stands: a network's span may cut a number in two or take a word too many."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from appliance.contracts.toolcall import Span
from appliance.grounding.values import numbers, units, words

_TOKEN: Final = re.compile(r"\S+")
_RUN: Final = re.compile(r"\d+(?:[.:]\d+|,\d{3}(?!\d))*[^\W_]*|[^\W_]+")
"""One word or number: 7:30pm, 1.5 and 1,200 are one each; "1, 2" and "at 7." are not."""

_JOINERS: Final = frozenset(
    {"and", "a", "an", "of", "point", "per", "cent", "half", "quarter", "quarters", "third", "thirds"}
)
_SIGNS: Final = frozenset({"minus", "negative", "-"})
_REACH_TOKENS: Final = 4
_LONGEST_TOKENS: Final = 9


def whole_words(text: str, span: Span) -> Span:
    """Return *span* without spaces around it and without cutting a word or a number."""
    said = text[span.start : span.end]
    if not said.strip():
        return span
    start = span.start + len(said) - len(said.lstrip())
    end = span.end - len(said) + len(said.rstrip())
    runs = [m for m in _RUN.finditer(text) if m.start() < end and start < m.end()]
    if not runs:
        return Span(start, end)
    return Span(min(start, runs[0].start()), max(end, runs[-1].end()))


def amount(text: str, span: Span, taken: Sequence[Span], reads: Callable[[str], bool]) -> Span:
    """Return the words of the whole amount at *span*: "five" in "twenty five", "an hour" in "half an hour".

    Args:
        taken: spans of other parameters, which are left alone.
        reads: says whether words are an amount.
    """
    tokens = [Span(*_trimmed(text, m.start(), m.end())) for m in _TOKEN.finditer(text)]
    inside = [n for n, t in enumerate(tokens) if t.start < span.end and span.start < t.end]
    if not inside:
        return span
    first, last = inside[0], inside[-1]
    best = span
    for left in range(first, max(-1, first - _REACH_TOKENS - 1), -1):
        if left < first and (not _belongs(text, tokens[left]) or _parted(text, tokens[left], tokens[left + 1])):
            break
        for right in range(last, min(len(tokens), last + _REACH_TOKENS + 1)):
            if right > last and (not _belongs(text, tokens[right]) or _parted(text, tokens[right - 1], tokens[right])):
                break
            wide = Span(tokens[left].start, tokens[right].end)
            if wide == best or wide.end - wide.start <= best.end - best.start:
                continue
            free = not any(t.start < wide.end and wide.start < t.end for t in taken)
            if free and reads(text[wide.start : wide.end]) and not _goes_on(text, tokens, right):
                best = wide
    return best


def within(text: str, span: Span, reads: Callable[[str], bool]) -> Span | None:
    """Return the one readable run of words inside *span*, when the rest of it holds neither number nor unit."""
    tokens = [Span(*_trimmed(text, m.start(), m.end())) for m in _TOKEN.finditer(text, span.start, span.end)]
    if len(tokens) > 4 * _LONGEST_TOKENS:
        return None
    for size in range(min(len(tokens), _LONGEST_TOKENS), 0, -1):
        for left in range(len(tokens) - size + 1):
            wide = Span(tokens[left].start, tokens[left + size - 1].end)
            if not reads(text[wide.start : wide.end]):
                continue
            rest = tokens[:left] + tokens[left + size :]
            # "90" alone out of "90 seconds" would be another amount.
            return None if any(_bears_amount(text[t.start : t.end]) for t in rest) else wide
    return None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start and text[end - 1] in ",.;!?)\"'":
        end -= 1
    while start < end and text[start] in "(\"'":
        start += 1
    return start, end


def _belongs(text: str, token: Span) -> bool:
    word = words.folded(text[token.start : token.end])
    return _is_numeric(word) or word in _JOINERS or word in _SIGNS or word in units.ALIASES


def _is_numeric(word: str) -> bool:
    pieces = re.split(r"[\s-]+", words.folded(word))
    return any(p in numbers.WORDS or p[:1].isdigit() for p in pieces if p)


def _bears_amount(word: str) -> bool:
    folded = words.folded(word)
    return _is_numeric(word) or folded in _SIGNS or (folded in units.ALIASES and folded not in {"a", "in"})


def _parted(text: str, before: Span, after: Span) -> bool:
    return re.search(r"[,;.!?]", text[before.end : after.start]) is not None


def _goes_on(text: str, tokens: Sequence[Span], right: int) -> bool:
    """Say whether the window would cut a number: "one hundred and two | hundred"."""
    if right + 1 >= len(tokens) or _parted(text, tokens[right], tokens[right + 1]):
        return False
    return _is_numeric(text[tokens[right + 1].start : tokens[right + 1].end])
