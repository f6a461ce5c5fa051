"""Which figures leave: however a code is told, no more than three digits of it, unless told as values or times."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.adapters import figures, masking
from appliance.contracts.toolspec import ToolSpec

LIGHT = ToolSpec.from_schema(
    "turn_light_on", "", {"properties": {"room": {"type": "string", "x-entities": ["hall", "dock 4"]}}}
)

BLANK = re.compile(r"\[\d+\]")
DIGITS = re.compile(r"\d")
VALUE = re.compile(
    r"(?:\b(?:at|from|until|before) +)(?:[01]?\d|2[0-3]):[0-5]\d"
    r"|\d+(?:[.:]\d+)*\s*(?:%|\u00b0\s*[CFcf]?|(?:percent|degrees|minutes|min|am|pm|h|k|s|m|c|C)\b)",
    re.ASCII,
)

number = st.text("0123456789", min_size=1, max_size=6)
pieces = st.one_of(
    number,
    st.builds("{}{}{}".format, number, st.sampled_from(".:,-/ "), number),
    st.sampled_from((
        "at", "from", "until", "then", "and", "a", "i", "the", "hall", "dock", "code", "is", "call", "c", "h", "s", "m",
        "k", "%", "percent", "degrees", "minutes", "am", "\u00b0C", "-", ".", ",", ":", "7:30", "23:59", "47:11", "[1]",
        "\u0664", "\u00b2", "Zebediah",
    )),
)  # fmt: skip


def left(said):
    return masking.mask(said, [LIGHT]).text


@pytest.mark.parametrize(
    "said",
    [
        "the door code is 47 11",
        "the door code is 4 7 1 1",
        "the door code is 4-7-1-1",
        "the door code is 12,34",
        "the door code is 47:11",
        "the door code is 12:34",
        "the door code is 47.11",
        "the code is 4 in the hall, 7 in the hall, 1 in the hall, 1 in the hall",
        "call 077 then 009 then 001 then 23",
        "411 a 111 a 111",
        "411 k 111 k 111",
        "4 m and 7 m and 1 m and 1 m",
        "iban c h 93 s 00 m 76 k 20",
        "at 07:54 and at 16:22 and at 09:12",
        "\u0664\u0667\u0661\u0661",
        "\u2074\u2077\u00b9\u00b9",
    ],
)
def test_a_code_told_in_parts_does_not_leave(said):
    assert not re.search(r"[\d\u00b9\u2070-\u2079]", BLANK.sub("", left(said)))


@pytest.mark.parametrize(
    "said",
    [
        "four seven one one",
        "four-seven-one-one",
        "forty seven eleven",
        "double seven double one",
        "four oh one one",
        "4 seven 1 one",
        "four's seven one's one",
    ],
)
def test_a_code_told_in_words_does_not_leave(said):
    assert left(f"the code is {said}") == "the code is [1]"


@pytest.mark.parametrize(
    "said",
    [
        "dim the hall to 30% at 7:30",
        "dim the hall to thirty five percent",
        "make it 21.5 degrees",
        "make it 21.5 \u00b0C from 19:30",
        "wake me at 6:45 am",
        "warm the hall from 8:30 until 17:45",
        "a 12 minutes timer and 100 percent",
        "in the hall 2 lamps and 3 more",
    ],
)
def test_what_a_request_to_a_device_has_of_numbers_leaves(said):
    assert left(said) == said


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ("make dock 4 30% at 7:30", "make dock [1]% at 7:30"),
        ("make the lamp in dock 4 be 30% at 7:30", "make the lamp in dock [1] be 30% at 7:30"),
        ("the code is 48213, dim the hall to 30%", "the code is [1], dim the hall to 30%"),
        ("47 min 11 s", "[1]"),
        ("it is 5 c and c is f", "it is 5 c and [1] is [2]"),
    ],
)
def test_where_there_are_more_than_three_digits_a_value_leaves_and_a_bare_number_does_not(said, leaves):
    assert left(said) == leaves


@given(st.lists(pieces, max_size=16).map(" ".join) | st.lists(pieces, max_size=16).map("".join))
def test_more_than_three_digits_leave_only_as_two_values_or_times(said):
    told = BLANK.sub("\u2423", left(said))
    if len(DIGITS.findall(told)) <= figures.DIGITS_N:
        return
    values = VALUE.findall(told)
    assert len(values) <= figures.VALUES_N
    assert not DIGITS.search(VALUE.sub("", told)), "a bare number"
    for value in values:
        assert len(DIGITS.findall(value)) <= figures.DIGITS_N or ":" in value


@given(st.lists(st.sampled_from((*figures.SMALL, *figures.TENS, "hall", "is", "then")), max_size=12))
def test_no_more_than_three_digits_leave_in_words(words):
    told = BLANK.sub(" ", left(" ".join(words))).split()
    assert sum(figures.digits_n(word) for word in told) <= figures.DIGITS_N
