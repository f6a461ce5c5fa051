"""A refusal is taken as its treatment says, and forgotten only when it is over."""

import random

import pytest

from appliance.contracts.enrolment import BrokerSettings
from appliance.transport.backoff import PERSON_S, SLOW_S
from appliance.transport.patience import LASTING_S, RIVAL_LASTING_S, Patience
from appliance.transport.reasons import UNSAID, reason


@pytest.fixture
def patience():
    return Patience(BrokerSettings(host="broker"), random.Random(1))


@pytest.mark.parametrize(("code", "between"), [(0x97, SLOW_S), (0x87, PERSON_S), (0x80, (0.0, 1.0))])
def test_a_refused_publication_holds_back_for_as_long_as_its_reason_says(patience, code, between):
    patience.published(reason(code), 100.0)

    assert patience.holds(100.0 + between[0])
    assert not patience.holds(100.0 + between[1])


def test_what_was_on_its_way_beside_a_refused_publication_changes_nothing(patience):
    patience.published(reason(0x97), 0.0)

    patience.published(None, 1.0)
    patience.published(reason(0x87), 1.0)

    assert patience.holds(SLOW_S[0])
    assert not patience.holds(SLOW_S[1])
    assert patience.trouble.code == 0x97


def test_a_publication_that_is_taken_after_the_pause_ends_the_trouble(patience):
    patience.published(reason(0x97), 0.0)

    patience.published(None, SLOW_S[1])

    assert patience.trouble is None


def test_no_minute_has_fifteen_rounds_of_refusals_that_may_pass(patience):
    now_s, rounds_n = 0.0, 0
    while now_s < 60.0:
        if not patience.holds(now_s):
            patience.published(reason(0x80), now_s)
            rounds_n += 1
        now_s += 0.01

    assert rounds_n < 15


def test_a_refused_subscription_outlasts_any_connection_and_ends_with_being_granted(patience):
    patience.subscribed({"a/#": reason(0x87), "b/#": reason(0x97)})

    assert patience.lasts(LASTING_S + 1)
    assert patience.trouble.words.endswith("(subscription to a/#)")
    patience.subscribed({"b/#": reason(0x97)})
    assert patience.trouble.words.endswith("(subscription to b/#)")
    patience.subscribed({})
    assert patience.trouble is None


def test_a_refused_connection_is_forgotten_once_one_has_lasted(patience):
    patience.refused(reason(0x89))

    assert not patience.lasts(LASTING_S)
    assert patience.trouble is not None
    assert patience.lasts(LASTING_S + 1)
    assert patience.trouble is None


def test_three_short_connections_that_end_without_a_word_are_a_rival(patience):
    for _ in range(2):
        patience.ended(good=False, unsaid=True)
        assert patience.pause(0.0) <= 30.0
        assert patience.trouble is None

    patience.ended(good=False, unsaid=True)

    assert patience.trouble == UNSAID
    assert SLOW_S[0] <= patience.pause(100.0) <= SLOW_S[1]


def test_a_wire_that_breaks_is_no_rival_and_hides_none(patience):
    for _ in range(20):
        patience.ended(good=False, unsaid=False)
    assert patience.trouble is None

    for unsaid in (True, False, True, False, True):
        patience.ended(good=False, unsaid=unsaid)
        wait_s = patience.pause(0.0)
    assert patience.trouble == UNSAID
    assert SLOW_S[0] <= wait_s <= SLOW_S[1]


def test_a_good_connection_in_between_is_the_end_of_counting(patience):
    for _ in range(4):
        patience.ended(good=False, unsaid=True)
        assert patience.trouble is None
        patience.ended(good=patience.lasts(LASTING_S + 1), unsaid=True)


def test_a_rival_that_is_patient_too_is_not_called_gone_before_it_would_be_back(patience):
    for _ in range(3):
        patience.ended(good=False, unsaid=True)

    assert not patience.lasts(SLOW_S[1])
    assert patience.trouble == UNSAID
    assert patience.lasts(RIVAL_LASTING_S + 1)
    assert patience.trouble is None
