"""Text as people type it to lower-case words with one spelling for one thing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MAX_VALUE_CHARS: Final = 120
"""No number, date or duration is longer; the limit keeps every reader's work small."""

_SAME: Final = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-", "\u2010": "-",
    "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u00a0": " ", "\u2044": "/", "\u00ba": "\u00b0",
})  # fmt: skip
"""Typographic forms, one character for one character, so that positions stay what they were."""

_HALVES: Final = {"\u00bd": " 1/2", "\u00bc": " 1/4", "\u00be": " 3/4", "\u2153": " 1/3", "\u2154": " 2/3"}

_FILLERS: Final = (
    "please", "about", "around", "roughly", "approximately", "approx", "exactly", "precisely", "nearly", "almost",
    "just", "only", "maybe", "say", "to", "at", "for", "of", "the", "by", "set", "value", "up to", "down to", "is",
    "equal to", "equals", "no more than", "not more than", "no less than", "at most", "at least", "a total of",
)  # fmt: skip

_LEADING: Final = re.compile(rf"^(?:(?:{'|'.join(sorted(_FILLERS, key=len, reverse=True))})\b[\s:=]*)+")
_TRAILING: Final = re.compile(
    r"(?:[\s,]*\b(?:please|thanks|thank you|(?<!from )now|or so|exactly|sharp|max|at most|at least)\b)+$"
)


def plain(text: str) -> str:
    """Return *text* with typographic quotes, dashes and spaces made plain; every position stays what it was."""
    return text.translate(_SAME)


def folded(text: str) -> str:
    """Return *text* for comparing: plain, compatible forms united, lower case, single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    for sign, spelled in _HALVES.items():
        text = text.replace(sign, spelled)
    return " ".join(unicodedata.normalize("NFKC", plain(text)).translate(_SAME).casefold().split())


@lru_cache(maxsize=512)
def value_words(text: str) -> str:
    """Return the words of a value: folded, without punctuation around it and words that only introduce it."""
    if len(text) > MAX_VALUE_CHARS:
        return ""
    words = folded(text).strip(" \t\"'`,;:!?()[]{}")
    words = words[:-1].rstrip() if words.endswith(".") and not words.endswith(("a.m.", "p.m.")) else words
    stripped = _LEADING.sub("", words)
    return _TRAILING.sub("", stripped).strip(" ,") or words


def alternatives(phrases: Sequence[str]) -> str:
    """Return a pattern that matches any of *phrases*, the longest first."""
    return "|".join(re.escape(p) for p in sorted(phrases, key=len, reverse=True))


def tokens(text: str) -> tuple[str, ...]:
    """Return the folded words and numbers of *text*, without punctuation."""
    return tuple(re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?", folded(text)))


def lowered(text: str) -> str:
    """Return *text* plain and in lower case, every position what it was (a few letters have no such form and stay)."""
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := c.lower()) == 1 else c for c in plain(text))
