"""Pointer scores become whole words, and two parameters never the same ones."""

from pathlib import Path

import numpy as np
import pytest

from appliance.contracts.toolspec import ToolSpec
from appliance.inference.encoding import Encoded, Encoder
from appliance.inference.pointing import apart, one_span, several_spans
from appliance.inference.readings import Pointer
from appliance.inference.tokenizer import WordPiece

BUNDLES = Path(__file__).parents[3] / "firmware_models" / "bundles"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(WordPiece.read(next(BUNDLES.glob("*/vocab.txt"))), 512)


def encoded(encoder: Encoder, text: str) -> Encoded:
    return encoder.encode(text, [ToolSpec.from_schema("go")])


def pointing_at(request: Encoded, *words: str, surely: float = 8.0) -> Pointer:
    """A pointer that is sure of *words*, each of them one run of the request's text."""
    start, end, begin, inside = (np.full(len(request.request), -surely, np.float32) for _ in range(4))
    for word in words:
        first = request.text.index(word)
        touched = [i for i, t in enumerate(request.request) if first <= t.start < first + len(word)]
        start[touched[0]] = end[touched[-1]] = begin[touched[0]] = surely
        inside[touched] = surely
    return Pointer(start, end, begin, inside)


def text_of(request: Encoded, spans: tuple[tuple[int, int], ...]) -> list[str]:
    return [request.text[start:end] for start, end in spans]


def test_one_span_is_the_words_pointed_at(encoder: Encoder) -> None:
    request = encoded(encoder, "dim the desk lamp to 40 percent")

    assert text_of(request, one_span(request, pointing_at(request, "desk lamp")).spans) == ["desk lamp"]


def test_a_span_never_cuts_a_word(encoder: Encoder) -> None:
    request = encoded(encoder, "wake Zbigniewówna up")
    pieces = [i for i, t in enumerate(request.request) if request.text[t.start : t.end] in "Zbigniewówna"]
    assert len(pieces) > 2
    pointer = pointing_at(request, "Zbig")

    assert text_of(request, one_span(request, pointer).spans) == ["Zbigniewówna"]


def test_a_list_is_cut_where_a_new_value_begins(encoder: Encoder) -> None:
    request = encoded(encoder, "water the roses, the ferns and the basil")

    pointed = several_spans(request, pointing_at(request, "roses", "ferns", "basil"))

    assert text_of(request, pointed.spans) == ["roses", "ferns", "basil"]


def test_two_parameters_do_not_take_the_same_words(encoder: Encoder) -> None:
    request = encoded(encoder, "move forty trays to the cellar")
    sure, unsure = pointing_at(request, "cellar"), pointing_at(request, "cellar", surely=1.0)
    unsure.start[1] = unsure.end[1] = 0.9

    first, second = apart(request, [unsure, sure])

    assert first is not None
    assert second is not None
    assert text_of(request, second.spans) == ["cellar"]
    assert text_of(request, first.spans) == ["forty"]


def test_a_parameter_whose_only_words_are_taken_was_not_said(encoder: Encoder) -> None:
    request = encoded(encoder, "reserve the subway")

    placed = apart(request, [pointing_at(request, "subway"), pointing_at(request, "subway", surely=7.0)])

    assert placed[0] is not None
    assert placed[1] is None


def test_a_request_without_words_points_nowhere(encoder: Encoder) -> None:
    request = encoded(encoder, "\u200b")
    nothing = np.zeros(0, np.float32)

    assert one_span(request, Pointer(nothing, nothing, nothing, nothing)).spans == ()
