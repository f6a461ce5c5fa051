"""Whatever a device sends, however often and in whatever order, is stored once and acknowledged only when it is."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Batch, Item, State
from appliance.fleet import enrolling, ingest
from appliance.fleet.devices import SILENT_AFTER_S, devices, presence
from appliance.fleet.home import make, open_home

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    home = make(tmp_path / "fleet", site="site")
    home.use_broker(enrolling.broker_at("127.0.0.1:1883"))
    enrolling.enrol_here(home, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    yield home
    home.close()


def batch(first, last, *, after=None, floor=0, stream="evt", epoch="e1", bodies=None, before=None):
    return Batch(
        device="lamp",
        epoch=epoch,
        stream=stream,
        after=first - 1 if after is None else after,
        floor=floor,
        items=tuple(
            Item(seq=n, id=f"{stream}-{n}", kind="turn", at=NOW, body=bodies[n] if bodies else {"n": n})
            for n in range(first, last + 1)
        ),
        before=before,
    )


def ledger(last, said="done"):
    """Bodies of a ledger's records by number."""
    return {n: {"body": json.dumps({"seq": n, "kind": "turn", "said": said})} for n in range(1, last + 1)}


def stored(home, stream="evt"):
    return [r["seq"] for r in home.db.query("select seq from records where stream = ? order by seq", [stream])]


def state(word="ready", boot=1, session=1, epoch="e1", **more):
    fields = {
        "site": "site",
        "device": "lamp",
        "state": word,
        "boot": boot,
        "session": session,
        "nonce": "n",
        "time": "trusted",
        "epoch": epoch,
        "at": NOW,
        **more,
    }
    return State(**fields)


def test_a_batch_twice_is_stored_once(home):
    first = ingest.store_batch(home, batch(1, 5), NOW)
    again = ingest.store_batch(home, batch(1, 5), NOW)

    assert (first.upto, first.new_n) == (5, 5)
    assert (again.upto, again.new_n) == (5, 0)
    assert stored(home) == [1, 2, 3, 4, 5]


def test_batches_that_overlap_are_joined(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    assert ingest.store_batch(home, batch(3, 8), NOW) == ingest.Stored(8, 3, resume=False)
    assert stored(home) == list(range(1, 9))


def test_a_missing_batch_is_asked_for_again(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    missed = ingest.store_batch(home, batch(11, 15), NOW)

    assert missed == ingest.Stored(5, 0, resume=True)
    assert stored(home) == [1, 2, 3, 4, 5]


def test_what_a_device_no_longer_has_is_a_gap(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    ingest.store_batch(home, batch(11, 12, after=5), NOW)

    gaps = [(r["first"], r["last"]) for r in home.db.query("select * from gaps")]
    assert gaps == [(6, 10)]
    assert devices(home, NOW)[0].gaps_n == 5


def test_a_controller_that_lost_everything_goes_on_from_the_floor(home):
    went_on = ingest.store_batch(home, batch(101, 110, floor=100), NOW)

    assert went_on == ingest.Stored(110, 10, resume=False)
    assert [(r["first"], r["last"]) for r in home.db.query("select * from gaps")] == [(1, 100)]


def test_a_new_epoch_begins_at_one(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    assert ingest.store_batch(home, batch(1, 2, epoch="e2"), NOW).new_n == 2


def test_numbers_that_do_not_rise_are_kept_out(home):
    good = batch(1, 2)
    bad = good.model_copy(update={"items": good.items[::-1]})

    assert ingest.store_batch(home, bad, NOW).faults
    assert stored(home) == []


def test_a_ledger_that_follows_is_stored(home):
    bodies = ledger(9)

    ingest.store_batch(home, batch(1, 4, stream="audit", bodies=bodies), NOW)
    result = ingest.store_batch(home, batch(5, 9, stream="audit", bodies=bodies), NOW)

    assert result == ingest.Stored(9, 5, resume=False)


@pytest.mark.parametrize(
    "body",
    [
        {"body": "{"},
        {"body": 5},
        {"body": "[]"},
        {},
        {"body": json.dumps({"seq": 6, "kind": "turn"})},
        {"body": json.dumps({"seq": 5, "kind": "boot"})},
        {"body": json.dumps({"seq": 5, "kind": "turn"}), "hash": "0" * 64},
    ],
    ids=str,
)
def test_a_record_that_is_not_the_one_it_says_is_kept_out(home, body):
    bodies = {**ledger(9), 5: body}

    result = ingest.store_batch(home, batch(1, 9, stream="audit", bodies=bodies), NOW)

    assert [fault.what for fault in result.faults] == ["audit_refused"]
    assert result.upto == 0
    assert stored(home, "audit") == []


def test_a_record_left_out_inside_a_batch_is_kept_out(home):
    whole = batch(1, 9, stream="audit", bodies=ledger(9))
    holed = whole.model_copy(update={"items": (*whole.items[:4], *whole.items[5:])})

    assert "missing" in ingest.store_batch(home, holed, NOW).faults[0].text
    assert stored(home, "audit") == []


def test_a_ledger_with_rows_left_out_between_batches_is_asked_for_again(home):
    bodies = ledger(9)
    ingest.store_batch(home, batch(1, 4, stream="audit", bodies=bodies), NOW)

    result = ingest.store_batch(home, batch(6, 9, after=4, stream="audit", bodies=bodies), NOW)

    assert result == ingest.Stored(4, 0, resume=True)


def test_a_record_that_comes_again_with_other_content_is_a_fork(home):
    ingest.store_batch(home, batch(1, 9, stream="audit", bodies=ledger(9)), NOW)

    rewritten = ingest.store_batch(home, batch(5, 12, stream="audit", bodies=ledger(12, "rewritten")), NOW)

    assert [fault.what for fault in rewritten.faults] == ["forked"]
    assert stored(home, "audit") == list(range(1, 10))


def test_a_state_of_an_earlier_start_or_connection_does_not_count(home):
    assert ingest.store_state(home, state(boot=2, session=3), NOW)

    assert not ingest.store_state(home, state("lost", boot=1, session=9), NOW)
    assert not ingest.store_state(home, state("lost", boot=2, session=2), NOW)
    assert devices(home, NOW)[0].state == "ready"
    assert ingest.store_state(home, state("lost", boot=2, session=3), NOW)
    assert devices(home, NOW)[0].presence == "offline"


def test_a_will_after_an_orderly_goodbye_does_not_count(home):
    ingest.store_state(home, state("disconnected"), NOW)

    assert not ingest.store_state(home, state("lost"), NOW)


def test_a_device_with_a_new_database_counts_from_one_again(home):
    ingest.store_state(home, state(boot=40), NOW)

    assert ingest.store_state(home, state(boot=1, epoch="e2"), NOW)
    assert not ingest.store_state(home, state("lost", boot=40, epoch="e1"), NOW)


def test_a_device_that_has_said_nothing_for_long_is_silent():
    seen_at = NOW.isoformat()

    assert presence("ready", seen_at, NOW + timedelta(seconds=SILENT_AFTER_S - 1)) == "online"
    assert presence("ready", seen_at, NOW + timedelta(seconds=SILENT_AFTER_S + 1)) == "silent"
    assert presence("", "", NOW) == "never seen"


def test_counters_never_repeat_also_after_a_restore(home):
    first = home.next_counter()
    ingest.store_state(home, state(counters={home.key.key_id: 500}), NOW)

    assert home.next_counter() == max(first, 500) + 1
    again = open_home(home.path)
    assert again.next_counter() == 502
    again.close()
