"""The power cuts of tests/scenarios in greater number: killed processes, and disks that lose what was not synced.

As many as a quarter of an hour has room for; `make soak` asks for many times more of each.
"""

import json
import os

import pytest

KILLS = int(os.environ.get("POWER_KILLS", "400"))
KILLS_EACH = int(os.environ.get("POWER_KILLS_EACH", "6"))
FLEET_KILLS = int(os.environ.get("FLEET_POWER_KILLS", "80"))
CUTS = int(os.environ.get("POWER_CUTS", "3000"))
SITES = (("fleet", 0.7, 60), ("alone", 0.35, 40), ("keeps", 0.1, 12))
"""Where a device lives, its share of the cuts, and how much each of its clients asks for in a life."""

pytestmark = pytest.mark.system


@pytest.mark.timeout(4 * KILLS + 600)
def test_no_act_is_unrecorded_or_repeated_however_often_the_power_fails(cut, tmp_path):
    found = cut("crash_rig.py", tmp_path, KILLS, 1, KILLS_EACH, "no", timeout_s=4 * KILLS + 500)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    # Lives that really ended with SIGKILL; one that came to its end first is not among them.
    assert found["tally"]["at random: killed"] >= KILLS
    # Every boundary that a turn names, and those before and after an act.
    assert min(found["tally"].get(f"{name}: killed", 0) for name in found["boundaries"]) >= KILLS_EACH


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("never-taken", ("was pressed 2 times", "was decided and is still in the queue")),
        ("unrecovered", ("has no outcome",)),
        ("act-first", ("was pressed 1 times, 0 are recorded",)),
    ],
)
def test_software_that_is_wrong_on_purpose_is_seen_by_the_rig_that_kills(cut, tmp_path, wrong, says):
    found = cut("crash_rig.py", tmp_path, 6, 1, 1, wrong, timeout_s=500)

    assert all(any(one in failure for failure in found["failures"]) for one in says), found


@pytest.mark.timeout(5 * FLEET_KILLS + 300)
def test_the_controller_is_told_everything_once_however_often_the_power_fails(cut, tmp_path, broker):
    found = cut("fleet_crash_rig.py", tmp_path, FLEET_KILLS, 1, broker.port, timeout_s=5 * FLEET_KILLS + 200)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    assert found["tally"]["cut"] >= FLEET_KILLS / 2
    assert found["tally"]["reports compared"] >= FLEET_KILLS


@pytest.mark.timeout(CUTS / 2 + 1800)
def test_a_disk_that_loses_what_was_not_synced_breaks_no_promise(cut, tmp_path):
    cuts_n = 0
    for site, share, requests_n in SITES:
        words = (int(share * CUTS), 1, site, requests_n, "no", "none")
        (tmp_path / site).mkdir()
        found = cut("lost_writes_rig.py", tmp_path / site, *words, timeout_s=CUTS / 5 + 500)

        print(site, json.dumps(found["tally"], indent=1))
        assert found["failures"] == []
        assert found["tally"]["second lives"] >= share * CUTS / 100
        cuts_n += found["tally"]["cuts"]
    assert cuts_n >= CUTS  # each leaves files, or promises, that no other leaves
