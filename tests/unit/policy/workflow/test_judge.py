"""Calls that a person would ask about, one by one."""

from __future__ import annotations

import pytest

from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import judge
from appliance.policy.workflow.gate import Asking, Gate, Placed
from appliance.policy.workflow.run import Began, Context, Given, Reading, Said, Who

HEAD = "workflow: w\nversion: 1\ntitle: The shop\ninitial: a\nsafe: a\nevents: {go: {}, back: {}}\n"
STATES = (
    "states:\n  a: {tools: [lock_door], go: [{event: go, to: b}]}\n"
    "  b: {tools: [unlock_door], go: [{event: back, to: a}, {event: go, to: c}]}\n"
    "  c: {tools: [{tool: start_machine, where: {machine: fan}}], go: [{event: back, to: a}]}\n"
)
NOTHING = Context(0, {})
OTTO = Origin(kind=OriginKind.OPERATOR, peer="otto", role="operator")


def test_a_denial_says_what_why_what_is_allowed_and_how_to_get_there(desk):
    denied = desk(HEAD + STATES).asks("start_machine", {"machine": "fan"}).verdict

    assert denied.verdict == "deny"
    assert denied.rule == "workflow:w/a"
    assert denied.reason == "The shop is in a, and start_machine is not allowed there."
    assert denied.allowed == ("lock_door",)
    assert denied.remedy == "To get there: say go -> b; then say go -> c."


def test_a_state_without_tools_allows_nothing(desk):
    asked = desk(HEAD + "states:\n  a: {go: [{event: go, to: a}]}\n")

    assert asked.asks("read_temperature").verdict.verdict == "deny"


def test_a_tool_that_a_neighbour_allows_does_not_lead_there(desk):
    asked = desk(HEAD + STATES)

    assert asked.asks("unlock_door", {"door": "front door"}).verdict.verdict == "deny"
    assert asked.run.state == "a"


@pytest.mark.parametrize("kind", list(OriginKind))
def test_the_gate_is_the_same_for_every_proposer(desk, kind):
    asked = desk(HEAD + STATES)

    assert asked.asks("unlock_door", origin=Origin(kind=kind, peer="x", role="admin")).verdict.verdict == "deny"


def test_nobody_acts_in_the_name_of_the_law(desk):
    asked = desk(
        HEAD + "states:\n  a:\n    tools: [lock_door]\n    enter: [{call: lock_door, with: {door: front door}}]\n"
        "    go: [{event: go, to: a}]\n"
    )
    owed = asked.run.owed[0].act_id
    law = Origin(kind=OriginKind.SYSTEM, peer=owed)

    assert asked.asks("lock_door", {"door": "front door"}, origin=law).verdict.verdict == "allow"
    assert asked.asks("lock_door", {"door": "back door"}, origin=law).verdict.verdict == "deny"
    forged = Origin(kind=OriginKind.SYSTEM, peer="run:9:enter:0")
    assert asked.asks("lock_door", {"door": "front door"}, origin=forged).verdict.verdict == "deny"
    asked.does(Began(call_id=owed, tool="lock_door", who=Who(person=owed, role="system")))
    assert asked.asks("lock_door", {"door": "front door"}, origin=law).verdict.verdict == "deny"  # once


def test_a_cap_denies_the_call_beyond_it(desk):
    asked = desk(HEAD + "states:\n  a: {tools: [lock_door], calls: 2, go: [{event: go, to: a}]}\n")

    for n in range(2):
        assert asked.asks("lock_door").verdict.verdict == "allow"
        asked.does(Began(call_id=str(n), tool="lock_door", who=Who(person="otto", role="operator")))

    denied = asked.asks("lock_door").verdict
    assert denied.verdict == "deny"
    assert "2 calls" in denied.reason


def test_a_deadline_denies_even_before_the_next_look(desk):
    asked = desk(
        HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {tools: [lock_door], deadline: {after: 1min, to: a}}\n"
    )
    asked.does(Said(event="go", who=Who(person="otto", role="operator")), 0.0)

    assert asked.asks("lock_door", after_s=59.9).verdict.verdict == "allow"
    assert asked.asks("lock_door", after_s=60.0).verdict.verdict == "deny"


def test_an_approval_is_of_one_call_by_different_people(desk):
    asked = desk(
        HEAD
        + "states:\n  a: {tools: [{tool: unlock_door, approve: {people: 2, within: 1min}}], go: [{event: go, to: a}]}\n"
    )
    call = GroundedCall(tool="unlock_door", arguments={"door": "front door"})
    of = judge.subject(asked.run, call, "req:0")
    anna, ben = (Given(of=of, who=Who(person=person, role="approver"), at=asked.at(1)) for person in ("anna", "ben"))

    def verdict(*given, call_id="req:0", door="front door", after_s=2.0):
        return asked.asks("unlock_door", {"door": door}, call_id=call_id, given=given, after_s=after_s).verdict.verdict

    assert verdict() == "approve"
    assert verdict(anna) == "approve"
    assert verdict(anna, anna) == "approve"
    assert verdict(anna, ben) == "allow"
    assert verdict(anna, ben, door="back door") == "approve"
    assert verdict(anna, ben, call_id="req:1") == "approve"
    assert verdict(anna, ben, after_s=62.0) == "approve"
    viewer = ben.model_copy(update={"who": Who(person="vera", role="viewer")})
    assert verdict(anna, viewer) == "approve"


def test_a_grant_whose_guard_is_unknown_grants_nothing(desk):
    asked = desk(
        HEAD + "measures:\n  wet: {sensor: garage contact, type: boolean, stale_after: 10s}\n"
        "states:\n  a: {tools: [{tool: lock_door, when: not wet}], go: [{event: go, to: a}]}\n"
    )

    def verdict(*, wet, after_s=1.0):
        context = Context(1, {"wet": Reading(wet, asked.at(0))})
        return asked.asks("lock_door", context=context, after_s=after_s).verdict

    assert verdict(wet=False).verdict == "allow"
    assert verdict(wet=True).verdict == verdict(wet=None).verdict == "deny"
    assert verdict(wet=False, after_s=11.0).verdict == "deny"
    assert "not known" in verdict(wet=None).reason


def test_a_limit_counts_calls_and_forgets_them_in_time(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        "rules:\n  often: {tools: [lock_door], limit: {calls: 2, per: 1min}}\n"
    )
    for n in range(2):
        assert asked.asks("lock_door", after_s=n).verdict.verdict == "allow"
        asked.does(Began(call_id=str(n), tool="lock_door", who=Who(person="otto", role="operator")), float(n))

    assert asked.asks("lock_door", after_s=59.9).verdict.rule == "rule:often"
    assert asked.asks("unlock_door", after_s=59.9).verdict.verdict == "allow"
    assert asked.asks("lock_door", after_s=60.0).verdict.verdict == "allow"


def test_tools_that_exclude_each_other_keep_their_distance_both_ways(desk):
    text = (
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        "rules:\n  apart: {tools: [lock_door], exclusive: {with: [unlock_door], within: 1min}}\n"
    )
    for first, second in (("lock_door", "unlock_door"), ("unlock_door", "lock_door")):
        asked = desk(text)
        asked.does(Began(call_id="1", tool=first, who=Who(person="otto", role="operator")), 0.0)

        assert asked.asks(second, after_s=59.9).verdict.rule == "rule:apart"
        assert asked.asks(first, after_s=59.9).verdict.verdict == "allow"
        assert asked.asks(second, after_s=60.0).verdict.verdict == "allow"


def test_quiet_hours_deny_while_nobody_knows_the_time(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        'rules:\n  night: {tools: [lock_door], quiet: {from: "22:00", to: "06:00"}}\n'
    )
    call = GroundedCall(tool="lock_door")

    def verdict(**clock):
        now = asked.at(1.0, **clock)
        return judge.judge(asked.law, asked.run, call, asked.specs["lock_door"], OTTO, now, NOTHING).verdict

    assert verdict().verdict == "allow"
    assert verdict(trusted=False).rule == "rule:night"
    assert "does not know the time" in verdict(trusted=False).reason


def test_an_interlock_denies_while_nobody_knows(desk):
    asked = desk(
        HEAD + "measures:\n  window: {sensor: garage contact, type: boolean, stale_after: 10s}\n"
        "rules:\n  shut: {tools: [set_temperature], needs: not window, why: Heat is dear}\n"
        "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
    )

    def verdict(*, window):
        context = Context(1, {"window": Reading(window, asked.at(0))})
        return asked.asks("set_temperature", {"temperature_c": 20}, context=context).verdict

    assert verdict(window=False).verdict == "allow"
    assert verdict(window=True).verdict == "deny"
    unknown = verdict(window=None)
    assert unknown.verdict == "deny"
    assert "not known" in unknown.reason
    assert "Heat is dear" in unknown.reason


def test_a_missing_run_or_one_of_another_version_denies(desk, law):
    asked = desk(HEAD + STATES)
    asked.law = law(HEAD.replace("version: 1", "version: 2") + STATES).compiled

    assert asked.asks("lock_door").verdict.verdict == "deny"
    asked.run = None
    assert "no run" in asked.asks("lock_door").verdict.reason


def test_what_a_law_does_not_govern_is_not_its_business(desk):
    asked = desk(HEAD + "governs: ['family:doors']\n" + STATES)

    assert asked.asks("turn_light_on").verdict is None


def test_true_is_not_one(desk):
    asked = desk(HEAD + "states:\n  a: {tools: [{tool: delete_note, where: {number: 1}}], go: [{event: go, to: a}]}\n")

    assert asked.asks("delete_note", {"number": 1}).verdict.verdict == "allow"
    assert asked.asks("delete_note", {"number": True}).verdict.verdict == "deny"


def test_an_argument_that_is_left_out_is_not_in_the_grant(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: [{tool: start_machine, where: {minutes: {max: 5}}}], go: [{event: go, to: a}]}\n"
    )

    assert asked.asks("start_machine", {"machine": "fan"}).verdict.verdict == "deny"
    assert asked.asks("start_machine", {"machine": "fan", "minutes": 5}).verdict.verdict == "allow"


def test_several_calls_of_a_plan_are_counted_one_after_the_other(desk):
    asked = desk(HEAD + "states:\n  a: {tools: [lock_door], calls: 1, go: [{event: go, to: a}]}\n")
    call = GroundedCall(tool="lock_door")

    gate = Gate([Placed(asked.law, asked.run, NOTHING)], Asking("r", asked.at(1), OTTO))

    first, second = (gate.ask(n, call, asked.specs["lock_door"]) for n in range(2))

    assert (first.verdict.verdict, second.verdict.verdict) == ("allow", "deny")


def test_a_deadline_of_unknown_age_denies(desk):
    asked = desk(
        HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {tools: [lock_door], deadline: {after: 1h, to: a}}\n"
    )
    asked.does(Said(event="go", who=Who(person="otto", role="operator")), 0.0)
    call = GroundedCall(tool="lock_door")

    def verdict(**clock):
        now = asked.at(60.0, **clock)
        return judge.judge(asked.law, asked.run, call, asked.specs["lock_door"], OTTO, now, NOTHING).verdict.verdict

    assert verdict(boot=2) == "allow"
    assert verdict(boot=2, trusted=False) == "deny"


def test_what_a_rule_remembers_of_unknown_age_counts_as_recent(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        "rules:\n  often: {tools: [lock_door], limit: {calls: 1, per: 1min}}\n"
        "  apart: {tools: [turn_light_on], exclusive: {with: [lock_door], within: 1min}}\n"
    )
    asked.does(Began(call_id="1", tool="lock_door", who=Who(person="otto", role="operator")), 0.0)

    def rule(tool, **clock):
        now = asked.at(3600.0, boot=2, **clock)  # the power was off for an hour, or for who knows how long
        call = GroundedCall(tool=tool)
        return judge.judge(asked.law, asked.run, call, asked.specs[tool], OTTO, now, NOTHING).verdict.rule

    assert (rule("lock_door"), rule("turn_light_on")) == ("workflow:w/a", "workflow:w/a")
    assert (rule("lock_door", trusted=False), rule("turn_light_on", trusted=False)) == ("rule:often", "rule:apart")


def test_a_limit_of_each_origin_counts_by_role(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        "rules:\n  often: {tools: [lock_door], limit: {calls: 1, per: 1min, each: origin}}\n"
    )
    asked.does(Began(call_id="1", tool="lock_door", who=Who(person="otto", role="operator")), 0.0)
    anna, eve = (
        Origin(kind=OriginKind.OPERATOR, peer=name, role=role)
        for name, role in (("anna", "admin"), ("eve", "operator"))
    )

    assert asked.asks("lock_door").verdict.rule == "rule:often"
    assert asked.asks("lock_door", origin=eve).verdict.rule == "rule:often"
    assert asked.asks("lock_door", origin=anna).verdict.verdict == "allow"


def test_an_approval_of_a_call_does_not_carry_over_to_another_visit(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: [{tool: unlock_door, approve: {within: 1h}}], go: [{event: go, to: a}]}\n"
    )
    call = GroundedCall(tool="unlock_door", arguments={"door": "front door"})
    given = Given(of=judge.subject(asked.run, call, "r:0"), who=Who(person="anna", role="approver"), at=asked.at(1))

    def verdict():
        return asked.asks("unlock_door", call.arguments, call_id="r:0", given=[given], after_s=2.0).verdict.verdict

    assert verdict() == "allow"
    asked.does(Said(event="go", who=Who(person="otto", role="operator")))
    assert verdict() == "approve"
