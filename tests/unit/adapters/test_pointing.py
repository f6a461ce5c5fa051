"""Values of another model, and the words of the request that carry them, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.adapters import pointing
from appliance.contracts.toolspec import ToolSpec

TOOL = ToolSpec.from_schema(
    "set_light",
    "",
    {
        "properties": {
            "room": {"type": "string"},
            "level": {"type": "integer"},
            "colour": {"type": "string", "enum": ["red", "warm white"]},
            "on": {"type": "boolean"},
            "rooms": {"type": "array", "items": {"type": "string"}},
        }
    },
)


def words(text, **arguments):
    found = pointing.mentions(arguments, TOOL, text)
    return {name: [text[s.start : s.end] for s in mention.spans] for name, mention in found.items()}


@pytest.mark.parametrize(
    ("text", "arguments", "found"),
    [
        ("dim the Hall to 30", {"room": "hall", "level": 30}, {"room": ["Hall"], "level": ["30"]}),
        ("dim the hall to thirty five", {"level": 35}, {"level": ["thirty five"]}),
        ("dim the hall to thirty-five", {"level": 35.0}, {"level": ["thirty-five"]}),
        ("hall and kitchen", {"rooms": ["kitchen", "hall"]}, {"rooms": ["kitchen", "hall"]}),
        ("30 here and 30 there", {"level": "30", "room": "30"}, {"level": ["30"], "room": ["30"]}),
        ("make it warm white", {"colour": "WARM WHITE"}, {"colour": ["warm white"]}),
        ("the hall", {"room": None}, {}),
    ],
)
def test_a_value_points_at_the_words_that_say_it(text, arguments, found):
    assert words(text, **arguments) == found


def test_the_same_words_said_twice_are_pointed_at_once_each():
    found = pointing.mentions({"level": "30", "room": "30"}, TOOL, "30 here and 30 there")

    assert found["level"].spans != found["room"].spans


@pytest.mark.parametrize(
    "arguments",
    [
        {"room": "kitchen"},  # nobody said so
        {"room": "hal"},  # half a word
        {"room": ""},
        {"level": 31},
        {"level": True},
        {"level": float("inf")},
        {"level": float("nan")},
        {"colour": "purple"},  # no option
        {"rooms": ["hall", "cellar"]},
        {"rooms": []},
        {"room": {"name": "hall"}},
        {"room": ["hall"]},
        {"on": "perhaps"},
    ],
)
def test_what_nobody_said_points_nowhere(arguments):
    (mention,) = pointing.mentions(arguments, TOOL, "dim the hall to 30").values()

    assert mention == pointing.NOWHERE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["room", "level", "colour", "on", "rooms", "other"]), JSON, max_size=6), st.text()
)
def test_any_value_at_all_points_inside_the_request_or_nowhere(arguments, text):
    for mention in pointing.mentions(arguments, TOOL, text).values():
        assert mention == pointing.NOWHERE or all(0 <= s.start < s.end <= len(text) for s in mention.spans)
        assert mention.option in {None, "red", "warm white", True, False}
