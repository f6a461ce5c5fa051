"""One clause asks for one act: a second reading of the same words goes, and nothing is lost with it."""

import pytest

from appliance.contracts.toolcall import Mention, Span, ToolCall
from appliance.grounding import several


def call(tool, confidence, anchor, *spans):
    mentions = {f"p{n}": Mention(spans=(Span(*span),)) for n, span in enumerate(spans)}
    return ToolCall(tool=tool, confidence=confidence, anchor=Span(*anchor), mentions=mentions)


BRIGHT = call("set_level", 0.6, (0, 10), (0, 12), (16, 31))


@pytest.mark.parametrize(
    ("other", "complete", "gone"),
    [
        (call("turn_on", 0.7, (0, 10), (0, 12)), True, True),  # says less, however sure
        (call("turn_on", 0.9, (0, 10)), False, True),  # incomplete
        (call("turn_on", 0.9, (0, 10)), True, False),  # complete without words: an act that nothing else says
        (call("turn_on", 0.7, (20, 30), (0, 12)), True, False),  # asked for elsewhere
        (call("turn_on", 0.7, (0, 10), (0, 12), (40, 44)), True, False),  # has words of its own
        (call("set_level", 0.5, (0, 10), (0, 12)), True, False),  # the same tool again is another matter
        (call("dim", 0.5, (0, 10), (0, 12), (16, 31)), True, True),  # says the same, less sure
        (call("dim", 0.7, (0, 10), (0, 12), (16, 31)), True, False),  # says the same, surer
    ],
)
def test_a_second_reading_of_the_same_words_goes_when_nothing_is_lost_with_it(other, complete, gone):
    assert several.outdone(other, BRIGHT, complete=complete) is gone
