"""Every device is counted in its turn, whatever the others send and whatever stands in a record."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.envelope import Batch, Item
from appliance.fleet import counting, ingest
from appliance.fleet.acting import Acting

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def evt(home, devices, *, after=0, n=1, body=None, stream="evt"):
    """Let each of *devices* report *n* requests that failed."""
    said = body or {"status": "failed", "software": "0.1", "bundle_sha256": "b1"}
    items = tuple(Item(seq=after + k, id=f"i{after + k}", kind="turn", at=NOW, body=said) for k in range(1, n + 1))
    batches = [Batch(device=d, epoch="e", stream=stream, after=after, floor=0, items=items) for d in devices]
    ingest.store_batches(home, batches, NOW)


def counted(home):
    rows = home.db.rows("select device, sum(requests) as n from tallies group by device")
    return {row["device"]: int(row["n"]) for row in rows}


def faults(home):
    return {(row["device"], row["what"]) for row in home.db.rows("select device, what from faults")}


def test_fifty_devices_that_are_busy_at_once_are_all_counted_by_the_service(home):
    devices = [f"d{n:02}" for n in range(50)]
    clock_s = 0.0
    acting = Acting(home, now=lambda: NOW, chance=random.Random(1), monotonic=lambda: clock_s)
    for second in range(5):
        evt(home, devices, after=second)
        clock_s += 10.0
        acting.step()
    acting.close()

    assert counted(home) == dict.fromkeys(devices, 5)


def test_more_devices_than_one_transaction_takes_have_their_turns_though_all_go_on_sending(home):
    devices = [f"d{n:03}" for n in range(2 * counting.STREAMS_N + 50)]
    for second in range(3):
        evt(home, devices, after=second)
        counting.count(home, NOW)

    assert set(counted(home)) == set(devices)


def test_one_that_catches_up_keeps_nobody_waiting(home):
    for after in range(0, 3000, 1000):
        evt(home, ["a"], after=after, n=1000)
    evt(home, ["b", "c"])

    assert counting.count(home, NOW)

    found = counted(home)
    assert (found["b"], found["c"]) == (1, 1)
    assert 0 < found["a"] < 3000
    while counting.count(home, NOW):
        pass
    assert counted(home) == {"a": 3000, "b": 1, "c": 1}


def test_numbers_that_were_skipped_and_records_that_are_gone_hold_nothing_up(home):
    items = (Item(seq=2**53 - 1, id="i", kind="turn", at=NOW, body={"status": "done"}),)
    ingest.store_batch(
        home, Batch(device="lamp", epoch="e", stream="evt", after=2**53 - 2, floor=2**53 - 2, items=items), NOW
    )
    evt(home, ["fan"], n=3)
    home.db.execute("delete from records where device = 'fan' and seq < 3")

    assert not counting.count(home, NOW)

    assert counted(home) == {"lamp": 1, "fan": 1}
    assert home.db.rows("select device from counted where upto < 3") == []


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "x" * 100_000, ["a"], {"a": "\0"}, 10**400])
@pytest.mark.parametrize("stream", ["evt", "audit"])
def test_no_word_of_a_record_is_more_than_a_row_can_hold(home, stream, text):
    body = {"status": "done", "software": text, "bundle_sha256": text}
    if stream == "audit":
        facts = {"comes_to": "act", "versions": {"software": text, "bundle_sha256": text}}
        body = {"body": json.dumps({"facts": facts})}
    home.db.add(
        "records",
        ("device", "epoch", "stream", "seq", "id", "kind", "at", "body", "received_at"),
        [("lamp", "e", stream, 1, "i", "decided" if stream == "audit" else "turn", NOW.isoformat(), json.dumps(body),
          NOW.isoformat())],
    )  # fmt: skip
    home.db.execute("insert into streams (device, epoch, stream, upto) values ('lamp', 'e', ?, 1)", [stream])

    assert not counting.count(home, NOW)

    [row] = home.db.rows("select * from tallies")
    assert row["requests"] + row["decided"] == 1
    assert len(row["software"]) <= 64
    assert faults(home) == set()


def test_a_record_of_which_nothing_can_be_made_is_a_fault_and_hides_none_of_the_others(home):
    evt(home, ["fan", "lamp"], n=3)
    home.db.execute("update records set at = 'no time', received_at = 'nor this' where device = 'lamp' and seq = 2")

    assert not counting.count(home, NOW)

    assert counted(home) == {"fan": 3, "lamp": 2}
    assert faults(home) == {("lamp", counting.NOT_COUNTED)}
    evt(home, ["lamp"], after=3)
    counting.count(home, NOW + timedelta(seconds=1))
    assert counted(home) == {"fan": 3, "lamp": 3}
