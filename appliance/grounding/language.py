"""Is a request in English? Only a clear no counts: short commands and names of any language pass."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from appliance.contracts.toolcall import Refusal, RefusalCode
from appliance.grounding.values import words

_LISTS: Final = Path(__file__).with_name("languages.txt")
_LEAST_WORDS: Final = 3
_LEAST_SHARE: Final = 0.4
_LOOKED_AT_CHARS: Final = 2000


_OTHER: Final = "\u0370-\u03ff\u0400-\u052f"
_MIXED: Final = re.compile(rf"\b\w*(?:[a-zA-Z][{_OTHER}]|[{_OTHER}][a-zA-Z])\w*\b")
_FOREIGN_NOT: Final = re.compile(
    r"(?<![\w\"])(?:nicht|keine?[nmrs]?|niemals|jamais|nunca|niet|geen|nessuno)(?![\w\"])", re.IGNORECASE
)


def refusal(text: str) -> Refusal | None:
    """Return a refusal for a request that is clearly not in English, else None."""
    mixed = _MIXED.search(text)
    if mixed is not None:
        # A letter of another alphabet inside a word ("n\u043et") hides the word from every reader but a person.
        reason = f'The word "{mixed[0][:30]}" mixes alphabets; write it in English letters.'
        return Refusal(code=RefusalCode.NOT_ENGLISH, reason=reason)
    refusing = _FOREIGN_NOT.search(text)
    if refusing is not None:
        reason = f'"{refusing[0]}" is not English, and may say not to do this; only English is understood here.'
        return Refusal(code=RefusalCode.NOT_ENGLISH, reason=reason)
    language = detect(text)
    if language is None:
        return None
    return Refusal(
        code=RefusalCode.NOT_ENGLISH, reason=f"This seems to be {language}; only English is understood here."
    )


def detect(text: str) -> str | None:
    """Return the language or script that *text* is clearly in when that is not English.

    >>> detect("schalte bitte das Licht in der Küche aus"), detect("play la vie en rose in the kitchen")
    ('German', None)
    """
    sample = text[:_LOOKED_AT_CHARS]
    # Quoted words are somebody's title or message, in whatever language.
    outside = re.sub(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d", " ", sample)
    script = _script(outside)
    if script is not None:
        return script
    spoken = [t for t in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", words.folded(outside)) if t]
    lists = _lists()
    known, shared = lists["English"], lists["shared"]
    english = sum(t in known and t not in shared for t in spoken)
    best, share, strong = None, 0.0, 0
    for name, listed in lists.items():
        if name in {"English", "shared"}:
            continue
        hits = sum(t in listed for t in spoken)
        own = sum(t in listed and t not in known and t not in shared for t in spoken)
        if spoken and hits / len(spoken) > share:
            best, share, strong = name, hits / len(spoken), own
    if len(spoken) < _LEAST_WORDS or best is None or strong < 2:
        return None
    return best if english * 3 <= strong and share >= _LEAST_SHARE else None


@cache
def _lists() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for line in _LISTS.read_text(encoding="utf-8").splitlines():
        name, said, listed = line.partition(": ")
        if said and not line.startswith("#"):
            found[name].update(listed.split())
    return {name: frozenset(listed) for name, listed in found.items()}


def _script(text: str) -> str | None:
    """Return the writing that most letters belong to, where it is not Latin."""
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return None
    latin = sum(
        unicodedata.name(c, "").startswith(
            ("LATIN", "FULLWIDTH LATIN", "MATHEMATICAL", "MODIFIER", "FEMININE", "MASCULINE")
        )
        for c in letters
    )
    if latin * 2 > len(letters):
        return None
    # Letters of a few scripts (Tangut) have no name in Unicode's table: what is not Latin is foreign all the same.
    first = next(c for c in letters if not unicodedata.name(c, "").startswith("LATIN"))
    name = (unicodedata.name(first, "") or "UNKNOWN").split()[0].title()
    return {
        "Cjk": "Chinese",
        "Hiragana": "Japanese",
        "Katakana": "Japanese",
        "Hangul": "Korean",
        "Cyrillic": "a language in Cyrillic script",
        "Unknown": "a language in another script",
    }.get(name, f"a language in {name} script")
