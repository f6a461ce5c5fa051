"""Whatever people, devices and files say is shown by a terminal and never obeyed."""

import json
import unicodedata

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.terminal import Styled, escaped_json, tell, tell_json, visible

HOSTILE = (
    "\x1b[2J\x1b[32manchored",
    "\x1b]52;c;cm0gLXJmIH4=\x07",
    "\x9b2J",
    "\x7f",
    "\u202egnp.exe",
    "\u2066hidden\u2069",
    "a\nanchored: everything is well",
    "a\r\x08b",
    "a\u2028b\u2029c\x85d",
    "\U000e0041tag",
    "\ufeffbom",
)


def obeyed(text):
    return [c for c in text if c not in "\n\u200c\u200d" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left_in_a_line(hostile):
    @click.command()
    def verb():
        tell("said: ", Styled(hostile, fg="red"), hostile)

    shown = CliRunner().invoke(verb).output

    assert obeyed(shown) == []
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Küche, 30 °C",
        "照明を消して",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d🚒",
        "a\\b “c” — d",
        "x\xa0y",
    ],
)
def test_what_people_write_stays_as_it_is(text):
    assert visible(text) == text


def test_the_ends_of_our_own_lines_stay_where_that_is_said():
    assert visible("one\ntwo\x1b", lines=True) == "one\ntwo\\x1b"


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_json_says_the_same_and_holds_nothing_that_is_obeyed(text):
    line = escaped_json(json.dumps({"said": text}, ensure_ascii=False))

    assert json.loads(line) == {"said": text}
    assert obeyed(line) == []


def test_json_is_one_line_for_a_program():
    @click.command()
    def verb():
        tell_json({"text": "\x1b\x9b\u202e\nKüche"})

    assert CliRunner().invoke(verb).output == '{"text": "\\u001b\\u009b\\u202e\\nKüche"}\n'
