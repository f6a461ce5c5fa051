"""Pointer scores to spans of the request."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.contracts.toolcall import Span
from appliance.inference.encoding import Encoded
from appliance.inference.readings import Float32Array, Pointer

LONGEST_SPAN_TOKENS: Final = 48
"""Free text (a note, a message) is the longest thing a request holds."""


INSIDE_WEIGHT: Final = 0.5
"""How much the words' own scores count beside those of the ends: it joins half-right ends to a right span."""

INSIDE_CAP: Final = 4.0

LEAST_LOG_PROBABILITY: Final = -6.0
"""Below it there was nothing left to point at, and the parameter counts as not said."""


class Pointed(NamedTuple):
    """Words that were pointed at, and how surely."""

    spans: tuple[Span, ...]
    log_probability: float
    inside: float
    """Mean score of the words being part of the value; below zero the pointer had nothing to point at."""


class _Found(NamedTuple):
    """A span, and its first and last token."""

    pointed: Pointed
    first: int
    last: int


def one_span(encoded: Encoded, pointer: Pointer) -> Pointed:
    """The likeliest single span; nothing for a request without words."""
    found = _best(encoded, pointer, free=np.ones(len(encoded.request), bool))
    return found.pointed if found else Pointed((), 0.0, -np.inf)


def apart(encoded: Encoded, pointers: Sequence[Pointer]) -> list[Pointed | None]:
    """The likeliest span of every pointer, none of them over another's words; None where only unlikely words are left.

    The surest pointer chooses first: two parameters never mean the same words, and one that nobody said tends to point
    at words that are another's.
    """
    free = np.ones(len(encoded.request), bool)
    placed: list[Pointed | None] = [None] * len(pointers)
    waiting = set(range(len(pointers)))
    while waiting:
        found = {place: _best(encoded, pointers[place], free) for place in waiting}
        place = max(sorted(waiting), key=lambda p: -np.inf if (f := found[p]) is None else f.pointed.log_probability)
        surest = found[place]
        if surest is None or surest.pointed.log_probability < LEAST_LOG_PROBABILITY:
            break
        placed[place] = surest.pointed
        free[surest.first : surest.last + 1] = False
        waiting.remove(place)
    return placed


def _best(encoded: Encoded, pointer: Pointer, free: npt.NDArray[np.bool_]) -> _Found | None:
    """The likeliest span of free words."""
    request_n = len(encoded.request)
    if not free.any():
        return None
    start, end = log_softmax(pointer.start), log_softmax(pointer.end)
    # (R, 1) + (1, R): every first token with every last token not before it.
    joint = start[:, None] + end[None, :]
    inside = np.concatenate([[0.0], np.cumsum(np.clip(pointer.inside, -INSIDE_CAP, INSIDE_CAP))])
    taken = np.concatenate([[0], np.cumsum(~free)])
    distance = np.arange(request_n)[None, :] - np.arange(request_n)[:, None]
    allowed = (distance >= 0) & (distance < LONGEST_SPAN_TOKENS) & (taken[None, 1:] == taken[:-1, None])
    score = np.where(allowed, joint + INSIDE_WEIGHT * (inside[None, 1:] - inside[:-1, None]), -np.inf)
    first, last = (int(place) for place in np.unravel_index(int(np.argmax(score)), score.shape))
    words = (_whole_words(encoded, first, last),)
    mean = float(pointer.inside[first : last + 1].mean())
    return _Found(Pointed(words, float(joint[first, last]), mean), first, last)


def several_spans(encoded: Encoded, pointer: Pointer) -> Pointed:
    """Every run of words inside a value, cut where a new one begins; the likeliest single span if there is none."""
    runs: list[tuple[int, int]] = []
    for place, inside in enumerate(pointer.inside > 0):
        if not inside:
            continue
        if runs and runs[-1][1] == place - 1 and pointer.begin[place] <= 0:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    if not runs:
        return one_span(encoded, pointer)
    chosen = np.concatenate([pointer.inside[first : last + 1] for first, last in runs])
    spans = tuple(dict.fromkeys(_whole_words(encoded, first, last) for first, last in runs))
    return Pointed(spans, float(-np.logaddexp(0, -chosen).min()), float(chosen.mean()))


def log_softmax(scores: Float32Array) -> Float32Array:
    """Scores of alternatives to the logarithms of their probabilities."""
    shifted = scores - scores.max()
    normalised: Float32Array = shifted - np.log(np.exp(shifted).sum())
    return normalised


def _whole_words(encoded: Encoded, first: int, last: int) -> Span:
    """The characters of a run of tokens, widened so that no word is cut: a value never starts in the middle of one."""
    request = encoded.request
    while first > 0 and _same_word(request[first - 1].end, request[first].start, encoded.text):
        first -= 1
    while last + 1 < len(request) and _same_word(request[last].end, request[last + 1].start, encoded.text):
        last += 1
    return encoded.characters(first, last)


def _same_word(end: int, start: int, text: str) -> bool:
    return end == start and text[end - 1].isalnum() and text[start].isalnum()
