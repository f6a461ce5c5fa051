"""Patterns, verbs, numbers and moments in words."""

import random
from datetime import datetime

import pytest

from firmware_models.corpus import concepts, domains, inflect, moments, numerals, quantities, requests
from firmware_models.corpus.pattern import Piece, compile_pattern, expand

NOW = datetime.fromisoformat("2026-11-22T21:00:00")


@pytest.mark.parametrize(
    ("clause", "gerund", "past"),
    [
        ("shut the door", "shutting the door", "shut the door"),
        ("close it", "closing it", "closed it"),
        ("open it", "opening it", "opened it"),
        ("carry boxes", "carrying boxes", "carried boxes"),
        ("plan a trip", "planning a trip", "planned a trip"),
        ("tie it", "tying it", "tied it"),
        ("tell Anna", "telling Anna", "told Anna"),
        ("see", "seeing", "saw"),
    ],
)
def test_verbs_take_their_forms(clause, gerund, past):
    assert inflect.gerund(clause) == gerund
    assert inflect.past(clause) == past


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (21, "twenty one"),
        (37.5, "thirty seven point five"),
        (-3, "minus three"),
        (105, "one hundred and five"),
        (2700, "two thousand seven hundred"),
    ],
)
def test_numbers_are_spelled(number, words):
    assert numerals.words(number) == words


def test_ordinals_are_spelled():
    assert [numerals.ordinal_words(n) for n in (1, 12, 20, 31)] == ["first", "twelfth", "twentieth", "thirty first"]
    assert [numerals.ordinal_digits(n) for n in (1, 11, 22, 13)] == ["1st", "11th", "22nd", "13th"]


def test_durations_are_whole_in_their_unit():
    chance = random.Random(1)
    said = dict(moments.duration(chance, "minute") for _ in range(3000))

    assert said["half an hour"] == 30
    assert said["an hour and a half"] == 90
    assert "half a minute" not in said


def test_times_mean_what_they_say():
    chance = random.Random(1)
    said = dict(moments.clock(chance) for _ in range(20_000))

    assert said["half past seven in the evening"] == "19:30"
    assert said["a quarter to nine in the morning"] == "08:45"
    assert said["noon"] == "12:00"
    assert said["7 pm"] == "19:00"


def test_days_lie_ahead_of_now():
    chance = random.Random(1)
    said = [moments.day(chance, NOW) for _ in range(2000)]

    assert ("tomorrow", "2026-11-23") in said
    assert ("Friday", "2026-11-27") in said
    assert ("Sunday", "2026-11-29") in said
    assert min(value for _, value in said) >= "2026-11-22"


def test_a_pattern_says_the_slots_asked_for_and_no_others():
    pattern = compile_pattern("(set|put) the {thing}[ to {value}][ in {room}]")

    pieces, front = expand(
        pattern, random.Random(1), frozenset({"thing", "room"}), lambda slot: [Piece(slot.upper(), slot)]
    )

    assert pattern.must == {"thing"}
    assert pattern.can == {"thing", "value", "room"}
    assert [piece.slot for piece in pieces if piece.slot] == ["thing", "room"]
    assert front == []


def test_words_of_a_pattern_can_say_a_value():
    pieces, _ = expand(
        compile_pattern("<state=off:shut down> it"), random.Random(1), frozenset({"state"}), lambda _: []
    )

    assert pieces[0] == Piece("shut down", "state", "off")


@pytest.mark.parametrize("text", ["(a|b", "[a", "a) b"])
def test_unbalanced_patterns_are_errors(text):
    with pytest.raises(ValueError, match=r"unclosed|unbalanced"):
        compile_pattern(text)


def test_an_article_goes_before_a_number_name_and_before_it():
    assert requests.join([Piece("open the "), Piece("gate 7", "x")])[0] == "open gate 7"
    assert requests.join([Piece("turn the "), Piece("it"), Piece(" on")])[0] == "turn it on"
    assert requests.join([Piece("book it on "), Piece("tomorrow", "x")])[0] == "book it tomorrow"


def test_a_range_is_kept_by_what_is_said():
    chance = random.Random(1)
    for _ in range(300):
        field = quantities.declare("5..30 °C", chance)
        [(words, value)] = field.say(chance, NOW)
        assert 5 <= value <= 30
        assert words
        if field.beyond:
            assert not 5 <= field.beyond(chance)[1] <= 30


def test_every_pattern_names_only_parameters_of_its_concept():
    written = [
        *concepts.services(),
        *(domains.build(d, k, 0) for d in domains.domains()[:12] for k in domains.concept_keys(d)),
    ]
    for concept in written:
        slots = {parameter.slot for parameter in concept.parameters}
        for pattern in (
            *concept.commands,
            *concept.terse,
            *concept.wishes,
            *concept.questions,
            *(p for _, p in concept.missing),
        ):
            assert pattern.can <= slots, concept.key


def test_no_unfilled_word_is_left_in_a_domain_concept():
    for domain in domains.domains()[::8]:
        for key in domains.concept_keys(domain):
            built = domains.build(domain, key, 1)
            assert "$" not in "".join((*built.names, *built.descriptions)), (domain.name, key)
