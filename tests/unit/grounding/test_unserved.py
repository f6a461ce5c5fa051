"""What was said and no call serves stops the whole request."""

import pytest

from appliance.contracts.toolcall import GroundedCall, Span
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.grounding import unserved

LAMP = ToolSpec.from_schema("turn_on", "Switch on a lamp.", {"properties": {"lamp": {"type": "string"}}})
FAN = ToolSpec.from_schema("run_fan", "Run the fan.", {"properties": {"minutes": {"type": "integer"}}})
HEAT = ToolSpec.from_schema("heating_off", "Switch off the heating.", {})
ALL_OFF = ToolSpec.from_schema("all_off", "Switch everything off.", {})
LOOK = ToolSpec.from_schema("read_sensor", "Read a sensor.", {}).model_copy(update={"risk": Risk.READ})
SPECS = {spec.name: spec for spec in (LAMP, FAN, HEAT, ALL_OFF, LOOK)}


def refused(text, *calls):
    made = []
    for tool, anchor, values in calls:
        spans = {name: (Span(text.index(said), text.index(said) + len(said)),) for name, said in values.items()}
        start = text.index(anchor)
        made.append(GroundedCall(tool=tool, spans=spans, anchor=Span(start, start + len(anchor))))
    return unserved.refusal(text, made, SPECS)


@pytest.mark.parametrize(
    "text",
    [
        "turn on the desk lamp in two hours",
        "turn on the desk lamp at 5 pm",
        "turn on the desk lamp at 17:30",
        "every day at 3 turn on the desk lamp",
        "turn on the desk lamp tomorrow",
        "turn on the desk lamp daily",
        "turn on the desk lamp until 8",
        "turn on all lamps but the desk lamp",
        "turn on every lamp except the desk lamp",
        "turn on the desk lamp and then turn it off again",
        "turn on the desk lamp, and close the curtain",
    ],
)
def test_words_that_no_call_serves_refuse_the_request(text):
    assert refused(text, ("turn_on", "turn on", {"lamp": "desk lamp"})) is not None


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("turn on the desk lamp now please", [("turn_on", "turn on", {"lamp": "desk lamp"})]),
        ("turn on the desk lamp and thank you", [("turn_on", "turn on", {"lamp": "desk lamp"})]),
        ("turn on the black and white lamp", [("turn_on", "turn on", {"lamp": "black and white lamp"})]),
        ("run the fan in 10 minutes", [("run_fan", "run", {"minutes": "10 minutes"})]),
        (
            "turn on the lamp and run the fan",
            [("turn_on", "turn on", {"lamp": "lamp"}), ("run_fan", "run the fan", {})],
        ),
        ("switch everything off", [("all_off", "switch", {})]),
        ("what does the sensor say, and every day", [("read_sensor", "what", {})]),
    ],
)
def test_words_that_are_served_or_say_nothing_pass(text, calls):
    assert refused(text, *calls) is None


def test_a_time_of_day_is_no_duration():
    assert refused("start the fan at 5 pm", ("run_fan", "start", {"minutes": "5"})) is not None


def test_everything_is_not_the_one_thing_that_a_tool_does():
    assert refused("turn everything off", ("heating_off", "turn", {})) is not None
