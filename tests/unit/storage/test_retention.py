"""Old segments go, oldest first, their roots stay, and what is left still verifies."""

import json

import pytest

from appliance.contracts.pruning import Pruned, joined
from appliance.contracts.retaining import HoldRecords, PruneRecords, ReleaseHold
from appliance.contracts.selection import Selection
from appliance.storage import audit, outbox, past, retention, tree
from appliance.storage.past import Cited
from appliance.storage.retention import Gone, Limits
from appliance.storage.tree import WIDTH
from appliance.storage.usage import prospects, usage

NOTHING_BY_AGE = Limits(quota_bytes=1, horizon=None, acked=None, with_past=True)


def step(ledger, limits=NOTHING_BY_AGE):
    return retention.step(ledger.db, limits, moment=ledger.clock.moment())


def newest_pruned(ledger):
    with ledger.db.reading() as connection:
        return retention.gone(connection)


@pytest.fixture
def full(kept_ledger):
    """Five segments under a checkpoint, and a little more."""
    ledger = kept_ledger()
    ledger.fill(5 * WIDTH)
    ledger.note = ledger.sign()
    ledger.fill(10)
    return ledger


def test_the_oldest_segment_goes_and_everything_else_verifies_against_the_old_checkpoint(full):
    before = audit.head(full.db.connection)

    assert step(full) == Gone(tree.current(full.db.connection), 1, WIDTH, "quota")

    assert full.seqs[WIDTH : WIDTH + 2] == [2 * WIDTH + 1, 2 * WIDTH + 2]
    assert tree.root(full.db.connection, before[0]).hex() == before[1]
    found = full.verdict(full.sign())
    assert (found.state, found.pruned) == ("anchored", ((WIDTH + 1, 2 * WIDTH),))


def test_the_record_of_a_pruning_restates_all_that_ever_went(full):
    step(full)
    step(full)

    said = newest_pruned(full)
    assert (said.segments, said.records_n, said.why, said.by) == (((1, 2),), WIDTH, "quota", "device")
    assert full.verdict(full.sign()).state == "anchored"


def test_what_is_not_under_a_signed_checkpoint_stays(kept_ledger):
    ledger = kept_ledger()
    ledger.fill(3 * WIDTH)

    assert step(ledger) == "unsealed"
    ledger.sign()
    assert isinstance(step(ledger), Gone)


def test_the_first_segment_stays_because_it_says_whose_ledger_it_is(full):
    while isinstance(step(full), Gone):
        pass

    assert full.seqs[:WIDTH] == list(range(1, WIDTH + 1))
    assert full.verdict(full.sign()).state == "anchored"


def test_the_configuration_that_the_oldest_records_were_decided_under_stays_until_a_newer_one_is_old_enough(
    kept_ledger,
):
    ledger = kept_ledger()
    ledger.fill(WIDTH)
    ledger.write("configured", facts={"digest": "a"})
    ledger.fill(3 * WIDTH - 2)
    assert ledger.write("configured", facts={"digest": "b"}) == 4 * WIDTH + 1
    ledger.fill(3 * WIDTH)
    ledger.sign()

    went = []
    while isinstance(gone := step(ledger), Gone):
        went.append(gone.n)

    # Segment 1 holds "a"; it goes as soon as everything left was decided under "b", with which segment 4 begins.
    assert went == [2, 3, 1, 5, 6]


def test_a_change_of_the_key_stays(kept_ledger):
    ledger = kept_ledger()
    ledger.fill(WIDTH)
    ledger.write("key_rotated", facts={"key_id": "new"})
    ledger.fill(3 * WIDTH)
    ledger.sign()

    assert step(ledger).n == 2


def test_a_request_in_doubt_keeps_its_records_until_a_person_has_looked(kept_ledger):
    ledger = kept_ledger()
    ledger.fill(WIDTH)
    request_id = ledger.decide("open the valve", settled=False)
    ledger.fill(3 * WIDTH)
    ledger.sign()

    assert step(ledger).n == 2
    ledger.db.execute(
        "update inbox set status = 'done', outcome = '{\"status\":\"done\"}' where request_id = ?", (request_id,)
    )
    assert step(ledger).n == 1


def test_what_the_controller_has_not_acknowledged_is_never_pruned(kept_ledger):
    ledger = kept_ledger(enrolled=True, quota_mb=16)
    ledger.fill(5 * WIDTH)
    ledger.sign()
    outbox.sent(ledger.db, "audit", 5 * WIDTH)
    outbox.acknowledge(ledger.db, "audit", 2 * WIDTH + 5)
    limits = ledger.retaining.limits()._replace(quota_bytes=1)

    assert step(ledger, limits).n == 1
    assert step(ledger, limits) == "unacknowledged"


def test_the_device_says_so_when_nothing_can_be_pruned_and_the_quota_comes_near(kept_ledger):
    ledger = kept_ledger(enrolled=True, quota_mb=1)
    ledger.fill(4 * WIDTH, words="w" * 600)
    ledger.sign()
    ledger.look_on()
    assert "has reached" in ledger.full
    assert "acknowledged" in ledger.full

    outbox.sent(ledger.db, "audit", 4 * WIDTH)
    outbox.acknowledge(ledger.db, "audit", 4 * WIDTH)
    ledger.look_on()
    assert ledger.full is None
    assert newest_pruned(ledger) is not None


def test_reports_give_way_to_records_and_the_ledger_says_which(kept_ledger):
    ledger = kept_ledger(enrolled=True, quota_mb=1)
    for n in range(1200):
        outbox.enqueue(ledger.db, envelope_id=f"e{n}", kind="turn", at=ledger.clock.now(), body={"n": n})
    ledger.look_on()
    assert outbox.mark(ledger.db, "evt").newest == 1200  # none goes while there is room

    ledger.fill(4 * WIDTH, words="w" * 600)
    ledger.sign()
    ledger.look_on()

    assert [row.body["n"] for row in outbox.waiting(ledger.db, "evt", limit=10)] == [1199]
    gaps = [json.loads(r["body"])["facts"] for r in ledger.db.rows("select body from audit where kind = 'gap'")]
    assert [(gap["first"], gap["last"]) for gap in gaps] == [(1, 500), (501, 1000), (1001, 1199)]


def test_the_warning_comes_before_the_quota_is_reached(kept_ledger):
    ledger = kept_ledger(enrolled=True, quota_mb=1)
    while True:
        with ledger.db.reading() as connection:
            if retention.used_bytes(connection) > 0.85 * 2**20:
                break
        ledger.fill(64, words="w" * 600)
    ledger.sign()
    ledger.look_on()

    assert "comes near" in ledger.full


def test_held_records_stay_while_newer_ones_go_and_go_when_released(full):
    held = full.retaining.handle(
        HoldRecords(records=Selection(after=WIDTH + 9, before=2 * WIDTH + 2), reason="inquiry"), "uid:1"
    )
    while isinstance(step(full), Gone):
        pass
    assert newest_pruned(full).segments == ((3, 4),)
    assert step(full) == "held"

    full.retaining.handle(ReleaseHold(hold_id=held.result["hold_id"], reason="closed"), "uid:1")
    while isinstance(step(full), Gone):
        pass
    assert newest_pruned(full).segments == ((1, 4),)
    assert full.verdict(full.sign()).state == "anchored"


def test_a_verifier_finds_a_segment_that_was_cut_out_without_a_record(full):
    full.db.execute("delete from audit where seq > ? and seq <= ?", (WIDTH, 2 * WIDTH))

    found = full.verdict(full.note)
    assert (found.state, found.bad_seq) == ("broken", WIDTH + 1)


def test_a_verifier_finds_a_root_that_was_exchanged_after_the_pruning(full):
    step(full)
    full.db.execute("update tree set hash = zeroblob(32) where level = 1 and n = 1")

    assert full.verdict(full.note).state == "broken"


def test_age_counts_from_the_newest_record_of_a_segment(kept_ledger):
    ledger = kept_ledger(keep_days=30)
    ledger.fill(2 * WIDTH)
    ledger.clock.passes(days=20)
    ledger.fill(2 * WIDTH)
    ledger.sign()
    ledger.clock.passes(days=11)
    ledger.look_on()
    assert newest_pruned(ledger).segments == ((1, 1),)

    ledger.clock.passes(days=30)
    ledger.look_on()
    # Segment 2 begins with the old records' last one, so it was as old as the newer ones.
    assert newest_pruned(ledger).segments == ((1, 3),)


def test_nothing_goes_by_age_while_nobody_vouches_for_the_clock(kept_ledger):
    ledger = kept_ledger(keep_days=1)
    ledger.fill(4 * WIDTH)
    ledger.sign()
    ledger.clock.passes(days=400)
    ledger.clock.trusted = False

    ledger.look_on()
    assert newest_pruned(ledger) is None
    assert "Nothing was pruned" in ledger.retaining.handle(PruneRecords(), "uid:1").message


def test_records_of_an_untrusted_clock_are_as_old_as_the_next_trusted_one(kept_ledger):
    ledger = kept_ledger(keep_days=30)
    ledger.fill(1)
    now = ledger.clock.at
    ledger.clock.at, ledger.clock.trusted = now.replace(year=1970), False
    ledger.fill(3 * WIDTH)
    ledger.clock.at, ledger.clock.trusted = now, True
    ledger.fill(1)
    ledger.sign()

    ledger.look_on()
    assert newest_pruned(ledger) is None
    ledger.clock.passes(days=31)
    ledger.look_on()
    assert newest_pruned(ledger).segments == ((1, 2),)


def test_a_clock_that_jumps_ten_years_ahead_prunes_no_more_than_a_week_a_day(kept_ledger):
    ledger = kept_ledger(keep_days=30)
    for _ in range(10):
        ledger.fill(WIDTH)
        ledger.clock.passes(days=10)
        ledger.look_on(5)
    ledger.sign()
    ledger.look_on()
    gone_n = len(newest_pruned(ledger).segments)
    before = newest_pruned(ledger).segments

    ledger.clock.at = ledger.clock.at.replace(year=2036)
    for _ in range(24):
        ledger.clock.passes(hours=1)
        ledger.look_on(30)

    assert gone_n == 1
    assert sum(b - a for a, b in newest_pruned(ledger).segments) - sum(b - a for a, b in before) <= 1

    said = ledger.retaining.handle(PruneRecords(), "uid:1")  # a person knows better than the device
    assert said.result["segments_n"] >= 2


def test_earlier_epochs_go_first(kept_ledger):
    ledger = kept_ledger(quota_mb=1)
    ledger.fill(2 * WIDTH + 40)
    old = tree.current(ledger.db.connection)
    past.end_epoch(ledger.db, ledger.clock.now(), Cited("restored", None))
    ledger.cut_power()
    ledger.fill(3 * WIDTH)
    ledger.sign()

    went = []
    while isinstance(gone := step(ledger), Gone):
        went.append((gone.epoch == old, gone.n))

    assert went == [(True, 0), (True, 1), (True, 2), (False, 1), (False, 2)]
    assert newest_pruned(ledger).earlier == {old: ((0, 2),)}
    assert ledger.verdict(ledger.sign()).state == "anchored"


def test_an_enrolled_device_keeps_earlier_epochs_until_a_person_says_otherwise(kept_ledger):
    ledger = kept_ledger(quota_mb=1, enrolled=True)
    ledger.fill(5 * WIDTH, words="w" * 900)
    past.end_epoch(ledger.db, ledger.clock.now(), Cited("restored", None))
    ledger.cut_power()
    ledger.write("note")
    ledger.look_on()
    assert newest_pruned(ledger) is None

    ledger.retaining.handle(PruneRecords(), "uid:1000")
    assert newest_pruned(ledger).by == "uid:1000"


def test_freed_pages_are_used_again_before_the_file_grows(kept_ledger):
    ledger = kept_ledger(quota_mb=2)
    sizes = []
    for _ in range(16):
        ledger.fill(WIDTH, words="w" * 1500)
        ledger.sign()
        ledger.look_on(120)
        ledger.db.cut_log()
        sizes.append(ledger.path.stat().st_size)

    assert max(sizes) < 4 * 2**20
    assert sizes[-1] - sizes[8] < 64 * 1024


def test_checkpoints_inside_a_pruned_segment_go_with_it(full):
    size = audit.size(full.db.connection)
    step(full)

    kept = [row["size"] for row in full.db.rows("select size from checkpoints order by size")]
    assert all(s % WIDTH == 0 or s > 2 * WIDTH for s in kept)
    assert kept[-1] <= size


def test_usage_says_how_much_there_is_and_what_stops_pruning(full):
    limits = Limits(quota_bytes=100 * 2**20, horizon=None, acked=None, with_past=True)
    step(full)
    full.retaining.handle(HoldRecords(records=Selection(after=700, before=800), reason="inquiry"), "uid:1")

    with full.db.reading() as connection:
        found = usage(connection, limits)
        stuck = usage(connection, limits._replace(quota_bytes=1, acked=5))

    assert (found.segments_sealed_n, found.segments_pruned_n, found.segments_held_n) == (5, 1, 2)
    assert found.records_n == len(full.seqs)
    assert (found.stop, found.prunable) == ("", False)
    assert "acknowledged" in stuck.stop


def test_a_look_that_costs_little_says_about_the_same_as_one_that_counts(full):
    limits = Limits(quota_bytes=100 * 2**20, horizon=None, acked=None, with_past=True)
    full.clock.passes(days=3)
    full.fill(WIDTH)

    with full.db.reading() as connection:
        counted, found = usage(connection, limits), prospects(connection, limits.quota_bytes)

    assert found.oldest_at == counted.oldest_at
    assert counted.days_left > 100
    assert found.days_left == pytest.approx(counted.days_left, rel=0.02)


def test_a_look_that_costs_little_tells_what_was_pruned_and_what_is_held(full):
    step(full)
    full.retaining.handle(HoldRecords(records=Selection(after=700, before=800), reason="inquiry"), "uid:1")

    with full.db.reading() as connection:
        found = prospects(connection, 2**30)

    assert (found.pruned_n, found.holds_n) == (WIDTH, 1)


def test_without_a_trusted_clock_nobody_knows_how_long_the_room_lasts(kept_ledger):
    ledger = kept_ledger()
    ledger.fill(10)
    ledger.clock.passes(days=3)
    ledger.clock.trusted = False
    ledger.fill(10)

    with ledger.db.reading() as connection:
        assert prospects(connection, 2**30).days_left is None


def test_runs_of_segments_are_joined():
    runs = ()
    for n in (5, 1, 3, 2, 9, 4):
        runs = joined(runs, n)

    assert runs == ((1, 5), (9, 9))


def test_the_landmarks_are_found_through_their_index(full):
    sql = f"select body from audit where {retention.LANDMARKS} and kind = 'pruned' order by seq desc limit 1"
    plan = full.db.rows(f"explain query plan {sql}")

    assert "audit_landmarks" in plan[0]["detail"]


def test_the_facts_of_a_pruned_record_are_of_their_form(full):
    step(full)

    body = json.loads(full.db.row("select body from audit where kind = 'pruned'")["body"])
    assert Pruned.model_validate(body["facts"], strict=False).segments == ((1, 1),)
