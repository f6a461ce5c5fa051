"""What somebody who was refused is told: what is allowed now, why not this, and how to get there; all of it true."""

from __future__ import annotations

import pytest

from appliance.contracts.request import Origin, OriginKind
from appliance.policy.workflow.run import Began, Context, Reading, Said, Who

HEAD = "workflow: w\nversion: 1\ntitle: The shop\ninitial: a\nsafe: a\nevents: {go: {}, back: {}}\n"
OPEN = "measures:\n  gate_open: {sensor: garage contact, type: boolean, stale_after: 10s}\n"
OTTO = Who(person="otto", role="operator")


def begins(tool, arguments=None):
    return Began(call_id="1", tool=tool, arguments=arguments or {}, who=OTTO)


def measured(asked, *, gate_open):
    return Context(1, {"gate_open": Reading(gate_open, asked.at(0))})


def test_when_the_calls_are_used_up_nothing_is_allowed_and_the_way_leads_out_and_back(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: [lock_door, unlock_door], calls: 1, go: [{event: go, to: b}]}\n"
        "  b: {go: [{event: back, to: a}]}\n"
    )
    asked.does(begins("lock_door"))

    denied = asked.asks("lock_door").verdict

    assert denied.allowed == ()
    assert denied.remedy == "Leave the state and come again: say go -> b; then say back -> a."


def test_when_the_calls_are_used_up_the_way_leads_to_the_next_state_that_allows_it(desk):
    asked = desk(
        HEAD + "states:\n  a: {tools: [lock_door], calls: 1, go: [{event: go, to: b}]}\n"
        "  b: {tools: [lock_door], go: [{event: back, to: a}]}\n"
    )
    asked.does(begins("lock_door"))

    assert asked.asks("lock_door").verdict.remedy == "Leave the state: say go -> b."


def test_a_state_that_is_entered_anew_by_its_own_arrow_is_the_way_back_to_it(desk):
    asked = desk(HEAD + "states:\n  a: {tools: [lock_door], calls: 1, go: [{event: go, to: a}]}\n")
    asked.does(begins("lock_door"))

    assert asked.asks("lock_door").verdict.remedy == "Leave the state and come again: say go -> a."
    asked.does(Said(event="go", who=OTTO))
    assert asked.asks("lock_door").verdict.verdict == "allow"


def test_when_the_time_is_over_nothing_is_allowed(desk):
    asked = desk(
        HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {tools: [lock_door], deadline: {after: 1min, to: a}}\n"
    )
    asked.does(Said(event="go", who=OTTO), 0.0)

    assert asked.asks("unlock_door", after_s=1.0).verdict.allowed == ("lock_door",)
    assert asked.asks("unlock_door", after_s=60.0).verdict.allowed == ()


@pytest.mark.parametrize(
    ("is_open", "why"),
    [
        (False, "only when `gate_open`, and gate_open is false."),
        (None, "only when `gate_open`, which is not known: not measured."),
    ],
)
def test_a_guard_that_does_not_hold_is_told_as_the_law_means_it(desk, is_open, why):
    asked = desk(
        HEAD + OPEN + "states:\n  a: {tools: [lock_door, {tool: start_machine, when: gate_open}], "
        "go: [{event: go, to: b}]}\n  b: {tools: [start_machine], go: [{event: back, to: a}]}\n"
    )
    context = measured(asked, gate_open=is_open)

    denied = asked.asks("start_machine", context=context).verdict

    assert denied.reason == f"The shop is in a, which allows start_machine {why}"
    assert denied.allowed == ("lock_door",)
    assert denied.remedy == "Here: once `gate_open`. Or elsewhere: say go -> b."
    assert asked.asks("unlock_door", context=context).verdict.allowed == ("lock_door",)
    is_true = measured(asked, gate_open=True)
    assert asked.asks("unlock_door", context=is_true).verdict.allowed == ("lock_door", "start_machine")


def test_the_denied_tool_is_offered_only_with_the_arguments_that_would_be_allowed(desk):
    asked = desk(
        HEAD + OPEN + "states:\n"
        "  a: {tools: [{tool: set_light_level, where: {level_pct: {max: 20}}}], go: [{event: go, to: b}]}\n"
        "  b: {tools: [{tool: set_light_level, where: {level_pct: {min: 50}}, when: gate_open}],"
        " go: [{event: back, to: a}]}\n"
    )

    denied = asked.asks("set_light_level", {"room": "hall", "level_pct": 30}).verdict

    assert denied.allowed == ("set_light_level (level_pct up to 20)",)
    assert denied.remedy == "Here: set_light_level (level_pct up to 20)."
    bright = asked.asks("set_light_level", {"room": "hall", "level_pct": 60}).verdict
    assert bright.remedy == (
        "Here: set_light_level (level_pct up to 20). Or elsewhere: say go -> b. There only when `gate_open`."
    )


def test_the_way_leads_to_a_state_that_allows_these_arguments_if_there_is_one(desk):
    asked = desk(
        HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n"
        "  b: {tools: [{tool: start_machine, where: {machine: pump}}], go: [{event: go, to: c}]}\n"
        "  c: {tools: [{tool: start_machine, where: {machine: fan}}], go: [{event: back, to: a}]}\n"
    )

    def remedy(machine):
        return asked.asks("start_machine", {"machine": machine}).verdict.remedy

    assert remedy("pump") == "To get there: say go -> b."
    assert remedy("fan") == "To get there: say go -> b; then say go -> c."
    assert remedy("extractor") == "To get there: say go -> b. There only as start_machine (machine pump)."
    assert asked.asks("lock_door").verdict.remedy == "No state of w that leads on from here allows lock_door."


LIMITS = (
    HEAD + OPEN + "rules:\n  often: {tools: [lock_door], limit: {calls: 1, per: 1min}}\n"
    "  apart: {tools: [unlock_door], exclusive: {with: [lock_door], within: 1min}}\n"
    "  shut: {tools: [start_machine], needs: gate_open}\n"
    "  bosses: {tools: [stop_machine], roles: [approver, admin]}\n"
    "  left: {tools: [set_temperature], roles: [controller, timer]}\n"
    "states:\n  a: {tools: [lock_door, unlock_door, start_machine, stop_machine, set_temperature, delete_note],"
    " go: [{event: go, to: a}]}\n"
)


def test_a_denial_by_a_rule_says_what_is_allowed_now_without_what_another_rule_rests(desk):
    asked = desk(LIMITS)
    asked.does(begins("lock_door"), 0.0)
    anna = Origin(kind=OriginKind.OPERATOR, peer="anna", role="admin")

    for tool in ("lock_door", "unlock_door", "start_machine", "stop_machine"):
        assert asked.asks(tool).verdict.verdict == "deny"
        assert asked.asks(tool).verdict.allowed == ("delete_note",)
    assert asked.asks("lock_door", origin=anna).verdict.allowed == ("delete_note", "stop_machine")
    later = {"after_s": 61.0, "context": Context(1, {"gate_open": Reading(value=True, at=asked.at(60))})}
    allowed = set(asked.asks("stop_machine", **later).verdict.allowed)
    assert allowed == {"delete_note", "lock_door", "unlock_door", "start_machine"}


def test_a_limit_of_each_tool_rests_only_the_tool_that_was_called(desk):
    asked = desk(LIMITS.replace("tools: [lock_door], limit: {", "tools: ['*_door'], limit: {each: tool, "))
    asked.does(begins("unlock_door"), 0.0)

    assert asked.asks("unlock_door").verdict.rule == "rule:often"
    assert "unlock_door" not in asked.asks("stop_machine").verdict.allowed


def test_a_rule_about_some_arguments_rests_no_other_ones(desk):
    asked = desk(
        HEAD + OPEN + "rules:\n"
        "  shut: {tools: [{tool: start_machine, where: {minutes: {min: 5}}}], needs: gate_open}\n"
        "states:\n  a: {tools: [lock_door, {tool: start_machine, where: {minutes: {max: 3}}},"
        " {tool: start_machine, where: {minutes: {min: 6, max: 9}}}], go: [{event: go, to: a}]}\n"
    )

    denied = asked.asks("start_machine", {"minutes": 7}).verdict

    assert denied.rule == "rule:shut"
    assert denied.remedy == "Ask again once `gate_open`."
    assert denied.allowed == ("lock_door", "start_machine (minutes up to 3)")
    assert asked.asks("unlock_door").verdict.allowed == ("lock_door", "start_machine (minutes up to 3)")


def test_a_rule_of_roles_says_who_asks_and_how(desk):
    asked = desk(LIMITS)

    assert asked.asks("stop_machine").verdict.remedy == "Somebody in the role approver or admin asks, with `--as NAME`."
    left = asked.asks("set_temperature").verdict.remedy
    assert left == "Nobody asks for it: it is left to the controller or the timer."


def test_while_the_emergency_stop_is_latched_only_reading_is_allowed(desk):
    asked = desk(HEAD + "states:\n  a: {tools: [lock_door, read_temperature], go: [{event: go, to: a}]}\n")

    assert asked.asks("unlock_door", context=Context(1, {}, stopped=True)).verdict.allowed == ("read_temperature",)
    assert set(asked.asks("unlock_door").verdict.allowed) == {"lock_door", "read_temperature"}
