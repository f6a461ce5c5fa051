"""A bundle waits for days on which this device ran; nothing but running shortens it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from appliance.agent.admission import Admission
from appliance.contracts.bundle import Admitted

DAY_S = 86_400.0


def waits_s(device, slot):
    """How long it still has to wait."""
    answer = device.admission.may_activate(slot)
    if isinstance(answer, Admitted):
        return 0.0
    assert answer.code == "cooldown"
    # Asked for the first time again: admitting a bundle that was seen does not begin anew.
    return device.admit(slot)[0].waits_s


def test_it_may_be_activated_after_as_many_days_of_running(device, site):
    _, slot = device.admit(site.delivery())

    device.runs(6.9)
    assert device.admission.may_activate(slot).code == "cooldown"
    device.runs(0.2)

    assert isinstance(device.admission.may_activate(slot), Admitted)


def test_the_wall_clock_counts_for_nothing(device, site):
    _, slot = device.admit(site.delivery(expires_at="2099-01-01T00:00:00+00:00"))

    for days in (30, -60, 300):
        device.clock.at += timedelta(days=days)
        device.admission.ran()

    assert waits_s(device, slot) == 7 * DAY_S


def test_time_without_power_counts_for_nothing(device, site):
    _, slot = device.admit(site.delivery())

    device.runs(3)
    device.admission.write_time()
    device.clock.at += timedelta(days=300)
    device.cut()

    assert waits_s(device, slot) == pytest.approx(4 * DAY_S)


def test_a_power_cut_only_ever_makes_the_wait_longer(device, site):
    chance = random.Random(7)
    _, slot = device.admit(site.delivery())
    ran_s = 0.0
    for _ in range(12):
        stretch_s = chance.uniform(10.0, 5 * 3600)
        device.runs(stretch_s / DAY_S)
        ran_s += stretch_s
        device.cut()
        counted_s = 7 * DAY_S - waits_s(device, slot)
        assert counted_s <= ran_s + 1e-3
        # At most the quarter of an hour that was not written yet is lost, each time.
        assert counted_s >= ran_s - 12 * 961


def test_bringing_it_again_neither_shortens_nor_lengthens_the_wait(device, site):
    delivery = site.delivery()
    device.admit(delivery)
    device.runs(2)

    again, _ = device.admit(delivery)

    assert again.waits_s == pytest.approx(5 * DAY_S)


def test_another_bundles_time_is_not_this_ones(device, site):
    device.admit(site.delivery("first"))
    device.runs(0.005)  # counted, not written yet

    second, _ = device.admit(site.delivery("second", release=3))

    assert second.waits_s == 7 * DAY_S


def test_what_was_refused_does_not_begin_to_wait(device, site):
    delivery = site.delivery(signed_by=(site.ann,))
    device.admit(delivery)
    device.runs(8)
    site.sign(delivery, site.bob)

    admitted, _ = device.admit(delivery)

    assert admitted.waits_s == 7 * DAY_S


def test_a_higher_threshold_makes_it_urgent(device, site):
    everybody = (site.ann, site.bob, site.cem)

    admitted, slot = device.admit(site.delivery(urgent=everybody))

    assert admitted.urgent
    assert admitted.waits_s == 0
    assert isinstance(device.admission.may_activate(slot), Admitted)


def test_the_release_threshold_is_not_enough_for_urgent(device, site):
    answer, _ = device.admit(site.delivery(urgent=(site.ann, site.bob)))

    assert answer.code == "threshold"
    assert "Without that file the bundle waits like any other" in answer.reason


def test_a_revoked_key_does_not_count_for_urgent(device, site):
    everybody = (site.ann, site.bob, site.cem)
    device.admission.accept(site.revocations(1, keys=(site.cem.id,)))

    assert device.admit(site.delivery(urgent=everybody))[0].code == "threshold"


def test_a_root_may_lengthen_the_wait_of_what_lies_there(device, site):
    _, slot = device.admit(site.delivery())
    device.runs(8)
    assert isinstance(device.admission.may_activate(slot), Admitted)

    device.admission.accept(site.root(2, cooldown_days=30))

    assert device.admission.may_activate(slot).code == "cooldown"


def test_nothing_is_written_while_nothing_waits(device):
    before = device.db.connection.total_changes

    device.runs(2)

    assert device.db.connection.total_changes == before


@pytest.mark.parametrize(("own_days", "days"), [(0, 7), (3, 7), (14, 14)])
def test_an_owner_may_have_bundles_wait_longer_than_the_root_says_and_never_shorter(device, site, own_days, days):
    device.admission = Admission(device.db, device.clock, software=device.software, cooldown_days=own_days)

    admitted, slot = device.admit(site.delivery())

    assert admitted.waits_s == days * DAY_S
    device.runs(days - 0.5)
    assert device.admission.may_activate(slot).code == "cooldown"
    device.runs(0.6)
    assert isinstance(device.admission.may_activate(slot), Admitted)
