"""What a simulation counts, and that it sees what is lost, doubled or flapping."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.simulation.broker import came, most_in_a_minute
from appliance.simulation.tally import Tally, counted, lines, percentile


def row(stream, device, number, *, kind="turn", epoch="e"):
    body = {"n": number} if stream == "evt" else {}
    return json.dumps({"stream": stream, "device": device, "epoch": epoch, "seq": number, "kind": kind, "body": body})


def test_an_event_kept_twice_is_seen_whatever_number_it_has():
    twice = json.dumps(
        {"stream": "evt", "device": "a", "epoch": "e", "seq": 9, "kind": "turn", "body": json.dumps({"n": 1})}
    )

    found = counted([row("evt", "a", 1), row("evt", "b", 1), twice, row("audit", "a", 1), row("audit", "a", 1)])

    assert (found.events, found.distinct, found.records, found.twice) == (3, 2, 1, 2)


def tally(**changes):
    fields = dict.fromkeys(Tally.model_fields, 0)
    times = {name: 0.0 for name in Tally.model_fields if name.endswith("_s")}
    return Tally(**{**fields, **times, "devices": 2, "connected": 2, "group_answered": 2, **changes})


def test_a_record_of_a_ledger_that_does_not_arrive_is_lost_too():
    found = tally(records_made=10, records_kept=9)

    assert found.records_lost == 1
    assert not found.is_good
    assert "9 of 10 ledger records, 1 lost" in lines(found)[1]
    assert tally(records_made=10, records_kept=11).is_good  # written after it was asked


def test_other_events_are_not_those_of_the_simulation():
    assert counted([row("evt", "a", 1, kind="health")]).events == 0


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values, share):
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values) or found == min(values)


def test_there_is_no_percentile_of_nothing():
    assert percentile([], 0.5) is None


@given(st.lists(st.integers(0, 300), max_size=60))
def test_the_most_in_a_minute_is_what_a_window_over_every_second_finds(times):
    windows = [sum(begin <= at < begin + 60 for at in times) for begin in range(-60, 301)]

    assert most_in_a_minute(times) == max(windows)


@pytest.mark.parametrize(
    "line",
    [
        "1700000000: New client connected from 127.0.0.1:50022 as sim-00001 (p5, c0, k60).",
        "1700000000: New client connected from 127.0.0.1:50022 as sim-00001 (p5, c0, k60, u'x').",
    ],
)
def test_the_brokers_log_says_who_came_and_when(line):
    log = [line, "1700000000: New connection from 127.0.0.1:50022 on port 1883.", "1700000001: Client x closed."]

    assert came(log) == {"sim-00001": [1_700_000_000]}
