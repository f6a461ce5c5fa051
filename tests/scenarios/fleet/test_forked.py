"""One device with two histories (a card that was copied, an image that was put back): neither loses anything to the
other, nothing is acknowledged that is not here, and a person decides."""

import importlib.util
import shutil
import time
from pathlib import Path

from appliance.contracts.enrolment import Role
from appliance.fleet import enrolling, histories
from appliance.fleet.standing import standing
from appliance.storage import outbox


def _rig():
    path = Path(__file__).parents[2] / "rigs" / "fleet_rig.py"
    spec = importlib.util.spec_from_file_location("fleet_rig", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lived(fleet, device, name, n):
    """Let *device* make *n* events and records."""
    for k in range(n):
        device.note({"by": name, "n": k})
        device.event(f"{name}-{k}")


def settled(fleet, device, evt):
    """Wait until everything of *device* is acknowledged."""
    fleet.until(lambda: outbox.mark(device.db, "evt").acked == evt)
    fleet.until(lambda: outbox.mark(device.db, "audit").acked == outbox.mark(device.db, "audit").newest)


def ids(fleet, epoch):
    rows = fleet.home.db.rows("select id from records where stream = 'evt' and epoch = ? order by seq", [epoch])
    return [row["id"] for row in rows]


def copied(fleet, name):
    """A device whose home was copied while it was off."""
    first = fleet.device("lamp")
    fleet.collect()
    lived(fleet, first, "both", 4)
    settled(fleet, first, 4)
    first.stop()
    shutil.copytree(first.home, fleet.folder / name)
    second = _rig().DeviceRig(fleet.folder / name)
    fleet.devices.append(second)
    return first, second


def stopped(device):
    device.stop()
    device.db = None


def test_of_a_copied_card_the_second_history_is_neither_taken_nor_acknowledged_and_stays_where_it_is(fleet):
    first, copy = copied(fleet, "copy")
    copy.start()
    epoch = copy.downlink._epoch
    lived(fleet, copy, "copy", 2)
    settled(fleet, copy, 6)
    stopped(copy)
    here = [(row["stream"], row["seq"], row["body"]) for row in fleet.records("evt") + fleet.records("audit")]

    first.start()
    lived(fleet, first, "first", 3)
    fleet.until(lambda: fleet.home.db.row("select 1 as one from faults where what = 'forked'") is not None)
    fleet.until(lambda: outbox.mark(first.db, "evt").sent == 7)
    end_s = time.monotonic() + 3.0  # longer than it takes to send the window again
    fleet.until(lambda: time.monotonic() > end_s)

    assert [row.envelope_id for row in outbox.waiting(first.db, "evt", limit=99)] == ["first-0", "first-1", "first-2"]
    assert outbox.mark(first.db, "evt").acked == 4
    assert [(r["stream"], r["seq"], r["body"]) for r in fleet.records("evt") + fleet.records("audit")] == here
    assert ids(fleet, epoch)[4:] == ["copy-0", "copy-1"]
    [closed] = standing(fleet.home, "lamp").closures
    assert (closed["epoch"], closed["accepted_at"]) == (epoch, None)


def test_an_acknowledgement_for_the_copy_frees_nothing_of_the_first_and_is_written_down_once(fleet):
    first, copy = copied(fleet, "copy")
    copy.start()
    lived(fleet, copy, "copy", 3)
    settled(fleet, copy, 7)
    stopped(copy)
    fleet.stop_collecting()
    first.start()
    lived(fleet, first, "first", 3)
    fleet.until(lambda: outbox.mark(first.db, "evt").sent == 7)

    # A collector greets with what it has: that is what the copy has brought.
    fleet.collect()
    fleet.until(lambda: any("another history" in row["body"] for row in first.db.rows("select body from audit")))

    assert outbox.mark(first.db, "evt").acked == 4
    said = [row["body"] for row in first.db.rows("select body from audit") if "another history" in row["body"]]
    assert 1 <= len(said) <= 2  # one for each stream at most


def test_a_person_accepts_what_the_device_says_now_and_what_was_here_stays(fleet):
    first, copy = copied(fleet, "copy")
    copy.start()
    epoch = copy.downlink._epoch
    lived(fleet, copy, "copy", 2)
    settled(fleet, copy, 6)
    stopped(copy)
    first.start()
    lived(fleet, first, "first", 3)
    fleet.until(lambda: fleet.home.db.row("select 1 as one from faults where what = 'forked'") is not None)

    [decided] = histories.accept(fleet.home, "lamp", "the copy was destroyed", fleet.now())

    first.uplink.wake()
    settled(fleet, first, 7)
    assert ids(fleet, epoch) == ["first-0", "first-1", "first-2"]
    assert ids(fleet, decided.kept_as)[4:] == ["copy-0", "copy-1"]
    first.checkpointer.sign()
    fleet.until(
        lambda: (
            fleet.home.db.row("select 1 as one from checkpoints where epoch = ? and checked = 1", [epoch]) is not None
        )
    )
    known = standing(fleet.home, "lamp")
    assert [closed["reason"] for closed in known.closures] == ["the copy was destroyed"]
    assert {one["standing"] for one in known.epochs} == {"set aside", "accepted by a person"}


def test_a_role_that_may_not_acknowledge_does_not_and_the_device_does_not_feed_itself(fleet):
    enrolling.enrol_here(
        fleet.home, fleet.folder / "aud", device="aud", role=Role.AUDITOR, replace=False, now=fleet.now()
    )
    device = _rig().DeviceRig(fleet.folder / "aud").start()
    fleet.devices.append(device)
    acks = fleet.tap("edge/v1/site/aud/ack")
    fleet.collect()
    fleet.until(lambda: fleet.home.db.row("select state from devices where device = 'aud'")["state"] == "ready")
    device.event("e")
    before = outbox.mark(device.db, "audit").newest

    end_s = time.monotonic() + 2.0
    fleet.until(lambda: time.monotonic() > end_s)
    acks.pump(0.1)

    assert acks.heard == []
    assert device.refused == []
    assert outbox.mark(device.db, "audit").newest == before
