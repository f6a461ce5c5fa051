"""The question for a server, and the strict reader of its answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.adapters import asking, masking
from appliance.adapters.asking import BadAnswer
from appliance.contracts.toolspec import ToolSpec

TOOLS = [
    ToolSpec.from_schema(
        "turn_light_on", "Switch on.", {"properties": {"room": {"type": "string", "x-entities": ["hall", "attic"]}}}
    ),
    ToolSpec.from_schema("stop_all", "Stop everything.", {}),
]
MASKED = masking.mask("it is dark in the hall, says Zebediah", TOOLS)


def answer(said):
    return json.dumps({"choices": [{"message": {"content": said}}]}).encode()


def test_nothing_but_the_blanked_words_and_the_tools_is_in_the_question():
    body = asking.body("small", MASKED, TOOLS).decode()

    assert "Zebediah" not in body
    assert "attic" not in body, "the names of the site are not told, only the tools"
    assert "it is dark in the hall, says [1]" in json.loads(body)["messages"][1]["content"]


def test_the_schema_allows_no_other_tool_and_no_other_argument():
    schema = asking.schema(TOOLS)

    calls = schema["properties"]["calls"]["items"]["anyOf"]
    assert [one["properties"]["tool"]["enum"] for one in calls] == [["turn_light_on"], ["stop_all"]]
    assert all(one["properties"]["arguments"]["additionalProperties"] is False for one in calls)


def test_words_of_an_answer_are_words_of_the_request():
    (call,) = asking.read(
        answer('{"calls": [{"tool": "turn_light_on", "arguments": {"room": "hall"}}]}'), MASKED, TOOLS
    )

    (span,) = call.mentions["room"].spans
    assert "it is dark in the hall, says Zebediah"[span.start : span.end] == "hall"
    assert call.literals == {}, "no value of its own ever leaves the reader"


def test_a_blank_in_an_answer_stands_for_the_words_that_never_left():
    (call,) = asking.read(answer('{"calls": [{"tool": "turn_light_on", "arguments": {"room": "[1]"}}]}'), MASKED, TOOLS)

    (span,) = call.mentions["room"].spans
    assert "it is dark in the hall, says Zebediah"[span.start : span.end] == "Zebediah"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b"\xff\xfe",
        b"[" * 50_000,
        answer("I would turn on the light."),
        answer('{"calls": 3}'),
        answer('{"calls": [{"tool": 3, "arguments": {}}]}'),
        answer('{"calls": [], "also": 1}'),
        answer('{"calls": [{"tool": "turn_light_on", "arguments": {}, "confirmed": true}]}'),
        answer('{"calls": [{"tool": "turn_light_on", "arguments": {"level": 1}}]}'),
        answer('{"calls": [{"tool": "turn_light_on", "arguments": {"the_key": null}}]}'),
        answer('{"calls": [{"tool": "stop_all", "arguments": {"room": "hall"}}]}'),
        answer('{"calls": [{"tool": "TURN_LIGHT_ON", "arguments": {}}]}'),
        answer('{"calls": [{"tool": "the_key_is_under_the_green_pot", "arguments": {"vault_code_47_11": "x"}}]}'),
        answer('{"calls": [{"tool": "stop_all", "arguments": {}}, {"tool": "unlock_door", "arguments": {}}]}'),
        answer(json.dumps({"calls": [{"tool": "stop_all", "arguments": {}}] * 5})),
    ],
)
def test_an_answer_of_any_other_form_is_none(raw):
    with pytest.raises(BadAnswer):
        asking.read(raw, MASKED, TOOLS)


@given(st.binary(max_size=400) | st.text(max_size=200).map(answer))
def test_no_answer_at_all_breaks_the_reader(raw):
    try:
        calls = asking.read(raw, MASKED, TOOLS)
    except BadAnswer:
        return
    assert len(calls) <= asking.CALLS_N


SECRET = "the_key_is_under_the_green_pot"
names = st.sampled_from(["turn_light_on", "stop_all", "room", "hall", "[1]", SECRET, f"{SECRET}_47_11"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
)


@given(st.lists(st.fixed_dictionaries({"tool": names, "arguments": st.dictionaries(names, values)}), max_size=4))
def test_nothing_that_a_server_thought_of_is_in_what_is_read_or_in_why_it_is_not(calls):
    try:
        read = asking.read(answer(json.dumps({"calls": calls})), MASKED, TOOLS)
    except BadAnswer as error:
        assert SECRET not in str(error)
        return
    for call in read:
        (spec,) = (tool for tool in TOOLS if tool.name == call.tool)
        assert all(spec.parameter(name) is not None for name in call.mentions)
        assert (call.literals, call.anchor) == ({}, None)
        assert all(mention.option is None for mention in call.mentions.values())
