"""What a call set going is asked about again: by the rules that protect, and by no others."""

from __future__ import annotations

import pytest

from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import standing, step
from appliance.policy.workflow.run import Began, Context, Reading, Who

HEAD = (
    "workflow: w\nversion: 1\ninitial: a\nsafe: a\n"
    "measures:\n  window: {sensor: garage contact, type: boolean, stale_after: 10s}\n"
)
NOTHING_ALLOWED = "states: {a: {calls: 0}}\n"


class Order:
    """A heating that was set, under a law."""

    def __init__(self, loaded, tools, at, window):
        self.law, self.at = loaded.compiled, at
        self.specs = {spec.name: spec for spec in tools}
        self.run = step.start(self.law, "run", at()).run
        self.window = window

    def held(self, tool="set_temperature", after_s=1.0, arguments=None, **clock):
        call = GroundedCall(tool=tool, arguments=arguments or {"temperature_c": 21})
        context = Context(1, {"window": Reading(self.window, self.at(0))})
        now = self.at(after_s, **clock)
        return standing.still_allowed(self.law, self.run, call, self.specs[tool], now, context)


@pytest.fixture
def order(law, tools, at):
    return lambda rules, window=False, states=NOTHING_ALLOWED: Order(
        law(HEAD + states + f"rules: {{r: {{tools: [set_temperature], {rules}}}}}\n"), tools, at, window
    )


def test_an_interlock_holds_an_order_back_while_its_condition_does_not_hold_or_is_unknown(order):
    rule = "needs: not window, why: Heat is dear"

    assert order(rule).held() is None
    open_window = order(rule, window=True).held()
    assert open_window.weighed.values == {"window": True}
    assert open_window.verdict.rule == "rule:r"
    assert "window is true. Heat is dear" in open_window.verdict.reason
    assert "not measured" in order(rule, window=None).held().verdict.reason
    assert "11s old" in order(rule).held(after_s=11.0).verdict.reason


def test_quiet_hours_hold_an_order_back_when_they_begin_and_when_nobody_knows_the_time(order):
    rule = 'quiet: {from: "13:00", to: "14:00"}'

    assert order(rule).held(after_s=3599) is None
    assert "rests from 13:00" in order(rule).held(after_s=3600).verdict.reason
    assert order(rule).held(after_s=7200) is None
    assert "does not know the time" in order(rule).held(trusted=False).verdict.reason


@pytest.mark.parametrize(
    "rule",
    [
        "roles: [admin]",
        "confirm: {}",
        "limit: {calls: 1, per: 1h}",
        "exclusive: {with: [turn_heating_off], within: 1h}",
    ],
)
def test_what_is_about_making_a_call_does_not_end_its_effect(order, rule):
    asked = order(rule)
    otto = Who(person="otto", role="operator")
    for n, tool in enumerate(("set_temperature", "turn_heating_off", "set_temperature")):
        began = Began(call_id=str(n), tool=tool, who=otto)
        asked.run = step.apply(asked.law, asked.run, began, asked.at(), Context(0, {})).run

    assert asked.held() is None  # the state, which allows nothing, is not asked either


def test_only_rules_about_this_call_are_asked(order):
    asked = order("needs: not window", window=True)

    assert asked.held() is not None
    assert asked.held("turn_heating_off", arguments={"x": 1}) is None


def test_a_law_that_does_not_govern_the_call_has_nothing_against_it(order):
    rule = "needs: not window"

    assert order(rule, window=True, states="governs: [lock_door]\n" + NOTHING_ALLOWED).held() is None
    assert order(rule, window=True, states="governs: [set_temperature]\n" + NOTHING_ALLOWED).held() is not None


def test_without_a_run_of_this_version_nothing_goes_on(order):
    asked = order("needs: not window")
    asked.run = asked.run.model_copy(update={"digest": "another"})
    other = asked.held()
    asked.run = None

    assert other.verdict.verdict == asked.held().verdict.verdict == "deny"
    assert "no run" in other.verdict.reason
