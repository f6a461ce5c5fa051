"""A request that is clearly not in English is refused as such; short commands and foreign names pass."""

from pathlib import Path

import pytest

from appliance.contracts.toolcall import RefusalCode
from appliance.grounding import language

DATA = Path(__file__).parent / "data"
FOREIGN = [
    tuple(part.strip() for part in line.split("|", 1))
    for line in (DATA / "languages.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
ENGLISH = [line for line in (DATA / "english.txt").read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize(("name", "sentence"), FOREIGN)
def test_a_sentence_in_another_language_is_refused_as_such(name, sentence):
    refusal = language.refusal(sentence)

    assert refusal is not None
    assert refusal.code is RefusalCode.NOT_ENGLISH
    assert name in refusal.reason


@pytest.mark.parametrize("sentence", ENGLISH)
def test_english_short_commands_and_foreign_names_pass(sentence):
    assert language.refusal(sentence) is None


def test_the_sentences_of_a_page_are_read_in_no_time():
    assert language.refusal("turn on the lamp " * 100_000) is None


def test_letters_without_a_name_in_unicode_are_refused_like_any_other_script():
    assert language.detect("\U00017400") == "a language in another script"
