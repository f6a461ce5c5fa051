"""Names of people: two that look alike in a record are one, and what is no name is none."""

import pytest

from appliance.contracts.people import name_key, spelled


@pytest.mark.parametrize("name", ["a", "Ana", "ana.b-c_9", "José", "Jose\u0301", "Ångström", "x" * 32])
def test_a_short_identifier_with_or_without_accents_is_a_name(name):
    assert name_key(name) is not None


@pytest.mark.parametrize("others", [("Ana", "ANA", "ána", "a\u0301na"), ("jose", "José", "JOSE\u0301")])
def test_case_and_accents_do_not_tell_people_apart(others):
    assert len({name_key(name) for name in others}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 33,
        "e\u0301" * 33,
        "a" * 100_000,
        "482913",  # a PIN that slipped into the name
        "9ana",
        "-ana",
        "ana bo",
        " ana",
        "ana\n",
        "an\x00a",
        "ana\u200d",
        "a\u202ena",
        "\u0430na",  # Cyrillic a
        "\u03b1na",  # Greek alpha
        "\uff41na",  # full width
        "an\U0001d41a",  # mathematical bold
        "an\u0251",  # Latin alpha
        "\u0131vo",  # dotless i
        "a\u0336na",  # struck through
        "ana\ud800",
        "ana/bo",
        "?1",
    ],
)
def test_what_looks_like_another_or_cannot_be_seen_is_no_name(name):
    assert name_key(name) is None


def test_a_name_is_kept_composed():
    assert spelled("Jose\u0301") == "Jos\u00e9"
