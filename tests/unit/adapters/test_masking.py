"""What may leave the device, and that the words are found again."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.adapters import figures, masking
from appliance.contracts.toolcall import Span
from appliance.contracts.toolspec import ToolSpec

LIGHT = ToolSpec.from_schema(
    "turn_light_on",
    "Switch on the lights in a room.",
    {"properties": {"room": {"type": "string", "x-entities": ["hall", "Ottilie's room"]}}, "required": ["room"]},
)

NO_NUMBERS = sorted(word for word in masking.plain_words() if not figures.digits_n(word))


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ("it is gloomy in the hall", "it is gloomy in the hall"),
        ("tell Zebediah it is gloomy", "tell [1] it is gloomy"),
        ("zebediah wants light in the hall", "[1] wants light in the hall"),
        ("call 07700 900123 when it is warm", "call [1] when it is warm"),
        ("call 07700-900 123 when it is warm", "call [1] when it is warm"),
        ("my card is 4111 1111 1111 1111", "my [1] is [2]"),
        ("the code is 48213", "the code is [1]"),
        ("write to zeb.kant@example.org please", "write to [1] please"),
        ("dim the hall to 30% at 7:30", "dim the hall to 30% at 7:30"),
        ("make it 21.5 degrees", "make it 21.5 degrees"),
        ("it is dark in Ottilie's room", "it is dark in Ottilie's room"),
        ("I live in 12 Ackermannstra\u00dfe", "I live in 12 [1]"),
        ("<obey>be hot</obey>", "[1]be hot[2]"),
        ("Zebediah Q. Kant is cold", "[1] is cold"),
        ("\u6df1\u5733 is far away", "[1] is far away"),
        ("say [7] to me", "say [1]7[2] to me"),
        ("Turn the heating up. Close the door! Is it 21 C?", "Turn the heating up. Close the door! Is it 21 C?"),
        ("I'm cold, turn the TV off on Monday", "I'm cold, turn the TV off on Monday"),
        ("tell Will that May is cold", "tell [1] that [2] is cold"),
        ("Will is cold", "[1] is cold"),
        ("May\u2019s room is dark. Summer\u2019s too", "[1] room is dark. [2] too"),
        ("will it be cold in may", "will it be cold in may"),
        ("please call Mr. Young and Dr. Cook", "please call [1] and [2]"),
        ("it is dark, Miss White, again", "it is dark, [1], again"),
        ("tell J. C. Long: the hall is dark", "tell [1]: the hall is dark"),
        ("it is dark in the Hall", "it is dark in the [1]"),
        ("dark. autumn is here", "dark. [1] is here"),
    ],
)
def test_only_plain_words_small_numbers_and_names_of_the_site_leave(said, leaves):
    assert masking.mask(said, [LIGHT]).text == leaves


def test_a_blank_stands_for_the_words_that_it_hides():
    said = "tell Zebediah Kant that it is dark"
    masked = masking.mask(said, [LIGHT])
    at = masked.text.index("[1]")

    span = masked.original(Span(at, at + 3))

    assert said[span.start : span.end] == "Zebediah Kant"


def test_every_plain_word_that_is_a_given_name_is_marked_as_one():
    listed = masking._listed()
    names = {
        name
        for line in Path(__file__).with_name("given_names.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
        for name in line.split()
    }

    assert len(names) > 5000
    assert {"will", "rose", "mark", "sarah"} <= names
    assert masking.plain_words() & names == masking.also_names()
    assert len(listed) == len(masking.plain_words()), "a word is there twice"
    assert all(word == word.lower() for word in listed)


@given(st.lists(st.sampled_from(NO_NUMBERS), min_size=2, max_size=8), st.data())
def test_a_word_with_a_capital_in_the_middle_of_a_sentence_does_not_leave(words, data):
    at = data.draw(st.integers(1, len(words) - 1))
    name = words[at].capitalize()
    hidden = name not in masking._CAPITALS
    said = " ".join([*words[:at], name, *words[at + 1 :]])

    left = masking.mask(said, []).text

    assert left == (" ".join([*words[:at], "[1]", *words[at + 1 :]]) if hidden else said)


@given(st.text(max_size=200))
def test_every_word_that_leaves_is_one_that_may(said):
    masked = masking.mask(said, [LIGHT])

    may = masking.plain_words() | masking.site_words([LIGHT]) | figures.UNITS
    for word in masking.re.findall(r"[^\W\d_]{2,}(?:['\u2019][^\W\d_]+)*", masked.text):
        folded = word.lower().replace("\u2019", "'")
        assert folded in may or folded.removesuffix("'s") in may
    assert not masking.re.search(r"\d{4,}", masked.text.replace("[", " ").replace("]", " ")) or masked.hidden_n > 999


@given(st.text(alphabet=string.ascii_letters + " .,0123456789@[]", max_size=120), st.data())
def test_every_span_of_what_leaves_lies_in_the_request(said, data):
    masked = masking.mask(said, [LIGHT])
    assert len(masked.starts) == len(masked.ends) == len(masked.text)
    if masked.text:
        start = data.draw(st.integers(0, len(masked.text) - 1))
        end = data.draw(st.integers(start + 1, len(masked.text)))
        span = masked.original(Span(start, end))
        assert 0 <= span.start < span.end <= len(said)
