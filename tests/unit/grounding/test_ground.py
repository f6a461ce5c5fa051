"""From a proposal to a checked call, a question or a refusal."""

from datetime import UTC, datetime
from typing import ClassVar

import pytest

from appliance.contracts.toolcall import (
    GroundedCall,
    Mention,
    Question,
    Refusal,
    RefusalCode,
    Span,
    ToolCall,
)
from appliance.contracts.toolspec import ToolSpec
from appliance.grounding.ground import ground

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)  # a Sunday
LAMPS = ["Kitchen Ceiling Lamp", "Hall Lamp", "Bedroom Lamp Left", "Bedroom Lamp Right", "Door 1", "Door 2"]


def tool(required=(), **properties):
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec.from_schema("operate", "Operate a device", schema)


def proposal(text, options=None, /, **said):
    """A call whose mentions are the given words of *text*."""
    mentions = {}
    for name, found in said.items():
        words = [found] if isinstance(found, str) else found
        spans = tuple(Span(text.index(w), text.index(w) + len(w)) for w in words)
        mentions[name] = Mention(spans=spans, option=(options or {}).get(name))
    for name, option in (options or {}).items():
        mentions.setdefault(name, Mention(option=option))
    return ToolCall(tool="operate", mentions=mentions)


def one(text, said, **schema):
    """Ground one optional parameter `value` said with *said*."""
    grounded = ground(proposal(text, value=said), tool(value=schema), text, NOW)
    return grounded.arguments["value"] if isinstance(grounded, GroundedCall) else grounded


PERCENT = {"type": "integer", "minimum": 0, "maximum": 100, "x-unit": "percent"}


@pytest.mark.parametrize(
    ("text", "said", "schema", "value"),
    [
        ("dim it to thirty percent", "thirty percent", PERCENT, 30),
        ("dim it to 50%", "50%", PERCENT, 50),
        ("dim it to half", "half", PERCENT, 50),
        ("dim it to three quarters", "three quarters", PERCENT, 75),
        ("full brightness", "full", PERCENT, 100),
        ("to the maximum", "maximum", PERCENT, 100),
        ("keep it shut", "shut", PERCENT, 0),
        ("dim it to twenty five please", "twenty", PERCENT, 25),
        ("dim it to twenty five please", "five", PERCENT, 25),
        ("dim it to 25 now", "2", PERCENT, 25),
        ("dim it, to 30 percent say", "it, to 30 percent", PERCENT, 30),
        ("twenty, no, thirty", "twenty", PERCENT, 30),
        ("twenty, no, thirty", "twenty, no, thirty", PERCENT, 30),
        ("dim to 20 no wait 40 percent", "20", PERCENT, 40),
        ("dim to 20, make that forty", "20", PERCENT, 40),
        ("run it for half an hour", "half an hour", {"type": "integer", "x-unit": "s"}, 1800),
        ("run it for half an hour", "an hour", {"type": "integer", "x-unit": "s"}, 1800),
        ("run for an hour and a half", "an hour and a half", {"type": "integer", "x-unit": "min"}, 90),
        ("run for an hour and a half", "an hour", {"type": "integer", "x-unit": "min"}, 90),
        ("run for 90s", "90s", {"type": "integer", "x-unit": "seconds"}, 90),
        ("run 1h30", "1h30", {"type": "integer", "description": "How long, in minutes"}, 90),
        ("ten minutes", "ten", {"type": "integer", "x-unit": "s"}, 600),
        ("heat to 70 degrees fahrenheit", "70 degrees fahrenheit", {"type": "number", "x-unit": "celsius"}, 21.11),
        ("heat to 70 F", "70 F", {"type": "integer", "x-unit": "°C"}, 21),
        ("heat to 21 degrees", "21 degrees", {"type": "number", "x-unit": "°C"}, 21),
        ("minus five", "five", {"type": "number"}, -5),
        ("set it to -5", "5", {"type": "integer"}, -5),
        ("thirty seven point five", "thirty seven point five", {"type": "number"}, 37.5),
        ("1.5k", "1.5k", {"type": "integer"}, 1500),
        ("two hundred", "two", {"type": "integer"}, 200),
        ("a dozen", "a dozen", {"type": "integer"}, 12),
        ("half", "half", {"type": "number"}, 0.5),
        ("12,500 units", "12,500", {"type": "integer"}, 12500),
        ("the second", "the second", {"type": "integer"}, 2),
        ("two kilos", "two kilos", {"type": "integer", "x-unit": "g"}, 2000),
        ("50 percent", "50 percent", {"type": "number", "minimum": 0, "maximum": 1}, 0.5),
        ("door two", "two", {"type": "integer", "enum": [1, 2, 3]}, 2),
        ("in slow mode", "slow", {"type": "string", "enum": ["SLOW", "FAST"]}, "SLOW"),
        ("turn it off", "off", {"type": "boolean"}, False),
        ("with sound", "with", {"type": "boolean"}, True),
        ("at quarter past seven", "quarter past seven", {"type": "string", "format": "time"}, "07:15"),
        ("tomorrow", "tomorrow", {"type": "string", "format": "date"}, "2026-11-23"),
        ("next friday", "next friday", {"type": "string", "format": "date"}, "2026-11-27"),
        ("march 3rd", "march 3rd", {"type": "string", "format": "date"}, "2027-03-03"),
        ("tomorrow at 8", "tomorrow at 8", {"type": "string", "format": "date-time"}, "2026-11-23T08:00:00+00:00"),
        ("in ten minutes", "in ten minutes", {"type": "string", "format": "date-time"}, "2026-11-22T12:10:00+00:00"),
        ("at 7", "7", {"type": "string", "format": "date-time"}, "2026-11-22T19:00:00+00:00"),
        ("on friday", "friday", {"type": "string", "description": "Day, YYYY-MM-DD"}, "2026-11-27"),
        ("on friday", "friday", {"type": "string", "description": "The day"}, "friday"),
        ("half an hour", "half an hour", {"type": "string", "format": "duration"}, "PT30M"),
        ("call it 'Big Bang!'.", "'Big Bang!'.", {"type": "string"}, "Big Bang!"),
        ("say Hello Bob, ok", "Hello Bob,", {"type": "string"}, "Hello Bob"),
        ("bob at ex dot com", "bob at ex dot com", {"type": "string", "format": "email"}, "bob@ex.com"),
        ("code ab-12", "ab-12", {"type": "string", "pattern": "^[A-Z]{2}[0-9]{2}$"}, "AB12"),
        ("the kitchen lamp", "kitchen lamp", {"type": "string", "x-entities": LAMPS}, "Kitchen Ceiling Lamp"),
        ("the kichen lamp", "kichen lamp", {"type": "string", "x-entities": LAMPS}, "Kitchen Ceiling Lamp"),
        ("left bedroom light", "left bedroom light", {"type": "string", "x-entities": LAMPS}, "Bedroom Lamp Left"),
        ("door two", "door two", {"type": "string", "x-entities": LAMPS}, "Door 2"),
        ("the kitchen, no, the hall lamp", "kitchen", {"type": "string", "x-entities": LAMPS}, "Hall Lamp"),
        ("milk, eggs and tea", "milk, eggs and tea", {"type": "array"}, ["milk", "eggs", "tea"]),
        ("doors 1 and 2", ["1", "2"], {"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ("1, 2 and five", "1, 2 and five", {"type": "array", "items": {"type": "integer"}}, [1, 2, 5]),
        ("two hundred and five", "two hundred and five", {"type": "array", "items": {"type": "integer"}}, [205]),
        ("all doors", "all doors", {"type": "array", "items": {"x-entities": LAMPS}}, ["Door 1", "Door 2"]),
    ],
)  # fmt: skip
def test_words_become_the_value_that_the_parameter_wants(text, said, schema, value):
    found = one(text, said, **schema)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said", "schema", "code"),
    [
        ("dim to 300", "300", PERCENT, RefusalCode.OUT_OF_RANGE),
        ("minus five percent", "minus five percent", PERCENT, RefusalCode.OUT_OF_RANGE),
        ("to -5", "5", PERCENT, RefusalCode.OUT_OF_RANGE),
        ("two hours", "two hours", {"type": "integer", "x-unit": "s", "maximum": 3600}, RefusalCode.OUT_OF_RANGE),
        ("2.5", "2.5", {"type": "integer"}, RefusalCode.UNREADABLE),
        ("90 seconds", "90 seconds", {"type": "integer", "x-unit": "min"}, RefusalCode.UNREADABLE),
        ("a few minutes", "a few minutes", {"type": "integer", "x-unit": "min"}, RefusalCode.UNREADABLE),
        ("ten kilos", "ten kilos", {"type": "integer", "x-unit": "min"}, RefusalCode.UNREADABLE),
        ("to kitchen", "kitchen", {"type": "integer"}, RefusalCode.UNREADABLE),
        ("50%", "50%", {"type": "integer", "minimum": 0, "maximum": 255}, RefusalCode.UNREADABLE),
        ("in the garage", "garage", {"type": "string", "x-entities": LAMPS}, RefusalCode.UNKNOWN_NAME),
        ("door 3", "door 3", {"type": "string", "x-entities": LAMPS}, RefusalCode.UNKNOWN_NAME),
        ("in purple", "purple", {"type": "string", "enum": ["red", "blue"]}, RefusalCode.UNREADABLE),
        ("someday", "someday", {"type": "string", "format": "date"}, RefusalCode.UNREADABLE),
        ("tomorrow", "tomorrow", {"type": "string", "format": "date-time"}, RefusalCode.UNREADABLE),
        ("today at 8 am", "today at 8 am", {"type": "string", "format": "date-time"}, RefusalCode.OUT_OF_RANGE),
        ("nobody", "nobody", {"type": "string", "format": "email"}, RefusalCode.UNREADABLE),
        ("abc", "abc", {"type": "string", "pattern": "^[0-9]+$"}, RefusalCode.UNREADABLE),
        ("9007199254740993", "9007199254740993", {"type": "integer"}, RefusalCode.OUT_OF_RANGE),
        ("1 to 9", "1", {"type": "object"}, RefusalCode.UNSUPPORTED),
    ],
)  # fmt: skip
def test_words_that_will_not_do_are_refused_by_name(text, said, schema, code):
    refusal = one(text, said, **schema)

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.parameter, refusal.tool) == (code, "value", "operate")


def test_a_value_out_of_range_says_value_and_range():
    refusal = one("dim to 300", "300", **PERCENT)

    assert "300" in refusal.reason
    assert "0 to 100" in refusal.reason


def test_the_spans_of_a_grounded_call_are_the_words_of_its_values():
    text = "dim the kitchen lamp to twenty five percent"
    spec = tool(name={"type": "string", "x-entities": LAMPS}, level=PERCENT)

    grounded = ground(proposal(text, name="kitchen lamp", level="five"), spec, text, NOW)

    assert {n: [text[slice(*s)] for s in spans] for n, spans in grounded.spans.items()} == {
        "name": ["kitchen lamp"],
        "level": ["twenty five percent"],
    }


def test_a_number_of_another_parameter_is_not_swallowed():
    text = "set lamp two fifty percent"
    spec = tool(lamp={"type": "integer"}, level=PERCENT)

    grounded = ground(proposal(text, lamp="two", level="fifty percent"), spec, text, NOW)

    assert grounded.arguments == {"lamp": 2, "level": 50}


def test_a_number_is_not_cut_out_of_a_longer_one():
    text = "rooms one hundred and two hundred"

    assert one(text, "one hundred", type="integer") == 100


class TestMissing:
    def test_a_required_value_that_was_not_said_is_asked_for(self):
        spec = tool(["run_s"], run_s={"type": "integer", "x-unit": "s", "description": "Run time in seconds"})

        question = ground(ToolCall(tool="operate"), spec, "start the extractor", NOW)

        assert isinstance(question, Question)
        assert question.missing == ("run_s",)
        assert question.text.startswith("How long")

    def test_several_missing_values_are_asked_for_at_once(self):
        spec = tool(["room", "level"], room={"type": "string", "enum": ["hall", "bath"]}, level=PERCENT)

        question = ground(ToolCall(tool="operate"), spec, "dim the lights", NOW)

        assert question.missing == ("room", "level")
        assert "room" in question.text
        assert "level" in question.text

    def test_what_is_already_known_travels_with_the_question(self):
        text = "dim the hall"
        spec = tool(["room", "level"], room={"type": "string"}, level=PERCENT)

        question = ground(proposal(text, room="hall"), spec, text, NOW)

        assert question.arguments == {"room": "hall"}
        assert question.spans == {"room": (Span(8, 12),)}

    def test_an_optional_value_that_was_not_said_stays_absent_whatever_its_default(self):
        spec = tool(level={**PERCENT, "default": 70})

        grounded = ground(ToolCall(tool="operate"), spec, "turn on the light", NOW)

        assert grounded.arguments == {}

    def test_a_required_object_cannot_be_filled(self):
        spec = tool(["where"], where={"type": "object", "properties": {"x": {"type": "integer"}}})

        refusal = ground(ToolCall(tool="operate"), spec, "go there", NOW)

        assert (refusal.code, refusal.parameter) == (RefusalCode.UNSUPPORTED, "where")

    def test_a_constant_is_filled_without_being_said(self):
        spec = tool(["kind"], kind={"const": "lamp"})

        assert ground(ToolCall(tool="operate"), spec, "on", NOW).arguments == {"kind": "lamp"}


class TestOptions:
    MODE: ClassVar = {"type": "string", "enum": ["heat", "cool", "fan_only", "auto"]}

    def test_an_option_that_nobody_said_is_asked_for(self):
        text = "turn on the air conditioner"

        question = ground(proposal(text, {"mode": "heat"}), tool(["mode"], mode=self.MODE), text, NOW)

        assert isinstance(question, Question)
        assert question.choices == ("heat", "cool", "fan_only", "auto")

    def test_an_optional_option_that_nobody_said_is_dropped(self):
        text = "turn on the air conditioner"

        assert ground(proposal(text, {"mode": "heat"}), tool(mode=self.MODE), text, NOW).arguments == {}

    @pytest.mark.parametrize(
        ("text", "option"),
        [
            ("heat the room", "heat"),
            ("make it warmer", "heat"),
            ("cooling please", "cool"),
            ("just the fan", "fan_only"),
            ("set it to automatic", "auto"),
        ],
    )
    def test_an_option_counts_when_a_word_stands_for_it(self, text, option):
        grounded = ground(proposal(text, {"mode": option}), tool(["mode"], mode=self.MODE), text, NOW)

        assert isinstance(grounded, GroundedCall)
        assert grounded.arguments == {"mode": option}

    def test_an_option_counts_when_a_span_carries_it(self):
        text = "cosy light please"
        scene = {"type": "string", "enum": ["relax", "work"]}

        grounded = ground(proposal(text, {"scene": "relax"}, scene="cosy"), tool(["scene"], scene=scene), text, NOW)

        assert grounded.arguments == {"scene": "relax"}

    def test_a_span_that_names_another_option_does_not_carry_this_one(self):
        text = "cool the room"

        question = ground(proposal(text, {"mode": "heat"}, mode="cool"), tool(["mode"], mode=self.MODE), text, NOW)

        assert isinstance(question, Question)

    def test_an_option_taken_back_is_replaced(self):
        text = "set it to heat, no, cool"

        grounded = ground(proposal(text, {"mode": "heat"}, mode="heat"), tool(["mode"], mode=self.MODE), text, NOW)

        assert grounded.arguments == {"mode": "cool"}

    def test_a_state_that_the_words_contradict_is_asked_for(self):
        text = "turn it off"

        question = ground(proposal(text, {"on": True}), tool(["on"], on={"type": "boolean"}), text, NOW)

        assert isinstance(question, Question)


class TestNames:
    def test_a_name_that_can_mean_several_is_asked_back_with_the_choices(self):
        text = "turn on the bedroom lamp"
        spec = tool(["name"], name={"type": "string", "x-entities": LAMPS})

        question = ground(proposal(text, name="bedroom lamp"), spec, text, NOW)

        assert isinstance(question, Question)
        assert question.choices == ("Bedroom Lamp Left", "Bedroom Lamp Right")

    def test_an_unknown_name_is_refused_with_the_near_ones(self):
        refusal = one("the kitchen fridge", "kitchen fridge", type="string", **{"x-entities": LAMPS})

        assert refusal.code is RefusalCode.UNKNOWN_NAME
        assert "Kitchen Ceiling Lamp" in refusal.reason


class TestLiterals:
    @pytest.mark.parametrize(
        ("schema", "value", "code"),
        [
            (PERCENT, "30", RefusalCode.UNREADABLE),
            (PERCENT, 300, RefusalCode.OUT_OF_RANGE),
            (PERCENT, True, RefusalCode.UNREADABLE),
            (PERCENT, 2.5, RefusalCode.UNREADABLE),
            (PERCENT, None, RefusalCode.UNREADABLE),
            ({"type": "number"}, float("nan"), RefusalCode.UNREADABLE),
            ({"type": "number", "multipleOf": 0.5}, 20.3, RefusalCode.OUT_OF_RANGE),
            ({"type": "number", "exclusiveMaximum": 5}, 5, RefusalCode.OUT_OF_RANGE),
            ({"type": "boolean"}, 1, RefusalCode.UNREADABLE),
            ({"type": "string", "pattern": "^(a|aa)+$"}, "a" * 40 + "!", RefusalCode.UNSUPPORTED),
            ({"type": "string", "pattern": "(("}, "a", RefusalCode.UNSUPPORTED),
            ({"type": "string", "enum": ["a"]}, "b", RefusalCode.OUT_OF_RANGE),
            ({"type": "string", "maxLength": 2}, "abc", RefusalCode.OUT_OF_RANGE),
            ({"type": "string", "format": "date"}, "22.11.2026", RefusalCode.UNREADABLE),
            ({"type": "string", "x-entities": LAMPS}, "Kitchen", RefusalCode.UNKNOWN_NAME),
            ({"type": "array", "items": {"type": "integer"}}, [1, "2"], RefusalCode.UNREADABLE),
            ({"type": "array", "maxItems": 1}, ["a", "b"], RefusalCode.OUT_OF_RANGE),
            ({"type": "object", "properties": {"x": {"type": "integer"}}}, {"y": 1}, RefusalCode.UNKNOWN_ARGUMENT),
        ],
    )
    def test_a_value_that_will_not_do_is_refused_by_name(self, schema, value, code):
        refusal = ground(ToolCall(tool="operate", literals={"value": value}), tool(value=schema), "", NOW)

        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.parameter) == (code, "value")

    @pytest.mark.parametrize(
        ("schema", "value", "kept"),
        [
            (PERCENT, 30, 30),
            (PERCENT, 30.0, 30),
            ({"type": "number", "multipleOf": 0.1}, 0.3, 0.3),
            ({"type": "string", "x-entities": LAMPS}, "hall lamp", "Hall Lamp"),
            ({"type": "object", "properties": {"x": {"type": "integer"}}}, {"x": 1}, {"x": 1}),
        ],
    )
    def test_a_value_that_will_do_is_kept(self, schema, value, kept):
        grounded = ground(ToolCall(tool="operate", literals={"value": value}), tool(value=schema), "", NOW)

        assert grounded.arguments == {"value": kept}

    def test_an_argument_that_the_tool_does_not_have_is_refused(self):
        refusal = ground(ToolCall(tool="operate", literals={"speed": 3}), tool(value=PERCENT), "", NOW)

        assert (refusal.code, refusal.parameter) == (RefusalCode.UNKNOWN_ARGUMENT, "speed")


def test_a_span_outside_the_words_is_ungrounded():
    call = ToolCall(tool="operate", mentions={"value": Mention(spans=(Span(3, 99),))})

    assert ground(call, tool(value=PERCENT), "dim to 30", NOW).code is RefusalCode.UNGROUNDED


def test_a_negated_call_is_refused_before_its_values_are_looked_at():
    text = "don't dim it to 300"

    assert ground(proposal(text, value="300"), tool(value=PERCENT), text, NOW).code is RefusalCode.NEGATED
