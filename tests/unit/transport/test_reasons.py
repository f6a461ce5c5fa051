"""Every reason that a broker can give has words and a treatment, and no treatment is a flood."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from appliance.transport.backoff import PERSON_S, ROUNDS_N, SLOW_S, Backoff
from appliance.transport.reasons import TABLE, Treatment, reason

FROM_A_BROKER = (PacketTypes.CONNACK, PacketTypes.DISCONNECT, PacketTypes.PUBACK, PacketTypes.SUBACK)


def known():
    """The failures that MQTT 5 lets a broker say, as the client library knows them."""
    names = ReasonCode(PacketTypes.CONNACK).names
    return {
        code: name
        for code, meanings in names.items()
        for name, packets in meanings.items()
        if code >= 0x80 and set(packets) & set(FROM_A_BROKER)
    }


def test_no_reason_of_the_standard_is_missing():
    assert {f"0x{code:02X} {name}" for code, name in known().items() if code not in TABLE} == set()


def test_a_reason_that_nobody_knows_is_told_by_its_number_and_not_pressed():
    assert "0xEE" in reason(0xEE).words
    assert reason(0xEE).treatment is Treatment.SLOWLY


@pytest.mark.parametrize(
    ("after", "between"), [(Treatment.SLOWLY, SLOW_S), (Treatment.PERSON, PERSON_S), (Treatment.RETRY, (0.0, 2.0))]
)
def test_the_pause_is_what_the_treatment_says(after, between):
    backoff = Backoff(1.0, 120.0, 0.0, random.Random(1))
    backoff.pause(0.0)

    assert between[0] <= backoff.pause(100.0, after) <= between[1]


def test_a_session_is_fought_for_three_times_and_then_slowly():
    backoff = Backoff(1.0, 2.0, 0.0, random.Random(1))
    now_s = backoff.pause(0.0)
    pauses = []
    for _ in range(ROUNDS_N + 2):
        pauses.append(backoff.pause(now_s, Treatment.RIVAL))
        now_s += pauses[-1]

    assert max(pauses[: ROUNDS_N - 1]) <= 2.0
    assert min(pauses[ROUNDS_N - 1 :]) >= SLOW_S[0]


def lasted(seed):
    """A link of ours with its defaults, after its first good connection."""
    backoff = Backoff(1.0, 120.0, 30.0, random.Random(seed))
    backoff.pause(0.0)
    backoff.settled()
    return backoff


def test_ten_thousand_that_were_cut_off_at_once_come_back_over_thirty_seconds():
    seconds = Counter(int(lasted(seed).pause(1000.0)) for seed in range(10_000))

    assert set(seconds) == set(range(30))
    assert max(seconds.values()) < 333 + 5 * 18  # five standard deviations of a fair draw


@pytest.mark.parametrize(("failures_n", "cap_s"), [(1, 2), (3, 8), (6, 64), (7, 120), (12, 120)])
def test_ten_thousand_that_fail_again_are_spread_evenly_from_nothing_to_the_cap(failures_n, cap_s):
    tenths = Counter()
    for seed in range(10_000):
        backoff, now_s = lasted(seed), 1000.0
        for _ in range(failures_n):
            now_s += backoff.pause(now_s) + 10.0
        tenths[int(backoff.pause(now_s) / cap_s * 10)] += 1

    assert set(tenths) == set(range(10))
    assert max(abs(n - 1000) for n in tenths.values()) < 5 * 30


@given(st.integers(), st.sets(st.sampled_from(list(Treatment)), min_size=1), st.booleans(), st.floats(0.0, 30.0))
def test_no_minute_has_fifteen_attempts_whatever_the_broker_says(seed, said, hurries, longest_s):
    chance = random.Random(seed)
    backoff = Backoff(0.0, 1.0, 0.0, chance)
    now_s, attempts = 0.0, []
    for _ in range(60):
        at_s = now_s + backoff.pause(now_s, chance.choice(sorted(said)))
        if hurries:
            at_s = backoff.sooner(now_s, at_s)
        attempts.append(at_s)
        now_s = at_s + chance.uniform(0.0, longest_s)

    for first in attempts:
        assert sum(first <= at_s < first + 60.0 for at_s in attempts) < 15


def test_what_stood_in_the_way_is_gone_and_nobody_waits_on():
    backoff = Backoff(1.0, 120.0, 0.0, random.Random(1))
    backoff.pause(0.0)
    at_s = 50.0 + backoff.pause(50.0, Treatment.PERSON)

    assert backoff.sooner(60.0, at_s) == 60.0
