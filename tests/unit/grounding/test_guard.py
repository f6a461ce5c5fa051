"""Whether a request asks for an act: a table of sentences, each with the words that the network would point at."""

from pathlib import Path

import pytest

from appliance.contracts.toolcall import Mention, Refusal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import Parameter, Risk, ToolSpec
from appliance.grounding import mood, negation

TABLE = Path(__file__).parent / "data" / "guard.txt"
SPEC = ToolSpec(
    name="operate_device",
    description="Operate a device",
    parameters=(Parameter(name="name"), Parameter(name="value"), Parameter(name="message")),
)
VERDICTS = {RefusalCode.NEGATED: "negated", RefusalCode.NOTHING_TO_DO: "nothing"}


def rows() -> list[tuple[str, str]]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(verdict.strip(), marked.strip()) for verdict, marked in (line.split("|", 1) for line in lines)]


def read(marked: str) -> tuple[str, ToolCall]:
    """Turn a marked sentence into its text and the call that points at it."""
    text, open_at, anchor = "", {}, None
    spans: dict[str, list[Span]] = {"{": [], "<": []}
    for character in marked:
        if character in "[{<":
            open_at[character] = len(text)
        elif character in "]}>":
            mark = {"]": "[", "}": "{", ">": "<"}[character]
            span = Span(open_at[mark], len(text))
            if mark == "[":
                anchor = span
            else:
                spans[mark].append(span)
        else:
            text += character
    found = dict(zip(("name", "value"), spans["{"], strict=False)) | dict(zip(("message",), spans["<"], strict=False))
    return text, ToolCall(
        tool=SPEC.name, anchor=anchor, mentions={name: Mention(spans=(span,)) for name, span in found.items()}
    )


def judged(text: str, call: ToolCall, spec: ToolSpec = SPEC) -> str:
    refusal: Refusal | None = negation.refusal(text, call, spec) or mood.refusal(text, call, spec)
    return "clear" if refusal is None else VERDICTS[refusal.code]


@pytest.mark.parametrize(("verdict", "marked"), rows(), ids=[marked for _, marked in rows()])
def test_a_sentence_is_judged_as_labelled(verdict, marked):
    text, call = read(marked)

    assert judged(text, call) == verdict


@pytest.mark.parametrize(("verdict", "marked"), [r for r in rows() if r[0] == "negated" and "[" in r[1]], ids=str)
def test_what_is_forbidden_stays_forbidden_in_capitals_and_with_more_around_it(verdict, marked):
    text, call = read("hey you, listen: " + marked)

    assert judged(text, call) == "negated"
    assert judged(text.upper(), call) == "negated"


def test_a_question_may_well_mean_a_tool_that_only_looks():
    looking = ToolSpec(name="get_gate_state", description="Say whether the gate is open", risk=Risk.READ)
    call = ToolCall(tool=looking.name)

    assert judged("is the gate open?", call, looking) == "clear"
    assert judged("how do I open the gate?", call, looking) == "clear"


def test_a_condition_that_a_parameter_takes_is_no_bar():
    text, call = read("turn on the lamp <when it gets dark>")

    assert judged(text, call) == "clear"


def test_a_call_that_points_at_no_words_is_judged_by_its_name():
    gate = ToolSpec(name="open_gate", description="Open the gate")

    assert judged("don't open the gate", ToolCall(tool="open_gate"), gate) == "negated"
    assert judged("don't touch the lamp, open the gate", ToolCall(tool="open_gate"), gate) == "clear"
