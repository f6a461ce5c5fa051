"""A bundle on trial passes, goes on, or goes back, by what happened in it."""

from datetime import UTC, datetime

import pytest

from appliance.agent import trial as trials
from appliance.agent.trial import Fared
from appliance.contracts.slots import Trial, TrialLimits

NOW = datetime(2026, 11, 23, tzinfo=UTC)
USUAL = TrialLimits()
TRIAL_S, LONGEST_S, LEAST_N = USUAL.least_s, USUAL.longest_s, USUAL.least_n


def judge(found, fared, limits=USUAL):
    return trials.judge(found, fared, limits)


def trial(**more):
    return Trial(began_at=NOW, since_seq=1, usual_n=200, usual_refused_n=40, **more)


@pytest.mark.parametrize(
    ("powered_s", "n", "what"),
    [
        (0.0, 0, "goes on"),
        (TRIAL_S - 1, 500, "goes on"),
        (TRIAL_S, LEAST_N - 1, "goes on"),
        (TRIAL_S, LEAST_N, "passed"),
        (LONGEST_S, 0, "passed"),
    ],
)
def test_it_passes_after_a_day_of_use_or_a_week_of_silence(powered_s, n, what):
    assert judge(trial(powered_s=powered_s), Fared(n, 0, 0)).what == what


@pytest.mark.parametrize(
    ("n", "refused_n", "what"),
    [
        (9, 9, "goes on"),  # too few to tell
        (10, 3, "goes on"),
        (10, 5, "goes on"),  # may be chance: 20% are usual
        (10, 8, "goes back"),
        (100, 30, "goes on"),
        (100, 45, "goes back"),
    ],
)
def test_it_goes_back_when_more_is_refused_than_chance_explains(n, refused_n, what):
    assert judge(trial(), Fared(n, refused_n, 0)).what == what


def test_whoever_had_everything_refused_before_has_not_switched_the_gate_off():
    spoilt = trial().model_copy(update={"usual_refused_n": 200})

    assert trials.usual(spoilt) == trials.USUAL_MOST
    assert judge(spoilt, Fared(100, 90, 0)).what == "goes back"
    assert judge(spoilt, Fared(100, 60, 0)).what == "goes on"


def test_three_crashes_go_back_even_at_the_end_of_a_good_trial():
    assert judge(trial(crashes_n=2, powered_s=LONGEST_S), Fared(50, 5, 0)).what == "passed"
    verdict = judge(trial(crashes_n=3, powered_s=LONGEST_S), Fared(50, 5, 0))
    assert (verdict.what, verdict.why) == ("goes back", "the appliance ended 3 times without notice")


def test_faults_go_back():
    assert judge(trial(), Fared(0, 0, 2)).what == "goes on"
    assert judge(trial(), Fared(0, 0, 3)).what == "goes back"


def test_switching_the_machine_off_is_not_held_against_it_for_long():
    assert judge(trial(cuts_n=9), Fared(0, 0, 0)).what == "goes on"
    assert judge(trial(cuts_n=10), Fared(0, 0, 0)).what == "goes back"


def test_an_owner_may_ask_for_a_longer_trial_and_a_narrower_gate():
    strict = TrialLimits(least_s=2 * TRIAL_S, longest_s=14 * TRIAL_S, least_n=50, worse=0.02)

    assert judge(trial(powered_s=TRIAL_S), Fared(49, 5, 0), strict).what == "goes on"
    assert judge(trial(powered_s=2 * TRIAL_S), Fared(50, 5, 0), strict).what == "passed"
    assert judge(trial(), Fared(100, 35, 0)).what == "goes on"
    assert judge(trial(), Fared(100, 35, 0), strict).what == "goes back"
