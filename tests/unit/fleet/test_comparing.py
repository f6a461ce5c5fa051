"""Shares with their intervals, and records that are counted once whatever counts them."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts.envelope import Batch, Item
from appliance.fleet import acting_views, comparing, counting, ingest
from appliance.fleet.comparing import Rate

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def evt(home, *bodies, after=0, kind="turn"):
    items = tuple(
        Item(seq=after + n, id=f"i{after + n}", kind=kind, at=NOW, body=body) for n, body in enumerate(bodies, 1)
    )
    batch = Batch(device="lamp", epoch="e", stream="evt", after=after, floor=0, items=items)
    ingest.store_batch(home, batch, NOW)


def turn(status, bundle="b1"):
    return {"status": status, "bundle_sha256": bundle, "software": "0.1"}


def decision(**facts):
    versions = {"versions": {"software": "0.1", "bundle_sha256": "b1"}, "comes_to": "act"}
    return {"body": json.dumps({"facts": {**versions, **facts}})}


# From R's `prop.test(k, n, correct = FALSE)`, which gives Wilson's interval.
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775328), (5, 10, 0.2365931, 0.7634069), (95, 100, 0.8882464, 0.9784563), (10, 10, 0.7224672, 1.0)],
)
def test_the_interval_is_wilsons(k, n, low, high):
    assert Rate(k, n).interval() == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_an_interval_holds_its_share_and_lies_between_none_and_all(k, more):
    low, high = Rate(k, k + more).interval()

    assert 0.0 <= low <= Rate(k, k + more).share <= high <= 1.0 or k + more == 0
    assert not math.isnan(low + high)


def test_versions_are_compared_by_what_was_reported_under_them(home):
    evt(home, *[turn("done")] * 90, *[turn("refused")] * 10)
    evt(home, *[turn("done", "b2")] * 10, *[turn("failed", "b2")] * 60, *[turn("indeterminate", "b2")] * 30, after=100)
    while counting.count(home, NOW):
        pass

    one, other = comparing.versions(home, {"lamp"})

    assert {(v.bundle, v.success, v.refusal, v.failure) for v in (one, other)} == {
        ("b1", Rate(90, 100), Rate(10, 100), Rate(0, 100)),
        ("b2", Rate(10, 100), Rate(0, 100), Rate(90, 100)),
    }
    text = "\n".join(acting_views.version_lines([one, other]))
    assert "success of b1 0.1 and b2 0.1 differ" in text
    assert "correction of" not in text
    assert comparing.versions(home, set()) == []


def test_a_record_is_counted_once_also_when_more_come_in_between(home):
    evt(home, turn("done"), turn("waiting"), turn("done"))
    counting.count(home, NOW)
    counting.count(home, NOW)
    evt(home, turn("refused"), after=3)
    counting.count(home, NOW)

    (found,) = comparing.versions(home, {"lamp"})
    assert (found.success, found.refusal) == (Rate(2, 3), Rate(1, 3))


def test_more_records_than_one_transaction_takes_are_all_counted(home):
    for first in range(0, 1200, 400):
        evt(home, *[turn("done")] * 400, after=first)
    while counting.count(home, NOW):
        pass

    assert comparing.versions(home, {"lamp"})[0].success == Rate(1200, 1200)


@pytest.mark.parametrize(
    ("kind", "facts", "counts", "alarm"),
    [
        ("decided", {}, ("decided",), ""),
        ("decided", {"undoes": "r1"}, ("decided", "corrected"), ""),
        ("decided", {"approval": {"edited": ["level"]}}, ("decided", "corrected"), ""),
        ("decided", {"approval": {"edited": []}}, ("decided",), ""),
        ("parked", {}, (), ""),
        ("bundle", {"event": "sent back"}, (), "a bundle was sent back"),
        ("bundle", {"event": "installed"}, (), ""),
        ("emergency", {"latched": True}, (), "an emergency stop"),
        ("emergency", {"latched": False}, (), ""),
    ],
)
def test_what_a_record_of_the_ledger_says(kind, facts, counts, alarm):
    found = counting.told("audit", kind, decision(**facts))

    assert (found.counts, found.alarm) == (counts, alarm)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["body", "facts", "versions", "comes_to", "approval", "status", "undoes"])


@given(
    st.sampled_from(["evt", "audit"]), st.sampled_from(["turn", "decided", "bundle", "settled"]),
    st.dictionaries(_KEYS, _JSON),
)  # fmt: skip
def test_no_body_of_any_form_ends_the_counting(stream, kind, body):
    inner = {**body, "body": json.dumps({"facts": body})}

    assert counting.told(stream, kind, body).alarm == ""
    assert set(counting.told(stream, kind, inner).counts) <= set(counting.COLUMNS)
