"""What the decoder proposes, on the network that ships: always words of the request and options of the schema."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.agent import model
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong
from appliance.inference.decoder import Decoder

BUNDLES = Path(__file__).parents[3] / "firmware_models" / "bundles"


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return model.load(next(path.parent for path in BUNDLES.glob("*/manifest.json"))).decoder


LAMP = ToolSpec.from_schema(
    "set_lamp_brightness",
    "Set how bright a lamp shines.",
    {
        "type": "object",
        "properties": {
            "lamp": {"type": "string", "description": "Name of the lamp."},
            "percent": {"type": "integer", "description": "Brightness in percent."},
        },
        "required": ["lamp", "percent"],
    },
)
PUMP = ToolSpec.from_schema(
    "switch_pump",
    "Turn the pump on or off.",
    {"type": "object", "properties": {"state": {"type": "string", "enum": ["on", "off"]}}, "required": ["state"]},
)
TIMER = ToolSpec.from_schema(
    "start_timer",
    "Start a countdown timer.",
    {
        "type": "object",
        "properties": {"duration": {"type": "string", "description": "How long."}},
        "required": ["duration"],
    },
)
TOOLS = [LAMP, PUMP, TIMER]


def test_a_plain_request_finds_its_tool_and_words(decoder: Decoder) -> None:
    text = "set the desk lamp to 40 percent"

    proposal = decoder.propose(text, TOOLS)

    (call,) = proposal.calls
    assert call.tool == "set_lamp_brightness"
    assert [text[s.start : s.end] for s in call.mentions["lamp"].spans] == ["desk lamp"]
    assert text[slice(*call.mentions["percent"].spans[0])].startswith("40")


def test_an_option_is_chosen_from_the_schema(decoder: Decoder) -> None:
    (call,) = decoder.propose("turn off the pump", TOOLS).calls

    assert (call.tool, call.mentions["state"].option) == ("switch_pump", "off")


def test_two_tools_come_in_the_order_said(decoder: Decoder) -> None:
    proposal = decoder.propose("switch the pump on and start a timer for ten minutes", TOOLS)

    assert [call.tool for call in proposal.calls] == ["switch_pump", "start_timer"]


def test_what_has_nothing_to_do_with_the_tools_calls_none(decoder: Decoder) -> None:
    proposal = decoder.propose("who won the chess championship in 1972", TOOLS)

    assert proposal.calls == () or proposal.abstain > 0.5


def test_the_same_question_has_the_same_answer_whatever_was_asked_before(decoder: Decoder) -> None:
    first = decoder.propose("set the hall lamp to 10 percent", TOOLS)
    decoder.propose("turn the pump on", [PUMP])

    again = decoder.propose("set the hall lamp to 10 percent", TOOLS)

    assert again == first


def test_a_catalogue_too_long_for_one_look_is_looked_at_in_groups(decoder: Decoder) -> None:
    crowd = [
        ToolSpec.from_schema(f"report_sensor_{n}", "Reports what an air quality sensor in the basement measures. " * 3)
        for n in range(80)
    ]

    proposal = decoder.propose("turn off the pump", [*crowd, PUMP])

    assert [call.tool for call in proposal.calls] == ["switch_pump"]
    assert {candidate.tool for candidate in proposal.candidates} >= {tool.name for tool in crowd}


def test_a_request_that_does_not_fit_is_an_error_with_counts(decoder: Decoder) -> None:
    with pytest.raises(InputTooLong, match=r"\d+ tokens"):
        decoder.propose("dim " * 2000, TOOLS)


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "\u200b", "\ud800"])
def test_text_without_words_proposes_nothing(decoder: Decoder, text: str) -> None:
    proposal = decoder.propose(text, TOOLS)

    assert proposal.calls == ()
    assert proposal.abstain == 1.0


def test_no_tools_propose_nothing(decoder: Decoder) -> None:
    assert decoder.propose("turn off the pump", []).calls == ()


schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "boolean", "array", "number", "object"]),
        "description": st.text(max_size=40),
        "enum": st.lists(st.text(min_size=1, max_size=12) | st.integers(-9, 9), min_size=1, max_size=5, unique_by=str),
    },
)
specs = st.builds(
    lambda name, description, properties: ToolSpec.from_schema(
        name, description, {"type": "object", "properties": properties}
    ),
    st.text(min_size=1, max_size=20).filter(lambda name: name.strip() != ""),
    st.text(max_size=60),
    st.dictionaries(st.text(min_size=1, max_size=12).filter(lambda name: name.strip() != ""), schemas, max_size=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=120), tools=st.lists(specs, max_size=4, unique_by=lambda tool: tool.name))
def test_whatever_comes_in_only_words_of_the_request_and_options_of_the_schema_come_out(
    decoder: Decoder, text: str, tools: list[ToolSpec]
) -> None:
    proposal = decoder.propose(text, tools)

    for call in proposal.calls:
        tool = next(tool for tool in tools if tool.name == call.tool)
        assert 0 <= call.confidence <= 1
        for name, mention in call.mentions.items():
            parameter = tool.parameter(name)
            assert parameter is not None
            assert all(0 <= span.start < span.end <= len(text) for span in mention.spans)
            assert mention.option is None or mention.option in (parameter.options or (True, False))
