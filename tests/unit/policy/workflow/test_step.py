"""Steps that a person would ask about, one by one."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from appliance.policy.workflow import due, step, swap
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Emergency,
    Ended,
    Looked,
    Reading,
    Resumed,
    RunState,
    Said,
    Who,
)

HEAD = "workflow: w\nversion: 1\ninitial: a\nsafe: a\nevents: {go: {}, back: {}, alarm: {}}\n"
ANNA = Who(person="anna", role="approver")
BEN = Who(person="ben", role="approver")
NOTHING = Context(0, {})


def begun(law, at):
    return step.start(law.compiled, "run", at()).run


def test_an_illegal_event_is_a_record_and_changes_nothing(law, at):
    laws = law(HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {go: [{event: back, to: a}]}\n")
    run = begun(laws, at)

    stepped = step.apply(laws.compiled, run, Said(event="back", who=ANNA), at(1), NOTHING)

    assert stepped.record.kind == "illegal"
    assert stepped.record.reason == "nothing waits for back in a"
    assert stepped.run.state == "a"
    assert stepped.effects == ()


def test_an_event_is_said_by_whom_the_law_names_and_by_nobody_else(law, at):
    text = HEAD.replace("go: {}", "go: {from: [approver]}")
    laws = law(text + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {go: [{event: back, to: a}]}\n")

    def said(role):
        who = Who(person="otto", role=role)
        return step.apply(laws.compiled, begun(laws, at), Said(event="go", who=who), at(1), NOTHING).record

    assert (said("operator").kind, said("operator").after) == ("denied", "a")
    assert (said("admin").kind, said("approver").kind) == ("denied", "moved")  # exactly whom it names
    assert said("operator").reason == "go is said by: approver; not by operator"


@pytest.mark.parametrize("role", ["viewer", "operator", "controller", "timer", "system"])
def test_an_arrow_is_approved_by_nobody_below_its_role(law, at, role):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: b, approve: {within: 1min}}]}\n  b: {go: [{event: back, to: a}]}\n"
    )
    parked = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    approved = Approved(of=parked.pending.approval_id, who=Who(person="otto", role=role))

    stepped = step.apply(laws.compiled, parked, approved, at(1), NOTHING)

    assert (stepped.record.kind, stepped.run.state) == ("denied", "a")
    assert stepped.run.pending.given == ()


def test_every_pair_of_state_and_trigger_has_an_answer(law, at):
    laws = law(HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {go: [{event: back, to: a}]}\n")

    for said in ("go", "back", "alarm", "nonsense"):
        for state in ("a", "b"):
            run = begun(laws, at)
            if state == "b":
                run = step.apply(laws.compiled, run, Said(event="go", who=ANNA), at(), NOTHING).run
            record = step.apply(laws.compiled, run, Said(event=said, who=ANNA), at(), NOTHING).record
            assert record.kind in {"moved", "illegal"}


def test_transitions_has_no_way_of_its_own(law):
    machine = law(HEAD + "states:\n  a: {go: [{event: go, to: a}]}\n").compiled.machine

    assert {name for name in machine.events if name.startswith("to_")} == set()


def test_a_guard_that_is_unknown_holds_nothing_and_says_why(law, at):
    laws = law(
        HEAD + "measures:\n  wet: {sensor: s, type: boolean, stale_after: 10s}\n"
        "states:\n  a: {go: [{event: go, when: not wet, to: b}]}\n  b: {go: [{event: back, to: a}]}\n"
    )
    stale = Context(7, {"wet": Reading(value=False, at=at(0))})

    stepped = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(11), stale)

    assert stepped.record.kind == "held"
    assert stepped.record.reason == "`not wet` is not known: wet: 11s old, stale after 10s"
    assert stepped.record.weighed[0].values == {"wet": None}
    assert stepped.record.context_version == 7


def test_two_people_approve_and_one_person_twice_does_not(law, at):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: b, approve: {people: 2, within: 1min}}]}\n"
        "  b: {go: [{event: back, to: a}]}\n"
    )
    parked = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING)
    of = parked.run.pending.approval_id

    first = step.apply(laws.compiled, parked.run, Approved(of=of, who=ANNA), at(1), NOTHING)
    again = step.apply(laws.compiled, first.run, Approved(of=of, who=ANNA), at(2), NOTHING)
    second = step.apply(laws.compiled, again.run, Approved(of=of, who=BEN), at(3), NOTHING)

    assert [s.record.kind for s in (parked, first, again, second)] == ["parked", "approved", "illegal", "moved"]
    assert parked.effects[0].people_n == 2
    assert second.run.state == "b"


def test_an_approval_that_comes_too_late_approves_nothing(law, at):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: b, approve: {within: 1min}}]}\n  b: {go: [{event: back, to: a}]}\n"
    )
    parked = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run

    late = step.apply(laws.compiled, parked, Approved(of=parked.pending.approval_id, who=BEN), at(60), NOTHING)

    assert late.record.kind == "lapsed"
    assert late.run.state == "a"
    assert late.run.pending is None


def test_an_approval_that_lapses_is_looked_at_in_time_but_moves_nothing(law, at):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: b, approve: {within: 2min}}]}\n"
        "  b: {deadline: {after: 10min, to: a}, go: [{event: go, to: a, approve: {within: 2min}}]}\n"
    ).compiled
    waits = step.apply(laws, step.start(laws, "run", at()).run, Said(event="go", who=ANNA), at(), NOTHING).run
    inside = step.apply(laws, waits, Approved(of=waits.pending.approval_id, who=BEN), at(1), NOTHING).run
    waits_inside = step.apply(laws, inside, Said(event="go", who=ANNA), at(1), NOTHING).run

    assert (due.next_look_s(laws, waits, at(3)), due.next_move_s(laws, waits, at(3))) == (117, None)
    assert (due.next_look_s(laws, waits_inside, at(4)), due.next_move_s(laws, waits_inside, at(4))) == (117, 597)


def test_an_approval_of_one_visit_is_none_of_the_next(law, at):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: b, approve: {within: 1h}}, {event: back, to: c}]}\n"
        "  b: {go: [{event: back, to: a}]}\n  c: {go: [{event: back, to: a}]}\n"
    )
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    of = run.pending.approval_id
    for _ in range(2):
        run = step.apply(laws.compiled, run, Said(event="back", who=ANNA), at(1), NOTHING).run

    stepped = step.apply(laws.compiled, run, Approved(of=of, who=BEN), at(2), NOTHING)

    assert stepped.record.kind == "illegal"
    assert stepped.run.state == "a"


INTERRUPT = (
    HEAD + "measures:\n  fire: {sensor: s, type: boolean, stale_after: 10s}\n"
    "interrupts:\n  burns: {when: fire, to: out}\n  rings: {event: alarm, to: quiet}\n"
    "states:\n  a: {go: [{event: go, to: b}]}\n"
    "  b: {tools: [lock_door], calls: 2, deadline: {after: 1h, to: a}, go: [{event: back, to: a}]}\n"
    "  out: {go: [{event: back, to: return}]}\n  quiet: {go: [{event: back, to: return}]}\n"
)


def test_an_interrupt_returns_to_where_it_was_with_its_calls_and_its_clock(law, at):
    laws = law(INTERRUPT)
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    run = step.apply(laws.compiled, run, Began(call_id="1", tool="lock_door", who=ANNA), at(1), NOTHING).run
    run = step.apply(laws.compiled, run, Ended(call_id="1", tool="lock_door", result="done"), at(2), NOTHING).run

    rung = step.apply(laws.compiled, run, Said(event="alarm", who=ANNA), at(3), NOTHING)
    burnt = step.apply(laws.compiled, rung.run, Looked(), at(4), Context(1, {"fire": Reading(value=True, at=at(4))}))
    once = step.apply(laws.compiled, burnt.run, Said(event="back", who=ANNA), at(5), NOTHING)
    twice = step.apply(laws.compiled, once.run, Said(event="back", who=ANNA), at(6), NOTHING)

    assert [s.run.state for s in (rung, burnt, once, twice)] == ["quiet", "out", "quiet", "b"]
    assert twice.record.kind == "returned"
    assert (twice.run.calls_n, twice.run.visit, twice.run.levels) == (1, run.visit, run.levels)
    assert step.apply(laws.compiled, twice.run, Looked(), at(3600), NOTHING).run.state == "a"


def test_what_is_less_urgent_does_not_break_in_on_what_is_more(law, at):
    laws = law(INTERRUPT)
    burnt = step.apply(
        laws.compiled, begun(laws, at), Looked(), at(1), Context(1, {"fire": Reading(value=True, at=at(1))})
    ).run

    rung = step.apply(laws.compiled, burnt, Said(event="alarm", who=ANNA), at(2), NOTHING)

    assert rung.run.state == "out"
    assert rung.record.kind == "held"


def test_an_emergency_leads_to_the_safe_state_and_leaves_nothing_open(law, at):
    laws = law(INTERRUPT)
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    run = step.apply(laws.compiled, run, Said(event="alarm", who=ANNA), at(1), NOTHING).run

    stepped = step.apply(laws.compiled, run, Emergency(), at(2), NOTHING)

    assert stepped.run.state == "a"
    assert (stepped.run.stack, stepped.run.owed, stepped.run.pending) == ((), (), None)


def test_a_call_that_ends_after_its_state_was_left_moves_nothing(law, at):
    laws = law(
        HEAD + "states:\n  a: {tools: [lock_door], go: [{event: go, to: b}]}\n"
        "  b: {tools: [lock_door], go: [{tool: lock_door, to: a}, {event: back, to: a}]}\n"
    )
    run = step.apply(laws.compiled, begun(laws, at), Began(call_id="1", tool="lock_door", who=ANNA), at(), NOTHING).run
    run = step.apply(laws.compiled, run, Said(event="go", who=ANNA), at(1), NOTHING).run

    ended = step.apply(laws.compiled, run, Ended(call_id="1", tool="lock_door", result="done"), at(2), NOTHING)

    assert ended.run.state == "b"
    assert "begun in another state" in ended.record.reason


DEADLINE = (
    HEAD + "states:\n  a: {go: [{event: go, to: b}]}\n  b: {deadline: {after: 1h, to: a}, go: [{event: back, to: a}]}\n"
)


@pytest.mark.parametrize(
    ("off_s", "trusted", "expected"), [(60, True, "b"), (3600, True, "a"), (60, False, "a"), (-86400, True, "a")]
)
def test_a_deadline_outlives_a_power_cut_and_what_is_not_known_is_over(law, at, off_s, trusted, expected):
    laws = law(DEADLINE)
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    written = RunState.model_validate_json(run.model_dump_json())

    resumed = step.apply(laws.compiled, written, Resumed(), at(0, boot=2, trusted=trusted, wall_s=off_s), NOTHING)

    assert resumed.run.state == expected


@pytest.mark.parametrize("jump_s", [365 * 86400, -365 * 86400])
def test_a_wall_clock_that_jumps_a_year_ends_no_deadline(law, at, jump_s):
    laws = law(DEADLINE)
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run

    assert step.apply(laws.compiled, run, Looked(), at(3599, wall_s=jump_s), NOTHING).run.state == "b"
    assert step.apply(laws.compiled, run, Looked(), at(3600, wall_s=jump_s), NOTHING).run.state == "a"


def test_a_time_of_day_is_meant_where_the_site_is_and_once_across_summer_time(law, at):
    laws = law(
        HEAD + 'states:\n  a: {go: [{at: "02:30", to: b}]}\n  b: {go: [{event: back, to: a}]}\n',
        ZoneInfo("Europe/Berlin"),
    )
    run = begun(laws, at)
    midnight_utc = 12 * 3600  # noon of the Monday plus twelve hours: 01:00 in Berlin

    before = step.apply(laws.compiled, run, Looked(), at(midnight_utc + 1.4 * 3600), NOTHING).run
    after = step.apply(laws.compiled, run, Looked(), at(midnight_utc + 1.5 * 3600), NOTHING).run

    assert (before.state, after.state) == ("a", "b")


def test_a_newer_version_takes_over_only_where_both_let_go(law, at):
    text = HEAD + "states:\n  a: {swap: true, go: [{event: go, to: b}]}\n  b: {go: [{event: back, to: a}]}\n"
    old, new = law(text).compiled, law(text.replace("version: 1", "version: 2")).compiled
    run = begun(law(text), at)
    inside = step.apply(old, run, Said(event="go", who=ANNA), at(1), NOTHING).run

    assert swap.swapped(run, old, new).version == 2
    assert swap.swapped(inside, old, new) is None
    assert "no state in which version 1 lets go" in swap.obstacle(inside, old, new)
    assert "not newer" in swap.obstacle(run, new, old)


def test_a_limit_remembers_over_a_power_cut_and_what_is_of_unknown_age_counts_as_recent(law, at):
    laws = law(
        HEAD + "states:\n  a: {tools: ['*'], go: [{event: go, to: a}]}\n"
        "rules:\n  often: {tools: [lock_door], limit: {calls: 2, per: 1h}}\n"
        "  apart: {tools: [lock_door], exclusive: {with: [unlock_door], within: 1h}}\n"
    )
    run = begun(laws, at)
    for n, tool in enumerate(["lock_door", "unlock_door", "turn_light_on"]):
        run = step.apply(laws.compiled, run, Began(call_id=str(n), tool=tool, who=ANNA), at(n), NOTHING).run

    written = RunState.model_validate_json(run.model_dump_json())
    later = at(0, boot=2, trusted=False)
    resumed = step.apply(laws.compiled, written, Resumed(), later, NOTHING).run

    assert written == run
    assert [(use.tool, use.side) for use in resumed.used["often"]] == [("lock_door", "tools")]
    assert {(use.tool, use.side) for use in resumed.used["apart"]} == {("lock_door", "tools"), ("unlock_door", "with")}
    assert {use.at.boot for uses in resumed.used.values() for use in uses} == {2}
    assert RunState.model_validate_json(resumed.model_dump_json()) == resumed


def test_a_part_ends_in_an_outcome_and_blocked_is_not_done(law, at):
    laws = law(
        HEAD + "states:\n  a: {go: [{event: go, to: held}]}\n"
        "  held: {part: p, outcomes: {done: fine, blocked: stuck}, deadline: {after: 1h, to: a}}\n"
        "  fine: {go: [{event: back, to: a}]}\n  stuck: {go: [{event: back, to: a}]}\n"
        "parts:\n  p:\n    initial: one\n    outcomes: [done, blocked]\n    states:\n"
        "      one: {go: [{event: go, to: two}, {event: alarm, to: blocked}]}\n"
        "      two: {go: [{event: go, to: done}, {event: back, to: one}]}\n"
    )
    run = step.apply(laws.compiled, begun(laws, at), Said(event="go", who=ANNA), at(), NOTHING).run
    two = step.apply(laws.compiled, run, Said(event="go", who=ANNA), at(1800), NOTHING).run
    done = step.apply(laws.compiled, two, Said(event="go", who=ANNA), at(1900), NOTHING)
    blocked = step.apply(laws.compiled, run, Said(event="alarm", who=ANNA), at(1900), NOTHING)

    assert (run.state, two.state) == ("held/one", "held/two")
    assert (done.run.state, done.record.outcome) == ("fine", "held: done")
    assert (blocked.run.state, blocked.record.outcome) == ("stuck", "held: blocked")
    # The deadline is of the whole part: it counts from when the part was entered.
    assert step.apply(laws.compiled, two, Looked(), at(3600), NOTHING).run.state == "a"
