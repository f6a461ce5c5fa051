"""What a device knows of bundles survives damage of its database as far as it can be read."""

from __future__ import annotations

from appliance.contracts.bundle import Admitted
from appliance.storage import salvage


def test_a_salvaged_database_still_knows_root_revocations_floor_and_time(device, site):
    device.admission.accept(site.revocations(1, keys=(site.cem.id,)))
    _, slot = device.admit(site.delivery("older", release=5))
    device.runs(7.1, step_s=6 * 3600)
    device.admission.activated(device.admission.may_activate(slot))
    _, newer = device.admit(site.delivery("newer", release=6))
    device.runs(3, step_s=6 * 3600)
    device.admission.write_time()
    device.stop()

    salvage.replace(device.folder / "appliance.db", "another")
    device.start()

    assert device.admission.root().version == 1
    assert device.admission.revocations().number == 1
    assert device.admit(site.delivery("oldest", release=4))[0].code == "rollback"
    waits = device.admit(site.delivery("again", release=6))[0]
    assert isinstance(waits, Admitted)
    assert device.admission.may_activate(newer).code == "cooldown"
    assert waits.waits_s == 4 * 86_400


def test_a_database_that_was_lost_takes_nothing_until_a_person_says_whom_it_trusts(device, site):
    _, slot = device.admit(site.delivery())
    device.stop()
    for path in device.folder.glob("appliance.db*"):
        path.unlink()
    device.start()

    assert device.admission.may_activate(slot).code == "no-root"
    assert "trusts nobody" in device.admission.still_good(slot)


def test_what_can_never_come_again_is_forgotten(device, site):
    for n in (2, 3, 4):
        _, slot = device.admit(site.delivery(f"d{n}", release=n))
    device.runs(8, step_s=6 * 3600)

    device.admission.activated(device.admission.may_activate(slot))

    assert [row["release"] for row in device.db.rows("select release from bundles_seen")] == [4]
