"""A command's number is good wherever it goes, whatever else was sent and whatever a device says it has seen."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import MAX_COUNTER, PingBody, State, StopBody
from appliance.errors import UsageError
from appliance.fleet import composing, enrolling, ingest, numbering, outgoing
from appliance.fleet.devices import devices
from appliance.fleet.home import make
from appliance.storage import counters, database

from .conftest import NOW


@pytest.fixture
def fleet(home, tmp_path):
    """A controller with two devices, lamp and evil."""
    enrolling.enrol_here(home, tmp_path / "evil", device="evil", role=Role.OPERATOR, replace=False, now=NOW)
    return home


def says(home, device, counter, session=1, to_all=0):
    own = home.key.key_id
    state = State(
        site="site", device=device, state="ready", boot=1, session=session, nonce="n", time="trusted", epoch="e",
        counters={own: counter} if counter else {}, group_counters={own: to_all} if to_all else {}, at=NOW,
    )  # fmt: skip
    ingest.store_state(home, state, NOW)


def faults(home, device):
    [found] = [one.faults for one in devices(home, NOW) if one.device == device]
    return found


@pytest.mark.parametrize("said", [MAX_COUNTER, MAX_COUNTER - 1000, numbering.BOUND_N + 100])
def test_what_a_device_says_stops_nobody_else_and_not_even_itself(fleet, said):
    number = numbering.next_number(fleet, "lamp")

    says(fleet, "evil", said)

    assert faults(fleet, "evil") == ("counter_ahead",)
    assert numbering.next_number(fleet, "lamp") == number + 1
    for audience in ("evil", "all", "lamp"):
        stop = composing.compose(fleet, audience, StopBody(reason="smoke"), now=NOW, expires_s=60)
        assert stop.counter <= number + 3
    enrolling.forget(fleet, "evil")
    assert numbering.next_number(fleet, "all") <= number + 5


def test_a_device_that_is_believed_moves_itself_alone(fleet):
    says(fleet, "evil", 5000)

    assert numbering.next_number(fleet, "evil") == 5001
    assert numbering.next_number(fleet, "lamp") == 1
    assert faults(fleet, "lamp") == ()


def test_a_restored_controller_goes_on_above_what_its_devices_have_had(fleet):
    says(fleet, "lamp", 700, to_all=30)
    says(fleet, "evil", 40, to_all=29)

    assert numbering.next_number(fleet, "all") == 31
    assert (numbering.next_number(fleet, "lamp"), numbering.next_number(fleet, "evil")) == (701, 41)
    assert faults(fleet, "lamp") == ("counter_ahead",)


def test_however_often_a_device_says_more_it_gains_no_more_than_the_bound(fleet):
    for n in range(1, 6):
        says(fleet, "evil", n * numbering.BOUND_N, session=n)

    assert numbering.next_number(fleet, "evil") == numbering.BOUND_N + 1


def test_a_device_that_says_what_it_was_sent_is_no_fault(fleet):
    for _ in range(3):
        numbering.next_number(fleet, "lamp")
    numbering.next_number(fleet, "all")

    says(fleet, "lamp", 3, to_all=1)
    says(fleet, "evil", 0, to_all=1)

    assert faults(fleet, "lamp") == faults(fleet, "evil") == ()


def test_what_a_thousand_others_are_sent_leaves_a_stick_for_one_good(fleet, tmp_path):
    stick = numbering.next_number(fleet, "lamp")
    for _ in range(counters.WINDOW_N + 100):
        numbering.next_number(fleet, "evil")
    later = numbering.next_number(fleet, "lamp")

    device = database.open_database(tmp_path / "device.db").db
    assert [counters.use(device, "us", n) for n in (later, stick, stick)] == ["new", "new", "used"]


def test_nothing_that_a_device_says_of_all_voids_what_is_for_one(fleet, tmp_path):
    stick = composing.compose(fleet, "lamp", StopBody(reason="smoke"), now=NOW, expires_s=60)
    says(fleet, "evil", 900_000, to_all=900_000)
    to_all = composing.compose(fleet, "all", PingBody(), now=NOW, expires_s=60)

    device = database.open_database(tmp_path / "device.db").db
    own, group = (counters.window_of("us", to_all=to_all) for to_all in (False, True))

    assert to_all.counter == 900_001
    assert counters.use(device, group, to_all.counter) == "new"
    assert [counters.use(device, own, stick.counter) for _ in range(2)] == ["new", "used"]


def test_a_name_that_is_enrolled_again_never_has_a_number_twice(fleet, tmp_path):
    used = [numbering.next_number(fleet, "lamp") for _ in range(5)]
    enrolling.forget(fleet, "lamp")

    granted = enrolling.enrol_here(fleet, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)

    assert granted.controllers[0].counter == used[-1]
    assert numbering.next_number(fleet, "lamp") == used[-1] + 1


def test_when_no_number_is_left_it_says_so_and_keeps_nothing(fleet):
    fleet.db.execute("insert into counters (audience, issued) values ('lamp', ?)", [MAX_COUNTER])

    with pytest.raises(UsageError, match="no number is left"):
        outgoing.queue(fleet, "lamp", PingBody(), now=NOW, expires_s=60, because="test")

    assert fleet.db.rows("select * from commands") == fleet.db.rows("select * from outgoing") == []
    assert composing.compose(fleet, "evil", PingBody(), now=NOW, expires_s=60).counter == 1


@pytest.mark.parametrize("device", ["No Name", "", "x" * 80])
def test_a_command_that_cannot_be_is_refused_in_words(fleet, device):
    with pytest.raises(UsageError, match="no ping for"):
        composing.compose(fleet, device, PingBody(), now=NOW, expires_s=60)

    assert fleet.db.rows("select * from commands") == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "all", "report"]), max_size=60), st.randoms())
def test_in_whatever_order_commands_are_made_no_device_has_a_number_twice_or_one_below_an_earlier(orders, chance):
    with tempfile.TemporaryDirectory() as folder:
        home = make(Path(folder) / "c", site="site")
        home.db.add("devices", ("device", "site", "public_key", "enrolled_at"), [(name, "s", "", "") for name in "abc"])
        had = {name: [] for name in ("a", "b", "c", "all")}
        for order in orders:
            if order == "report":
                name = chance.choice("abc")
                says(home, name, max([0, *had[name]]), to_all=max([0, *had["all"]]))
                continue
            had[order].append(numbering.next_number(home, order))
        home.close()
    assert all(numbers == sorted(set(numbers)) for numbers in had.values())
