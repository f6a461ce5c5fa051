"""What a proposal comes to, and the lines in and out of `appliance propose`.

The decoder here is a script: it says which words the network would point at, so that what follows can be tested alone.
The real network runs in tests/scenarios.
"""

import json
from datetime import UTC, datetime

import pytest

from appliance.agent import propose
from appliance.contracts.manifest import Thresholds
from appliance.contracts.toolcall import Mention, Proposal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
THRESHOLDS = Thresholds(act=0.7, confirm=0.3, abstain=0.6)
DIM = {
    "name": "dim",
    "description": "Dim a lamp",
    "parameters": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "level": {"type": "integer", "minimum": 0, "maximum": 100, "x-unit": "percent"},
        },
        "required": ["name", "level"],
    },
}
RUN = {
    "name": "run",
    "description": "Run a fan",
    "parameters": {"properties": {"run_s": {"type": "integer", "x-unit": "s"}}, "required": ["run_s"]},
}
SPECS = tuple(ToolSpec.from_schema(t["name"], t["description"], t["parameters"]) for t in (DIM, RUN))


class Script:
    """A decoder that points where the test says."""

    def __init__(self, *calls, abstain=0.0, too_long=False):
        self.calls, self.abstain, self.too_long = calls, abstain, too_long

    def propose(self, text, tools):
        if self.too_long:
            raise InputTooLong("the request is 900 tokens and its 2 tools 80: 980 together, of which 512 are read")
        found = []
        for tool, confidence, anchor, said in self.calls:
            mentions = {name: Mention(spans=(span(text, words),)) for name, words in said.items()}
            found.append(ToolCall(tool=tool, mentions=mentions, confidence=confidence, anchor=span(text, anchor)))
        return Proposal(calls=tuple(found), abstain=self.abstain)


def span(text, words):
    return Span(text.index(words), text.index(words) + len(words))


def understood(text, *calls, **rest):
    return propose.propose(Script(*calls, **rest), text, SPECS, NOW, THRESHOLDS)


def test_a_sure_call_is_acted_on():
    found = understood("dim the hall to thirty", ("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}))

    assert found.decision == "act"
    assert [(c.tool, c.arguments) for c in found.calls] == [("dim", {"name": "hall", "level": 30})]


@pytest.mark.parametrize(("confidence", "decision"), [(0.95, "act"), (0.7, "act"), (0.5, "confirm"), (0.2, "refuse")])
def test_confidence_decides_between_acting_confirming_and_refusing(confidence, decision):
    found = understood("dim the hall to thirty", ("dim", confidence, "dim", {"name": "hall", "level": "thirty"}))

    assert found.decision == decision


def test_the_least_sure_of_several_calls_decides():
    text = "dim the hall to thirty and run for a minute"

    found = understood(
        text, ("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}), ("run", 0.5, "run", {"run_s": "a minute"})
    )

    assert found.decision == "confirm"


def test_a_missing_value_is_asked_for():
    found = understood("dim the hall", ("dim", 0.9, "dim", {"name": "hall"}))

    assert found.decision == "ask"
    assert found.question is not None
    assert found.question.missing == ("level",)


def test_a_question_that_nobody_is_sure_of_is_not_asked():
    found = understood("dim the hall", ("dim", 0.1, "dim", {"name": "hall"}))

    assert found.refusal is not None
    assert found.refusal.code is RefusalCode.UNSURE


def test_a_call_that_is_taken_back_is_left_out_and_the_rest_is_confirmed():
    text = "don't dim the hall to 30. run for a minute"

    found = understood(
        text, ("dim", 0.9, "dim", {"name": "hall", "level": "30"}), ("run", 0.9, "run", {"run_s": "a minute"})
    )

    assert found.decision == "confirm"
    assert [call.tool for call in found.calls] == ["run"]


def test_a_call_that_is_taken_back_alone_is_refused():
    found = understood("don't dim the hall to 30", ("dim", 0.9, "dim", {"name": "hall", "level": "30"}))

    assert found.refusal is not None
    assert found.refusal.code is RefusalCode.NEGATED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("dim the hall to 300", RefusalCode.OUT_OF_RANGE),
        ("if it rains dim the hall to 30", RefusalCode.NOTHING_TO_DO),
    ],
)
def test_one_call_that_may_not_be_made_refuses_the_whole_request(text, code):
    text += ". run for a minute"
    level = "300" if "300" in text else "30"

    found = understood(
        text, ("dim", 0.9, "dim", {"name": "hall", "level": level}), ("run", 0.9, "run", {"run_s": "a minute"})
    )

    assert found.decision == "refuse"
    assert found.refusal is not None
    assert (found.refusal.code, found.refusal.tool) == (code, "dim")
    assert "dim" in found.reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  ", RefusalCode.EMPTY),
        ("a" * 5000, RefusalCode.TOO_LONG),
        ("schalte bitte das Licht in der Küche aus", RefusalCode.NOT_ENGLISH),
        ("what is the meaning of life", RefusalCode.NOTHING_TO_DO),
    ],
)
def test_what_cannot_be_read_or_asks_for_nothing_here_is_refused(text, code):
    found = understood(text)

    assert found.refusal is not None
    assert found.refusal.code is code


def test_an_abstaining_network_is_believed():
    text = "dim the hall to thirty"

    found = understood(text, ("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}), abstain=0.8)

    assert found.decision == "refuse"


def test_calls_come_in_the_order_in_which_they_were_asked_for_and_none_twice():
    text = "run for a minute then dim the hall to thirty"
    dim, run = ("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}), ("run", 0.9, "run", {"run_s": "a minute"})

    found = understood(text, dim, run, dim)

    assert [call.tool for call in found.calls] == ["run", "dim"]


def test_an_amount_borrowed_from_an_earlier_call_is_asked_for_instead():
    text = "dim the hall to thirty and run the fan"

    found = understood(
        text, ("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}), ("run", 0.9, "run", {"run_s": "thirty"})
    )

    assert found.decision == "ask"
    assert found.question is not None
    assert found.question.tool == "run"


def answers(*lines, decoder=None):
    ticks = iter(range(10_000))
    decoder = decoder or Script(("dim", 0.9, "dim", {"name": "hall", "level": "thirty"}))
    stream = propose.run_lines(lines, decoder, THRESHOLDS, now=lambda: NOW, stopwatch=lambda: next(ticks) / 1000)
    return [json.loads(line) for line in stream]


def line(query="dim the hall to thirty", **rest):
    return json.dumps({"query": query, "tools": [DIM, RUN], **rest})


class TestLines:
    def test_a_line_gets_calls_with_their_words_and_the_time_it_took(self):
        (answer,) = answers(line())

        assert answer == {
            "calls": [
                {
                    "name": "dim",
                    "arguments": {"name": "hall", "level": 30},
                    "confidence": 0.9,
                    "spans": {"name": [[8, 12]], "level": [[16, 22]]},
                }
            ],
            "decision": "act",
            "reason": "Understood with 90% confidence.",
            "latency_ms": 1.0,
        }

    def test_calls_are_empty_for_a_question_and_a_refusal(self):
        asked, refused = answers(
            line("dim the hall"), line("don't dim the hall"), decoder=Script(("dim", 0.9, "dim", {"name": "hall"}))
        )

        assert (asked["decision"], asked["calls"]) == ("ask", [])
        assert (refused["decision"], refused["calls"]) == ("refuse", [])

    def test_relative_times_follow_the_time_in_the_context(self):
        tool = {"name": "wake", "parameters": {"properties": {"at": {"type": "string", "format": "date-time"}}}}
        text = json.dumps(
            {"query": "wake me tomorrow at 8", "tools": [tool], "context": {"now": "2030-01-31T09:00:00"}}
        )

        (answer,) = answers(text, decoder=Script(("wake", 0.9, "wake", {"at": "tomorrow at 8"})))

        assert answer["calls"][0]["arguments"] == {"at": "2030-02-01T08:00:00"}

    def test_keys_of_the_callers_own_are_ignored(self):
        (answer,) = answers(line(id=7, context={"now": None, "site": "barn"}))

        assert answer["decision"] == "act"

    def test_tools_may_come_wrapped_as_functions(self):
        wrapped = json.dumps(
            {
                "query": "dim the hall to thirty",
                "tools": [{"type": "function", "function": tool} for tool in (DIM, RUN)],
            }
        )

        assert answers(wrapped)[0]["decision"] == "act"

    @pytest.mark.parametrize(
        ("bad", "code"),
        [
            ("", "bad_json"),
            ("not json", "bad_json"),
            ("[1, 2]", "bad_json"),
            ("null", "bad_json"),
            (b"\xff\xfe\x00", "bad_encoding"),
            ('{"query": NaN, "tools": []}', "bad_json"),
            ('{"query": "x", "tools": [], "context": {"n": 1e999}}', "bad_json"),
            ('{"query": "x", "query": "y", "tools": []}', "bad_json"),
            ('{"tools": []}', "bad_query"),
            ('{"query": 5, "tools": []}', "bad_query"),
            ('{"query": "\\ud800", "tools": []}', "bad_query"),
            ('{"query": "x"}', "bad_tools"),
            ('{"query": "x", "tools": {}}', "bad_tools"),
            ('{"query": "x", "tools": ["dim"]}', "bad_tools"),
            ('{"query": "x", "tools": [{"description": "no name"}]}', "bad_tools"),
            ('{"query": "x", "tools": [{"name": "a"}, {"name": "a"}]}', "bad_tools"),
            ('{"query": "x", "tools": [{"name": "a", "parameters": 3}]}', "bad_tools"),
            ('{"query": "x", "tools": [{"name": "a", "parameters": {"properties": {"b": 7}}}]}', "bad_tools"),
            ('{"query": "x", "tools": [{"name": "\\ud800"}]}', "bad_tools"),
            ('{"query": "x", "tools": [], "context": "noon"}', "bad_context"),
            ('{"query": "x", "tools": [], "context": {"now": "noon"}}', "bad_context"),
            ('{"query": "x", "tools": [], "context": {"now": 5}}', "bad_context"),
            ("[" * 100_000, "too_deep"),
            ('{"a":' * 60 + "1" + "}" * 60, "too_deep"),
            ("x" * (8 * 2**20 + 1), "too_large"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_bad_line_gets_an_error_and_the_stream_goes_on(self, bad, code):
        first, error, last = answers(line(), bad, line())

        assert error["error"]["code"] == code
        assert error["error"]["message"]
        assert (error["decision"], error["calls"]) == ("refuse", [])
        assert first["decision"] == last["decision"] == "act"

    def test_more_than_the_network_reads_is_an_error_with_the_counts(self):
        (answer,) = answers(line(), decoder=Script(too_long=True))

        assert answer["error"]["code"] == "too_long"
        assert "980" in answer["error"]["message"]

    def test_a_fault_in_one_line_is_told_and_the_stream_goes_on(self):
        class Broken:
            def propose(self, text, tools):
                raise ZeroDivisionError(text)

        found = answers(line(), line(), decoder=Broken())

        assert [a["error"]["code"] for a in found] == ["internal", "internal"]
