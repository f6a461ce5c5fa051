"""Pieces of a request to its text, with the place of every value and of every call."""

import re
from typing import Any, Final

from firmware_models.corpus.pattern import Piece

_TRAILING: Final = re.compile(r"(?:\s+(?:the|a|an|to|of|for|at|in|on|with|that|is|as|and))+\s*$", re.IGNORECASE)
_LIFTED: Final = re.compile(r"\b(on|by|for) $", re.IGNORECASE)
_RELATIVE: Final = re.compile(r"(?:today|tomorrow|in |the day after|a week from)", re.IGNORECASE)

_NUMBERED: Final = re.compile(r"^(?!the ).*\b(?:one|two|three|four|five|six|seven|eight|nine|twelve|\d+|[A-Z])$")
_ARTICLE: Final = re.compile(r"\bthe $", re.IGNORECASE)

_PRONOUNS: Final = frozenset({"it", "that", "this one"})
_EMPTY: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "to",
        "of",
        "for",
        "at",
        "in",
        "on",
        "with",
        "that",
        "is",
        "as",
        "and",
        "it",
        "what",
        "what's",
        "are",
    ]
)

Span = tuple[int, int]


def join(pieces: list[Piece]) -> tuple[str, list[tuple[Piece, Span]]]:
    """Write *pieces* as one text; gives where each of them stands."""
    text = ""
    placed: list[tuple[Piece, Span]] = []
    for piece in pieces:
        words = re.sub(r" {2,}", " ", piece.text)
        if (piece.slot or piece.call == -1) and _RELATIVE.match(words):
            lifted = _LIFTED.search(text)
            if lifted is not None and (lifted[1].lower() == "on" or words.startswith("in ")):
                text = text[: lifted.start()]
        if (
            (piece.slot or words in _PRONOUNS)
            and _ARTICLE.search(text)
            and (words in _PRONOUNS or _NUMBERED.match(words) or words.startswith(("the ", "my ", "our ")))
        ):
            text = text[:-4]
        if placed and placed[-1][1][1] > len(text):
            placed[-1] = (placed[-1][0], (min(placed[-1][1][0], len(text)), len(text)))
        if not text or text[-1] in " (":
            words = words.lstrip(" ")
        if words[:1] in {",", ".", "?", "!", ";", ":"}:
            text = text.rstrip(" ")
            if placed and placed[-1][1][1] > len(text):
                placed[-1] = (placed[-1][0], (min(placed[-1][1][0], len(text)), len(text)))
        start = len(text)
        text += words
        placed.append((piece, (start, len(text))))
    return text.rstrip(), placed


def trim(text: str, span: Span) -> Span:
    """Shrink *span* so that it starts and ends on a word."""
    start, end = span
    while start < end and (text[start].isspace() or text[start] in ",.;:!?'\""):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in ",;:!?'\""):
        end -= 1
    return start, end


def anchors(text: str, placed: list[tuple[Piece, Span]]) -> dict[int, Span]:
    """The words that carry each call: its verb, or its first own value where it has none."""
    found: dict[int, Span] = {}
    weak: dict[int, Span] = {}
    run: list[Span] = []
    for at, (piece, (start, stop)) in enumerate(placed):
        call, end = piece.call, min(stop, len(text))
        if not isinstance(call, int) or call < 0:
            run = []
            continue
        if piece.slot is not None and not piece.verbal:
            weak.setdefault(call, trim(text, (start, end)))
            run = []
            continue
        run = [*run, (start, end)] if run and placed[at - 1][0].call == call else [(start, end)]
        last = (
            at + 1 == len(placed)
            or placed[at + 1][0].call != call
            or (placed[at + 1][0].slot is not None and not placed[at + 1][0].verbal)
        )
        if last and call not in found:
            words = text[run[0][0] : end]
            span = trim(text, (run[0][0], run[0][0] + len(_TRAILING.sub("", words))))
            if span[0] < span[1] and set(re.findall(r"[a-z']+", text[span[0] : span[1]].lower())) - _EMPTY:
                found[call] = span
            else:
                run = []
    return {call: found.get(call) or weak[call] for call in sorted({*found, *weak})}


def arguments(
    text: str, placed: list[tuple[Piece, Span]], call: int, names: dict[str, str], lists: set[str]
) -> dict[str, dict[str, Any]]:
    """The values of call number *call* by parameter name; slots of *lists* collect all their pieces."""
    found: dict[str, dict[str, Any]] = {}
    for piece, span in placed:
        if piece.slot is None or (piece.call != call and not (isinstance(piece.call, tuple) and call in piece.call)):
            continue
        start, end = (
            trim(text, (span[0], min(span[1], len(text)))) if not piece.free else (span[0], min(span[1], len(text)))
        )
        value = text[start:end] if piece.free else piece.value
        name = names[piece.slot]
        if piece.slot in lists:
            entry = found.setdefault(name, {"value": [], "spans": []})
            entry["value"].append(value)
            entry["spans"].append([start, end])
        else:
            found.setdefault(name, {"value": value, "spans": [[start, end]]})
    return found
