"""Self-correction: "twenty, no, thirty" means thirty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from appliance.contracts.toolcall import Span
from appliance.grounding.values import words

_MARKER: Final = re.compile(
    r"(?:^|[\s,.;-]+)(?:"
    r"(?:no|nope|sorry|wait|oops|hang on|hold on|i mean|i meant|actually|correction"
    r"|scratch that|make (?:it|that)|or rather|rather)"
    r"(?:[\s,.;-]+|$))+",
)
_FIRST: Final = re.compile(
    r"^[\s,.;-]*(?:no|nope|sorry|wait|oops|i mean|i meant|actually|correction"
    r"|scratch that|make (?:it|that)|or rather)\b"
)
_REACH_CHARS: Final = 60


def replacements(text: str, span: Span) -> Iterator[Span]:
    """Yield where the words that take back *span* may stand, the longest reading first.

    They stand inside the span after the last marker ("twenty, no, thirty") or right after it.
    """
    low = words.lowered(text)
    inside = list(_MARKER.finditer(low, span.start, span.end))
    after = None
    if _FIRST.match(low[span.end : span.end + _REACH_CHARS]):
        after = _MARKER.match(low, span.end)
    if after is not None and after.end() < len(text):
        stop = re.search(r"[.;!?\n]|, ", text[after.end() : after.end() + _REACH_CHARS])
        end = after.end() + (stop.start() if stop else min(_REACH_CHARS, len(text) - after.end()))
        ends = sorted(
            {end, *(after.end() + m.start() for m in re.finditer(r"\s", text[after.end() : end]))}, reverse=True
        )
        yield from (Span(after.end(), e) for e in ends if text[after.end() : e].strip())
    if inside and inside[-1].end() < span.end and inside[-1].start() > span.start:
        yield Span(inside[-1].end(), span.end)
