"""What may happen, as a table."""

import pytest

from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.contracts.verdict import Allow, Approve, Deny
from appliance.policy.answers import Answer, Said
from appliance.policy.rules import PolicySettings, Situation, judge


def judged(
    *,
    risk=Risk.LOW,
    confidence=0.9,
    kind=OriginKind.OPERATOR,
    role="operator",
    to_all=False,
    policy=None,
    laws=None,
    **now,
):
    situation = {
        "locked": False,
        "recordable": True,
        "confirmed": False,
        "by_model": True,
        "doubtful": False,
        "act_at": 0.7,
        "refuse_below": 0.1,
        "tools": ("t", "u"),
    } | now
    call = GroundedCall(tool="t", confidence=confidence)
    spec = ToolSpec(name="t", risk=risk)
    origin = Origin(kind=kind, peer="test", role=role, to_all=to_all)
    return judge(call, spec, origin, Situation(**situation), policy or PolicySettings(), laws)


EVERYBODY = {"kind": OriginKind.CONTROLLER, "to_all": True}
"""A command to the whole site."""


def verdict(**facts):
    return judged(**facts).verdict


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.70, "allow"), (0.69, "confirm"), (0.10, "confirm"), (0.09, "deny")]
)
def test_confidence_decides_at_its_exact_limits(confidence, expected):
    assert verdict(confidence=confidence).verdict == expected


@pytest.mark.parametrize(
    ("facts", "expected", "rule"),
    [
        ({}, "allow", "default"),
        ({"locked": True}, "deny", "emergency-stop"),
        ({"locked": True, "risk": Risk.READ}, "allow", "default"),
        ({"locked": True, "confirmed": True}, "deny", "emergency-stop"),
        ({"recordable": False}, "deny", "recordable"),
        ({"recordable": False, "risk": Risk.READ}, "allow", "default"),
        ({"maintenance": "otto"}, "deny", "maintenance"),
        ({"maintenance": "otto", "risk": Risk.READ}, "allow", "default"),
        ({"maintenance": "otto", "confirmed": True, "role": "admin"}, "deny", "maintenance"),
        ({"risk": Risk.HIGH}, "confirm", "risk"),
        ({"risk": Risk.HIGH, "confidence": 1.0}, "confirm", "risk"),
        ({"risk": Risk.HIGH, "confirmed": True}, "allow", "default"),
        ({"risk": Risk.HIGH, "kind": OriginKind.TIMER}, "confirm", "risk"),
        ({"confidence": 0.05, "confirmed": True}, "deny", "confidence"),
        ({"confidence": 0.5, "confirmed": True}, "allow", "default"),
        ({"confidence": 0.0, "by_model": False}, "allow", "default"),
        ({"doubtful": True}, "confirm", "confidence"),
        ({"confidence": 0.5, "risk": Risk.READ}, "allow", "default"),
        ({"confidence": 0.05, "risk": Risk.READ}, "deny", "confidence"),
        ({"doubtful": True, "confirmed": True}, "allow", "default"),
        ({"role": "viewer"}, "deny", "roles"),
        ({"role": "viewer", "risk": Risk.READ}, "allow", "default"),
        ({"kind": OriginKind.CONTROLLER}, "allow", "default"),
        ({"kind": OriginKind.CONTROLLER, "risk": Risk.HIGH}, "confirm", "roles"),
        ({"kind": OriginKind.CONTROLLER, "policy": PolicySettings(controller_risk=Risk.READ)}, "confirm", "roles"),
        (EVERYBODY, "allow", "default"),
        ({**EVERYBODY, "risk": Risk.HIGH}, "deny", "roles"),
        ({**EVERYBODY, "risk": Risk.HIGH, "policy": PolicySettings(controller_risk=Risk.HIGH)}, "deny", "roles"),
        ({**EVERYBODY, "risk": Risk.HIGH, "confirmed": True}, "deny", "roles"),
        ({**EVERYBODY, "risk": Risk.HIGH, "policy": PolicySettings(group_risk=Risk.HIGH)}, "confirm", "roles"),
        ({**EVERYBODY, "policy": PolicySettings(group_risk=Risk.READ)}, "deny", "roles"),
        ({**EVERYBODY, "risk": Risk.READ, "policy": PolicySettings(group_risk=Risk.READ)}, "allow", "default"),
        ({"policy": PolicySettings(disabled_tools=("t",))}, "deny", "disabled-tools"),
        ({"policy": PolicySettings(disabled_tools=("t",)), "confirmed": True}, "deny", "disabled-tools"),
    ],
)
def test_the_rules_as_a_table(facts, expected, rule):
    found = verdict(**facts)

    assert (found.verdict, found.rule) == (expected, rule)


def test_every_rule_says_what_it_judged_on():
    found = {applied.rule: applied.values for applied in judged(kind=OriginKind.CONTROLLER, confidence=0.71).rules}

    assert found == {
        "emergency-stop": {"locked": False, "risk": "low"},
        "recordable": {"recordable": True},
        "maintenance": {"maintenance": ""},
        "disabled-tools": {"disabled": False},
        "roles": {"role": "operator", "origin": "controller", "controller_risk": "low", "confirmed": False},
        "risk": {"risk": "low", "confirmed": False},
        "confidence": {
            "confidence": 0.71, "act_at": 0.7, "refuse_below": 0.1, "doubtful": False, "confirmed": False,
        },
    }  # fmt: skip


def test_a_denial_says_why_and_what_is_allowed_instead():
    found = verdict(policy=PolicySettings(disabled_tools=("t",)))

    assert found.reason
    assert found.allowed == ("u",)
    assert "appliance.toml" in found.remedy


def answer(verdict, *, carried=False):
    return Answer(verdict, (Said("w", "s", verdict, ()),), carried)


def test_a_workflow_can_only_make_the_verdict_stricter():
    forbids = answer(Deny(rule="workflow:w", reason="not in this state"))

    assert verdict(laws=Answer(None)).verdict == "allow"
    assert verdict(laws=forbids).verdict == "deny"
    assert verdict(laws=forbids, confirmed=True).verdict == "deny"
    assert verdict(laws=answer(Allow()), risk=Risk.HIGH).verdict == "confirm"
    assert verdict(laws=answer(Allow()), locked=True).verdict == "deny"
    assert verdict(laws=answer(Approve(rule="w", role="approver", approvals_n=2, question="?"))).verdict == "approve"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"risk": Risk.HIGH}, "allow"),
        ({"kind": OriginKind.CONTROLLER, "risk": Risk.HIGH}, "allow"),
        ({"risk": Risk.HIGH, "locked": True}, "deny"),
        ({"risk": Risk.HIGH, "maintenance": "otto"}, "deny"),
        ({"risk": Risk.HIGH, "role": "viewer"}, "deny"),
        ({"risk": Risk.HIGH, "policy": PolicySettings(disabled_tools=("t",))}, "deny"),
    ],
)
def test_what_people_approved_needs_no_further_yes_and_lifts_no_denial(facts, expected):
    assert verdict(laws=answer(Allow(), carried=True), **facts).verdict == expected


def test_what_a_workflow_was_asked_is_among_the_rules():
    found = judged(laws=Answer(Allow(), (Said("gate", "open", Allow(), ({"what": "r"},)),)))

    assert found.rules[-1].rule == "workflow:gate"
    assert found.rules[-1].values == {"state": "open", "asked": [{"what": "r"}]}
