"""Two slots and one file: what decides is always whole, and a return always has somewhere to go."""

import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.bundle import Admitted
from appliance.contracts.slots import Returned, Slots, Trial
from appliance.trust.slots import Shelf

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TRIAL = Trial(began_at=NOW, since_seq=0)


def admitted(n):
    return Admitted(sha256=f"{n:064x}", name="pointer-small", version=f"0.{n}.0", release=n, expires_at=NOW, signers=())


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "bundles")


def arrive(shelf, slot, n):
    folder = shelf.clear() / "bundle"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(str(n))
    return shelf.put(slot, admitted(n))


def test_without_a_file_what_shipped_decides(shelf):
    assert shelf.read() == Slots()
    assert not shelf.is_damaged()
    assert shelf.read().free() == "a"


def test_a_file_that_cannot_be_read_counts_as_none(shelf, tmp_path):
    arrive(shelf, "a", 2)
    shelf.activate("a", TRIAL)
    (tmp_path / "bundles" / "slots.json").write_text('{"format": "appliance-slots/1", "active"')

    assert shelf.read().active == "shipped"
    assert shelf.is_damaged()
    shelf.tidy()
    assert (tmp_path / "bundles" / "a").exists()  # nobody knows what it was: it is left


@pytest.mark.parametrize("size", [64 * 1024, 10**6])
def test_a_file_that_is_too_long_is_no_file_and_costs_nobody_a_bundle(shelf, tmp_path, size):
    arrive(shelf, "a", 2)
    state = tmp_path / "bundles" / "slots.json"
    state.write_text(" " * size + state.read_text())

    assert shelf.is_damaged()
    shelf.tidy()
    assert (tmp_path / "bundles" / "a").exists()


def test_a_slot_is_filled_beside_the_one_that_decides(shelf):
    arrive(shelf, "a", 2)
    shelf.activate("a", None)
    slots = arrive(shelf, "b", 3)

    assert (slots.active, slots.before, slots.free()) == ("a", "shipped", "b")
    assert (shelf.folder("b") / "bundle" / "manifest.json").read_text() == "3"


def test_while_one_is_on_trial_the_slot_that_it_would_go_back_to_is_not_filled(shelf):
    arrive(shelf, "a", 2)
    shelf.activate("a", None)
    arrive(shelf, "b", 3)

    slots = shelf.activate("b", TRIAL)

    assert (slots.active, slots.before) == ("b", "a")
    assert slots.free() is None


def test_a_return_goes_to_the_one_before_and_is_remembered(shelf):
    arrive(shelf, "a", 2)
    shelf.activate("a", None)
    arrive(shelf, "b", 3)
    shelf.activate("b", TRIAL)

    slots = shelf.go_back(Returned(sha256=f"{3:064x}", reason="it crashed", at=NOW))

    assert (slots.active, slots.before, slots.trial) == ("a", "shipped", None)
    assert [one.reason for one in slots.returned] == ["it crashed"]
    assert shelf.go_back(None).active == "shipped"


def test_filling_the_slot_of_the_one_before_leaves_what_shipped_to_go_back_to(shelf):
    arrive(shelf, "a", 2)
    shelf.activate("a", None)
    arrive(shelf, "b", 3)
    shelf.activate("b", TRIAL)
    shelf.passed()

    slots = arrive(shelf, "a", 4)

    assert (slots.active, slots.before) == ("b", "shipped")


def test_an_end_without_notice_counts_as_a_crash_only_while_the_machine_ran_on(shelf):
    arrive(shelf, "a", 2)
    shelf.activate("a", TRIAL)

    shelf.start("monday")
    shelf.start("monday")
    shelf.start("tuesday")
    shelf.stop()
    trial = shelf.start("tuesday").trial

    assert (trial.crashes_n, trial.cuts_n) == (1, 1)


def test_what_a_power_cut_left_half_done_is_removed(shelf, tmp_path):
    arrive(shelf, "a", 2)
    half = shelf.clear() / "bundle"
    half.mkdir(parents=True)
    (tmp_path / "bundles" / "b").mkdir()
    (tmp_path / "bundles" / ".slots.json.new").write_text("{")

    shelf.tidy()

    assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == ["a", "slots.json"]


def test_a_bundle_is_found_by_slot_name_version_or_hash(shelf):
    arrive(shelf, "a", 2)
    arrive(shelf, "b", 3)
    slots = shelf.read()

    assert slots.find("a") == "a"
    assert slots.find("pointer-small/0.3.0") == "b"
    assert slots.find(f"{3:064x}") == "b"
    assert slots.find("pointer-small") is None  # two are called that
    assert slots.find("0000000") is None  # too short to be a hash


def test_the_file_is_json_that_a_person_can_read(shelf, tmp_path):
    arrive(shelf, "a", 2)

    assert json.loads((tmp_path / "bundles" / "slots.json").read_text())["a"]["version"] == "0.2.0"
