"""What a plan comes to, without a device."""

from datetime import UTC, datetime

import pytest

from appliance.agent.deciding import Judge, stopped
from appliance.agent.plan import Plan
from appliance.contracts.audit import Moment
from appliance.contracts.decision import Guards
from appliance.contracts.manifest import Thresholds
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall, Question, Refusal, RefusalCode
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.policy.rules import PolicySettings
from appliance.policy.workflow.gate import Asking, Gate

SPECS = {
    "look": ToolSpec(name="look", risk=Risk.READ),
    "dim": ToolSpec(name="dim"),
    "open": ToolSpec(name="open", risk=Risk.HIGH),
    "off": ToolSpec(name="off"),
}
OPERATOR = Origin(kind=OriginKind.OPERATOR, peer="test")
ASKING = Asking("r1", Moment(at=datetime(2026, 11, 23, tzinfo=UTC), monotonic_s=1.0, boot=1, clock="trusted"), OPERATOR)


class Catalogue:
    def specs(self):
        return tuple(SPECS.values())

    def spec(self, name):
        return SPECS.get(name)


def decided(*tools, confidence=0.9, by_model=True, policy=None, plan=None, **guards):
    known = {"locked": False, "recordable": True, "confirmed": False, "permitted": True}
    calls = tuple(GroundedCall(tool=tool, confidence=confidence) for tool in tools)
    judge = Judge(
        Catalogue(),
        Thresholds(act=0.7, confirm=0.3, abstain=0.6),
        policy or PolicySettings(disabled_tools=("off",)),
    )
    return judge.decide(
        plan or Plan(by_model=by_model, calls=calls), OPERATOR, Guards(**known | guards), Gate((), ASKING)
    )


@pytest.mark.parametrize(
    ("tools", "guards", "comes_to", "code"),
    [
        (["dim"], {}, "act", ""),
        (["dim", "dim"], {}, "act", ""),
        (["dim", "off"], {}, "refuse", "disabled-tools"),
        (["open", "off"], {}, "refuse", "disabled-tools"),
        (["dim", "open"], {}, "confirm", "risk"),
        (["dim", "open"], {"confirmed": True}, "act", ""),
        (["dim"], {"locked": True}, "refuse", "emergency-stop"),
        (["look"], {"locked": True}, "act", ""),
        (["look"], {"locked": True, "permitted": False}, "refuse", "emergency-stop"),
        (["dim"], {"permitted": False}, "refuse", "emergency-stop"),
        (["open"], {"permitted": False}, "confirm", "risk"),
    ],
)
def test_a_request_acts_as_a_whole_or_not_at_all(tools, guards, comes_to, code):
    found = decided(*tools, **guards)

    assert (found.comes_to, found.code) == (comes_to, code)
    assert len(found.deeds) == len(tools)


def test_the_owners_limits_stand_over_the_bundles_where_they_are_higher():
    assert decided("dim", confidence=0.75).comes_to == "act"
    assert decided("dim", confidence=0.75, policy=PolicySettings(act_at=0.8)).comes_to == "confirm"
    assert decided("dim", confidence=0.75, policy=PolicySettings(refuse_below=0.8)).comes_to == "refuse"


@pytest.mark.parametrize("owners", [0.0, 0.3, 0.69])
def test_no_owner_lets_a_bundle_act_on_less_than_it_was_tried_at(owners):
    policy = PolicySettings(act_at=owners, refuse_below=0.0)

    assert decided("dim", confidence=0.69, policy=policy).comes_to == "confirm"
    assert decided("dim", confidence=0.7, policy=policy).comes_to == "act"
    assert decided("dim", confidence=0.29, policy=policy).comes_to == "refuse"


def test_what_was_not_understood_is_not_judged():
    refusal = Refusal(code=RefusalCode.NEGATED, reason="No.")
    question = Question(tool="dim", missing=("level",), text="How much?")

    assert decided(plan=Plan(refusal=refusal)).code == "negated"
    asked = decided(plan=Plan(question=question))
    assert (asked.comes_to, asked.reason, asked.deeds) == ("ask", "How much?", ())


def test_a_stop_between_the_verdict_and_the_act_is_recorded_as_a_guard():
    late = stopped(decided("dim"))

    assert (late.comes_to, late.guards.permitted, late.reason) == ("refuse", False, "The device is stopped.")
    # Decided again with that guard, it comes to the same.
    assert decided("dim", permitted=False) == late
