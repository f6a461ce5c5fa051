"""What leaves when: a stop before everything, then in the order in which it was wanted, and nothing into the void."""

import random
from datetime import timedelta

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import PingBody, State, StopBody
from appliance.fleet import enrolling, ingest, outgoing

from .conftest import NOW


@pytest.fixture
def fleet(home, tmp_path):
    for name in ("fan", "door"):
        enrolling.enrol_here(home, tmp_path / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
    return home


def queued(home, device="lamp", body=None, *, at=NOW, expires_s=600):
    return outgoing.queue(home, device, body or PingBody(), now=at, expires_s=expires_s, because="test")


def says(home, word, *, session, at):
    state = State(
        site="site", device="lamp", state=word, boot=1, session=session, nonce="n", time="trusted", epoch="e", at=at
    )
    ingest.store_state(home, state, at)


def handed(home, at=NOW, limit=10, **more):
    return [one.correlation for one in outgoing.hand_over(home, at, limit, **more)]


def test_an_emergency_stop_leaves_before_two_hundred_others_that_expire_sooner(fleet):
    for n in range(200):
        queued(fleet, ("lamp", "fan", "door")[n % 3], expires_s=60)
    stop = queued(fleet, "door", StopBody(reason="smoke"), at=NOW + timedelta(seconds=1))

    assert handed(fleet, NOW + timedelta(seconds=1), limit=1) == [stop]


def test_when_there_is_room_for_stops_alone_nothing_else_is_touched(fleet):
    waiting = queued(fleet)

    assert handed(fleet, only_stops=True) == []
    stop = queued(fleet, body=StopBody())
    assert handed(fleet, only_stops=True) == [stop]
    assert outgoing.take_back(fleet, waiting)


def test_commands_leave_in_the_order_in_which_they_were_wanted_whenever_they_expire(fleet):
    chance = random.Random(1)
    wanted = [
        queued(
            fleet, ("lamp", "all", "fan")[n % 3], at=NOW + timedelta(seconds=n // 5), expires_s=chance.uniform(60, 600)
        )
        for n in range(40)
    ]

    left = []
    while found := handed(fleet, NOW + timedelta(seconds=10), limit=7):
        left += found

    assert left == wanted


def test_what_the_broker_had_nobody_for_waits_until_its_device_is_heard_of(fleet):
    at = NOW + timedelta(seconds=10)
    first = queued(fleet)
    assert handed(fleet) == [first]
    outgoing.unheard(fleet, [first], NOW)

    outgoing.offer_again(fleet, at)
    assert handed(fleet, at) == []
    assert outgoing.still_here(fleet, [first]) == (1, 1)
    says(fleet, "ready", session=1, at=at)
    outgoing.offer_again(fleet, at)

    assert handed(fleet, at) == [first]
    assert not outgoing.take_back(fleet, first)
    outgoing.gone(fleet, [first])
    assert outgoing.still_here(fleet, [first]) == (0, 0)


def test_a_stop_that_waited_for_its_device_goes_first_again(fleet):
    stop = queued(fleet, body=StopBody())
    handed(fleet)
    outgoing.unheard(fleet, [stop], NOW)
    other = queued(fleet, "fan")
    says(fleet, "ready", session=1, at=NOW + timedelta(seconds=1))

    outgoing.offer_again(fleet, NOW + timedelta(seconds=1))

    assert handed(fleet, NOW + timedelta(seconds=1)) == [stop, other]


def test_one_that_seems_to_be_there_is_knocked_at_now_and_then_and_one_that_left_is_not(fleet):
    says(fleet, "ready", session=1, at=NOW - timedelta(seconds=60))
    wanted = queued(fleet)
    handed(fleet)
    outgoing.unheard(fleet, [wanted], NOW)
    outgoing.offer_again(fleet, NOW + timedelta(seconds=1))
    assert handed(fleet, NOW + timedelta(seconds=1)) == []

    outgoing.offer_again(fleet, NOW + timedelta(seconds=6))
    assert handed(fleet, NOW + timedelta(seconds=6)) == [wanted]

    outgoing.unheard(fleet, [wanted], NOW + timedelta(seconds=6))
    says(fleet, "lost", session=1, at=NOW + timedelta(seconds=7))
    outgoing.offer_again(fleet, NOW + timedelta(seconds=60))
    assert handed(fleet, NOW + timedelta(seconds=60)) == []


def test_what_waits_for_its_device_expires_like_everything_else(fleet):
    wanted = queued(fleet, expires_s=60)
    handed(fleet)
    outgoing.unheard(fleet, [wanted], NOW)

    outgoing.offer_again(fleet, NOW + timedelta(seconds=61))

    assert outgoing.still_here(fleet, [wanted]) == (0, 0)
    assert fleet.db.row("select correlation from commands") == {"correlation": wanted}
