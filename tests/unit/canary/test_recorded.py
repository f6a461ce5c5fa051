"""The device's own decisions, made again by a bundle's answers: by the rules and the laws that stood then."""

from contextlib import closing

import pytest

from appliance import settings
from appliance.agent import model
from appliance.canary import recorded
from appliance.canary.errand import Answered
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.toolcall import Proposal, Span
from appliance.storage.database import open_reader

LIMITS = CanaryLimits(recorded_least_n=3)
NIGHT = """\
workflow: lamps
version: 1
initial: day
safe: day
governs: [turn_light_on, turn_light_off, unlock_door]
states:
  day:
    tools: [turn_light_off]
"""
ADMIRED = "lovely paint on the front door"
UNLOCK = "unlock the front door"
SAID = ("turn on the kitchen light", "turn off the kitchen light", "turn the kitchen light off", "sing a song")


@pytest.fixture
def lived(bench):
    """A home under a law that lets lamps be put out and nothing be lit or unlocked; the daemon has ended."""
    (bench.home.root / "laws").mkdir(parents=True)
    (bench.home.root / "laws" / "lamps.yaml").write_text(NIGHT)
    bench.start()
    statuses = [bench.client.say(text).status for text in SAID]
    bench.stop()
    assert statuses == ["refused", "done", "done", "refused"]
    return bench.home


def judged(home, answer, *, times=1):
    """What the canary says of a bundle that answers by *answer*: (decoder, text, tools) -> proposal.

    Where *times* is more, the ledger tells everything but its newest decision so many times.
    """
    loaded = model.load(settings.shipped_bundle(), runtime="auto", threads_n=1)
    with closing(open_reader(home.database)) as reader:
        questions = recorded.gather(reader, LIMITS)
        answers = [
            Answered(proposal=answer(loaded.decoder, one.text, questions.catalogues[one.catalogue]), took_ms=1.0)
            for one in questions.asked
        ]
        *others, newest = sorted(questions.seqs)
        told = questions._replace(seqs=(*others * times, newest))
        return recorded.judge(told, answers, loaded.bundle, loaded.sha256, LIMITS)


def test_decisions_under_a_law_are_compared_and_the_same_bundle_changes_none(lived):
    check = judged(lived, lambda decoder, text, tools: decoder.propose(text, tools))

    assert check.passed, check.reason
    assert (check.tried_n, check.failed_n, check.figures["unread"]) == (len(SAID), 0, 0)


def test_what_the_law_denied_then_is_denied_again_whichever_bundle_proposes_it(lived):
    def always_on(decoder, text, tools):
        said = decoder.propose(text, tools)
        calls = [call.model_copy(update={"tool": "turn_light_on"}) for call in said.calls]
        return said.model_copy(update={"calls": tuple(calls)})

    check = judged(lived, always_on)

    assert not check.passed
    # It would light the lamp where others were put out; the law lets none of that happen.
    assert check.figures["acts"] == 0
    assert check.figures["refuses"] == 2
    assert "would refuse or ask back 2 of 4" in check.reason


def test_one_call_of_high_risk_that_was_none_is_one_too_many_however_long_the_ledger(bench):
    bench.start()
    assert [bench.client.say(text).status for text in (*SAID[:3], ADMIRED)] == ["done", "done", "done", "refused"]
    bench.stop()

    def admires(decoder, text, tools):
        if text != ADMIRED:
            return decoder.propose(text, tools)
        (call,) = decoder.propose(UNLOCK, tools).calls
        start = ADMIRED.index("front door") - UNLOCK.index("front door")
        moved = {
            name: mention.model_copy(
                update={"spans": tuple(Span(s.start + start, s.end + start) for s in mention.spans)}
            )
            for name, mention in call.mentions.items()
        }
        unlocks = call.model_copy(update={"mentions": moved, "anchor": Span(0, 6)})
        return Proposal(calls=(unlocks,), abstain=0.0)

    check = judged(bench.home, admires, times=100)

    assert (check.tried_n, check.figures["risky"], check.figures["acts"]) == (301, 1, 0)
    assert not check.passed
    assert "would call a tool of high risk where the device did not" in check.reason
