"""Whatever a device sends, however often and in whatever order, is stored once and acknowledged only when it is."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.envelope import Batch, Desc, Item, Response, State
from appliance.errors import UsageError
from appliance.fleet import histories, ingest, numbering
from appliance.fleet.devices import SILENT_AFTER_S, devices, presence
from appliance.fleet.home import open_home

NOW = datetime(2026, 11, 22, tzinfo=UTC)


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
    return [r["seq"] for r in home.db.rows("select seq from records where stream = ? order by seq", [stream])]


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

    assert ingest.store_batch(home, batch(3, 8), NOW)[:3] == (8, 3, False)
    assert stored(home) == list(range(1, 9))


def test_a_missing_batch_is_asked_for_again(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    missed = ingest.store_batch(home, batch(11, 15), NOW)

    assert missed[:3] == (5, 0, True)
    assert stored(home) == [1, 2, 3, 4, 5]


def test_what_a_device_no_longer_has_is_a_gap(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    ingest.store_batch(home, batch(11, 12, after=5), NOW)

    gaps = [(r["first"], r["last"]) for r in home.db.rows("select * from gaps")]
    assert gaps == [(6, 10)]
    assert devices(home, NOW)[0].gaps_n == 5


def test_a_controller_that_lost_everything_goes_on_from_the_floor(home):
    went_on = ingest.store_batch(home, batch(101, 110, floor=100), NOW)

    assert went_on[:3] == (110, 10, False)
    assert [(r["first"], r["last"]) for r in home.db.rows("select * from gaps")] == [(1, 100)]


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

    assert result[:3] == (9, 5, False)


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

    assert result[:3] == (4, 0, True)


def test_a_record_that_comes_again_with_other_content_is_a_fork(home):
    ingest.store_batch(home, batch(1, 9, stream="audit", bodies=ledger(9)), NOW)

    rewritten = ingest.store_batch(home, batch(5, 12, stream="audit", bodies=ledger(12, "rewritten")), NOW)

    assert [fault.what for fault in rewritten.faults] == ["forked"]
    assert stored(home, "audit") == list(range(1, 10))


def test_an_event_that_comes_again_with_other_content_is_a_fork_and_nothing_more_is_taken(home):
    ingest.store_batch(home, batch(1, 5), NOW)

    changed = ingest.store_batch(home, batch(3, 8, bodies={n: {"n": -n} for n in range(3, 9)}), NOW)
    after = [ingest.store_batch(home, batch(6, 9, stream=s, bodies=ledger(9)), NOW) for s in ("evt", "audit")]

    assert [fault.what for one in (changed, *after) for fault in one.faults] == ["forked"] * 3
    assert all(one.is_silent and one.new_n == 0 for one in (changed, *after))
    assert stored(home) == [1, 2, 3, 4, 5]
    assert stored(home, "audit") == []


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"status": "done", "tool": "turn_on"}, {"status": "done"}),
        ({"status": "done"}, {"status": "done", "tool": "turn_on"}),
        ({"oversized_bytes": 90_000}, {"status": "done", "text": "x" * 90}),
        ({"status": "done", "text": "x" * 90}, {"oversized_bytes": 90_000}),
    ],
    ids=["shares less now", "shares more now", "the broker takes more now", "the broker takes less now"],
)
def test_an_event_that_leaves_the_device_shorter_or_longer_is_the_same_event(home, first, again):
    ingest.store_batch(home, batch(1, 1, bodies={1: first}), NOW)

    assert ingest.store_batch(home, batch(1, 1, bodies={1: again}), NOW).faults == ()


def test_a_new_epoch_of_a_device_whose_history_is_closed_is_open(home):
    ingest.store_batch(home, batch(1, 5), NOW)
    ingest.store_batch(home, batch(1, 5, bodies={n: {"n": -n} for n in range(1, 6)}), NOW)

    assert ingest.store_batch(home, batch(1, 2, epoch="e2"), NOW).new_n == 2


def test_what_a_person_accepts_is_taken_and_what_was_here_is_set_aside(home):
    ingest.store_batch(home, batch(1, 5), NOW)
    other = {n: {"n": -n} for n in range(1, 9)}
    ingest.store_batch(home, batch(4, 8, bodies=other, floor=3), NOW)

    [decided] = histories.accept(home, "lamp", "the card was thrown away", NOW)

    assert (decided.epoch, decided.records_n) == ("e1", 5)
    taken = ingest.store_batch(home, batch(4, 8, bodies=other, floor=3), NOW)
    assert (taken.upto, taken.faults) == (8, ())
    rows = home.db.rows("select epoch, seq from records order by epoch, seq")
    assert [(r["epoch"], r["seq"]) for r in rows] == [
        *(("e1", n) for n in range(4, 9)),
        *((decided.kept_as, n) for n in range(1, 6)),
    ]
    with pytest.raises(UsageError, match="no history"):
        histories.accept(home, "lamp", "again", NOW)


def test_an_event_that_was_set_aside_and_comes_again_is_neither_taken_nor_a_fork(home):
    other = {n: {"n": -n} for n in range(1, 9)}
    ingest.store_batch(home, batch(1, 5), NOW)
    ingest.store_batch(home, batch(4, 8, bodies=other, floor=3), NOW)
    histories.accept(home, "lamp", "the card was thrown away", NOW)
    ingest.store_batch(home, batch(4, 8, bodies=other, floor=3), NOW)

    again = ingest.store_batch(home, batch(4, 5), NOW)

    assert (again.is_silent, again.faults) == (True, ())
    assert histories.closed(home) == {}


def test_what_a_person_sets_aside_is_no_ledger_that_the_device_began(home):
    for n in range(histories.MOST_A_DAY_N + 1):
        assert ingest.store_batch(home, batch(1, 2, bodies={1: {"n": n}, 2: {"n": n}}), NOW).new_n == 2
        ingest.store_batch(home, batch(1, 2, bodies={1: {"n": -1}, 2: {"n": -1}}), NOW)
        histories.accept(home, "lamp", "again", NOW)

    assert ingest.store_batch(home, batch(1, 2, epoch="e2"), NOW).new_n == 2


def test_no_device_adds_to_what_was_set_aside(home):
    refused = ingest.store_batch(home, batch(1, 3, epoch="e1 set aside 1"), NOW)

    assert [fault.what for fault in refused.faults] == ["epoch_refused"]
    assert refused.is_silent
    assert home.db.rows("select * from streams") == []


def test_a_device_that_makes_up_ledgers_is_stopped_and_may_begin_one_tomorrow(home):
    for n in range(histories.MOST_A_DAY_N):
        assert ingest.store_batch(home, batch(1, 2, epoch=f"made-up-{n}"), NOW).new_n == 2

    refused = ingest.store_batch(home, batch(1, 2, epoch="one-more"), NOW)
    known = ingest.store_batch(home, batch(3, 4, epoch="made-up-3"), NOW)
    tomorrow = ingest.store_batch(home, batch(1, 2, epoch="one-more"), NOW + timedelta(days=2))

    assert [fault.what for fault in refused.faults] == ["too_many_ledgers"]
    assert refused.is_silent
    assert (known.new_n, tomorrow.new_n) == (2, 2)


@pytest.mark.parametrize("left", ["lost", "disconnected"])
def test_nothing_of_a_connection_counts_after_it_has_ended(home, left):
    ingest.store_state(home, state(), NOW)
    ingest.store_state(home, state(left, at=NOW + timedelta(seconds=1)), NOW)

    for at in (NOW, NOW + timedelta(seconds=2)):
        assert not ingest.store_state(home, state("ready", at=at), NOW)
    assert devices(home, NOW)[0].presence == "offline"
    assert ingest.store_state(home, state("ready", session=2), NOW)


def test_a_state_that_was_said_before_is_no_sign_of_life(home):
    ingest.store_state(home, state(at=NOW + timedelta(seconds=5)), NOW)
    later = NOW + timedelta(hours=3)

    for seconds in (4, 5):
        assert not ingest.store_state(home, state(at=NOW + timedelta(seconds=seconds)), later)
    assert devices(home, later)[0].presence == "silent"
    assert ingest.store_state(home, state(at=NOW + timedelta(seconds=6)), later)
    assert devices(home, later)[0].presence == "online"


def test_a_clock_that_has_become_right_may_have_been_ahead(home):
    ingest.store_state(home, state(time="untrusted", at=NOW + timedelta(days=400)), NOW)

    assert ingest.store_state(home, state(time="trusted"), NOW)


def test_a_device_is_not_taken_back_to_a_database_that_it_has_left(home):
    ingest.store_state(home, state(boot=40), NOW)
    ingest.store_state(home, state(boot=1, epoch="e2", at=NOW + timedelta(days=1)), NOW)

    assert not ingest.store_state(home, state(boot=41), NOW)
    assert ingest.store_state(home, state(boot=41, at=NOW + timedelta(days=2)), NOW)  # its image was put back


def test_states_without_end_do_not_fill_the_database(home):
    for n in range(ingest.STATES_N + 60):
        assert ingest.store_state(home, state(epoch=f"e{n}"), NOW + timedelta(seconds=n))

    assert len(home.db.rows("select * from states")) <= ingest.STATES_N + 1
    newest = home.db.row("select epoch from states order by received_at desc limit 1")
    assert newest == {"epoch": f"e{ingest.STATES_N + 59}"}


def desc(software="1", **more):
    return Desc(**{"site": "site", "device": "lamp", "software": software, "epoch": "e1", "at": NOW, **more})


def test_an_old_description_does_not_take_the_place_of_the_new_one(home):
    day = timedelta(days=1)
    ingest.store_state(home, state(boot=2), NOW)

    assert ingest.store_desc(home, desc("2", boot=2, at=NOW + day))
    assert not ingest.store_desc(home, desc("1", boot=2))
    assert not ingest.store_desc(home, desc("1", boot=1, at=NOW + 9 * day))
    assert ingest.store_desc(home, desc("3", boot=3, at=NOW - 9 * day))  # it has started with its clock at 1970
    ingest.store_state(home, state(epoch="e2"), NOW)
    assert ingest.store_desc(home, desc("4", epoch="e2"))
    assert not ingest.store_desc(home, desc("3", boot=9, at=NOW + 9 * day))
    assert devices(home, NOW)[0].software == "4"


def test_an_answer_to_a_command_that_nobody_sent_is_not_kept(home):
    answer = Response(device="lamp", correlation="0" * 32, life="executed", status=200, code="x", at=NOW)

    assert ingest.store_answer(home, answer, NOW) is None
    assert home.db.rows("select * from answers") == []


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
    first = numbering.next_number(home, "lamp")
    ingest.store_state(home, state(counters={home.key.key_id: 500}), NOW)

    assert numbering.next_number(home, "lamp") == max(first, 500) + 1
    again = open_home(home.path)
    assert numbering.next_number(again, "lamp") == 502
    again.close()
