"""What is old, or more than there shall be, goes; what proves something stays."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts import tree
from appliance.contracts.envelope import Batch, Item, Response
from appliance.fleet import histories, ingest, ledgers, retention
from appliance.fleet.devices import devices
from appliance.fleet.home import KeepSettings
from appliance.fleet.ledgers import Root
from appliance.fleet.standing import standing

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)


def text(seq, said="done"):
    return json.dumps({"seq": seq, "kind": "turn", "facts": {"said": said}})


def root(size, said="done"):
    return Root(
        "e1", size, tree.root(size, tree.over([tree.leaf_hash(text(n, said).encode()) for n in range(1, size + 1)]))
    )


def report(home, first, last, at, *, device="lamp", stream="evt", said="done"):
    bodies = {n: {"body": text(n, said)} if stream == "audit" else {"text": "x" * 1000} for n in range(first, last + 1)}
    items = tuple(Item(seq=n, id=f"i{n}", kind="turn", at=NOW, body=bodies[n]) for n in bodies)
    batch = Batch(device=device, epoch="e1", stream=stream, after=first - 1, floor=0, items=items)
    return ingest.store_batch(home, batch, at)


def here(home, stream="evt", device="lamp"):
    rows = home.db.rows("select seq from records where stream = ? and device = ? order by seq", [stream, device])
    return [row["seq"] for row in rows]


def prune(home, at=NOW, **keep):
    home.use_retention(KeepSettings(**keep))
    while retention.prune(home, at):
        pass


def test_nothing_goes_unless_somebody_says_so(home):
    report(home, 1, 50, NOW - 9999 * DAY)

    prune(home)

    assert here(home) == list(range(1, 51))


def test_what_is_older_than_that_goes_and_what_is_acknowledged_stays_acknowledged(home):
    report(home, 1, 50, NOW - 10 * DAY)
    report(home, 51, 60, NOW - 2 * DAY)

    prune(home, days=5)

    assert here(home) == list(range(51, 61))
    assert ingest.reached(home, "lamp", "e1", "evt") == 60
    again = report(home, 1, 60, NOW)
    assert (again.upto, again.new_n, again.resume) == (60, 0, False)
    assert here(home) == list(range(51, 61))


def test_the_oldest_of_all_devices_go_first_when_there_is_too_much(home):
    report(home, 1, 900, NOW - 3 * DAY)
    report(home, 1, 900, NOW - 2 * DAY, device="fan")

    prune(home, bytes=1_000_000)

    assert retention.kept(home).bytes <= 1_000_000
    assert here(home, device="fan")[-1] == 900
    assert len(here(home, device="fan")) > len(here(home))
    size = sum(len(row["body"].encode()) for row in home.db.rows("select body from records"))
    assert retention.kept(home)[:2] == (len(here(home)) + len(here(home, device="fan")), size)


def test_of_a_ledger_only_whole_runs_that_were_signed_for_go_and_the_rest_still_verifies(home):
    for first in range(1, 1001, 500):
        report(home, first, first + 499, NOW - 10 * DAY, stream="audit")
    ingest.store_checkpoint(home, "lamp", root(700), "note", NOW - 10 * DAY)

    prune(home, days=5)

    assert here(home, "audit") == list(range(513, 1001))
    new, faults = ingest.store_checkpoint(home, "lamp", root(999), "note", NOW)
    assert (new, faults) == (True, [])
    assert [e["first"] for e in standing(home, "lamp").epochs] == [513]
    assert home.db.rows("select size from checkpoints where checked <> 1") == []


def test_answers_are_within_the_bound_too_and_the_newest_stay(home):
    for n in range(30):
        home.db.execute("insert into commands (correlation, device) values (?, 'lamp')", [f"{n:032x}"])
        answer = Response(
            device="lamp", correlation=f"{n:032x}", life="executed", status=200, code="x", text="y" * 9_000, at=NOW
        )
        ingest.store_answer(home, answer, NOW + timedelta(seconds=n))

    prune(home, bytes=1_000_000)

    left = [row["correlation"] for row in home.db.rows("select correlation from answers order by correlation")]
    assert left == [f"{n:032x}" for n in range(19, 30)]
    assert retention.kept(home).answers_n == 11


def test_a_ledger_that_nobody_signed_for_stays_whole(home):
    report(home, 1, 600, NOW - 10 * DAY, stream="audit")

    prune(home, days=5, bytes=1_000_000)

    assert len(here(home, "audit")) == 600


def test_a_rewritten_history_is_noticed_after_its_records_went(home):
    report(home, 1, 600, NOW - 10 * DAY, stream="audit")
    ingest.store_checkpoint(home, "lamp", root(600), "note", NOW - 10 * DAY)
    prune(home, days=5)

    _, faults = ingest.store_checkpoint(home, "lamp", root(590, "other"), "note", NOW)

    assert [fault.what for fault in faults] == [ledgers.FORKED]


def test_the_evidence_against_a_device_stays_and_nothing_of_it_with_the_others(home):
    for device in ("lamp", "fan"):
        report(home, 1, 512, NOW - 10 * DAY, stream="audit", device=device)
        report(home, 1, 20, NOW - 10 * DAY, device=device)
        for size in (300, 512):
            ingest.store_checkpoint(home, device, root(size), "note", NOW - 10 * DAY)
    ingest.store_checkpoint(home, "fan", root(400, "other"), "note", NOW - 10 * DAY)

    prune(home, days=5, bytes=1_000_000)

    assert (here(home, "audit"), here(home)) == ([], [])
    assert (len(here(home, "audit", "fan")), len(here(home, device="fan"))) == (512, 20)
    kept = home.db.rows("select device, size from checkpoints order by device, size")
    assert [(row["device"], row["size"]) for row in kept] == [("fan", 300), ("fan", 400), ("fan", 512), ("lamp", 512)]
    assert retention.kept(home).flagged == ("fan",)


def test_after_an_acceptance_the_device_is_pruned_again_and_what_was_set_aside_stays(home):
    report(home, 1, 512, NOW - 10 * DAY, stream="audit")
    for first in (1, 551):  # more than is kept of all others
        report(home, first, first + 549, NOW - 10 * DAY)
    for size in (300, 512):
        ingest.store_checkpoint(home, "lamp", root(size), "note", NOW - 10 * DAY)
    ingest.store_checkpoint(home, "lamp", root(400, "other"), "note", NOW - 10 * DAY)
    [decided] = histories.accept(home, "lamp", "the copy was destroyed", NOW - 9 * DAY)
    report(home, 1, 512, NOW - 9 * DAY, stream="audit", said="other")
    report(home, 1, 20, NOW - 9 * DAY)
    ingest.store_checkpoint(home, "lamp", root(512, "other"), "note", NOW - 9 * DAY)
    report(home, 21, 30, NOW)

    prune(home, days=5, bytes=1_000_000)

    rows = home.db.rows("select epoch, stream, count(*) as n from records group by epoch, stream order by 1, 2")
    assert [tuple(row.values()) for row in rows] == [
        ("e1", "evt", 10), (decided.kept_as, "audit", 512), (decided.kept_as, "evt", 1100),
    ]  # fmt: skip
    kept = home.db.rows("select epoch, size from checkpoints order by epoch, size")
    assert [tuple(row.values()) for row in kept] == [
        ("e1", 512), (decided.kept_as, 300), (decided.kept_as, 400), (decided.kept_as, 512),
    ]  # fmt: skip
    assert retention.kept(home).flagged == ()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_an_interruption_between_two_portions_loses_nothing_that_stays(home, cut):
    report(home, 1, 900, NOW - 10 * DAY)
    report(home, 901, 1000, NOW)
    home.use_retention(KeepSettings(days=5))

    for _ in range(cut):
        retention.prune(home, NOW)

    assert here(home)[-100:] == list(range(901, 1001))


def test_what_has_no_number_goes_in_portions_and_the_young_stay(home):
    many = retention._AGED_N + 10
    with home.writing():
        for name, at in (("old", NOW - 10 * DAY), ("young", NOW)):
            home.db.add(
                "answers", ("device", "correlation", "life", "received_at"),
                [("lamp", f"{name}{n}", "executed", at.isoformat()) for n in range(many)],
            )  # fmt: skip
    home.use_retention(KeepSettings(days=5))

    assert retention.prune(home, NOW)
    assert not retention.prune(home, NOW)

    assert home.db.row("select count(*) as n from answers")["n"] == many


def test_streams_of_which_nothing_may_go_keep_nobody_from_being_reached(home):
    with home.writing():
        for n in range(retention._PAGE_N + 5):
            report(home, 1, 1, NOW - 20 * DAY, device=f"a{n:03}", stream="audit")
    report(home, 1, 5, NOW - 10 * DAY)

    prune(home, days=5)

    assert here(home) == []
    assert retention.kept(home).records_n == retention._PAGE_N + 5


def test_what_comes_after_everything_went_is_as_old_as_it_is(home):
    report(home, 1, 5, NOW - 10 * DAY)
    prune(home, days=5)
    report(home, 6, 9, NOW)

    prune(home, days=5)
    prune(home, NOW + 6 * DAY, days=5)

    assert here(home) == []
    assert retention.kept(home).records_n == 0


def test_numbers_that_a_device_made_up_are_not_counted_as_records(home):
    items = tuple(Item(seq=n, id="i", kind="turn", at=NOW, body={}) for n in (2**53 - 2, 2**53 - 1))
    with home.writing():
        home.db.add(
            "streams", ("device", "epoch", "stream", "upto", "bytes", "seen_at"),
            [("lamp", f"f{n}", "evt", 2**53 - 1, 0, (NOW - 9 * DAY).isoformat()) for n in range(1100)],
        )  # fmt: skip
        home.db.add(
            "gaps", ("device", "epoch", "stream", "first", "last", "noticed_at"),
            [("lamp", f"f{n}", "evt", 1, 2**53 - 1, NOW.isoformat()) for n in range(1100)],
        )  # fmt: skip
    batch = Batch(device="lamp", epoch="e1", stream="evt", after=2**53 - 3, floor=2**53 - 3, items=items)
    ingest.store_batch(home, batch, NOW)

    assert retention.kept(home).records_n == 2
    assert devices(home, NOW)[0].gaps_n > 2**63
