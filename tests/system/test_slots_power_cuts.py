"""Power cuts while bundles are installed, activated, kept and sent back: killed processes, and disks that lose writes.

`make soak` asks for five hundred kills and twenty thousand cuts.
"""

import json
import os

import pytest

KILLS = int(os.environ.get("SLOT_KILLS", "60"))
CUTS = int(os.environ.get("SLOT_CUTS", "600"))

pytestmark = pytest.mark.system


@pytest.mark.timeout(6 * KILLS + 300)
def test_a_good_bundle_decides_whenever_the_process_is_killed(cut, tmp_path):
    found = cut("slots_rig.py", tmp_path / "rig", KILLS, 6, timeout_s=6 * KILLS + 250)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    assert found["tally"]["kills"] == KILLS
    assert found["tally"]["during install"] >= KILLS / 10
    assert found["tally"]["during activate"] >= KILLS / 25


@pytest.mark.timeout(CUTS + 300)
def test_a_good_bundle_decides_on_a_disk_that_loses_what_was_not_synced(cut, tmp_path):
    found = cut("slots_lost_rig.py", tmp_path / "rig", CUTS, 6, timeout_s=CUTS + 250)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    cuts_n = found["tally"]["cuts"]
    assert cuts_n >= min(CUTS * 0.7, 2000)  # the others left what another one left
    assert found["tally"]["during install"] >= cuts_n / 4
    assert found["tally"]["during activate"] >= cuts_n / 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("wrong", "forgets", "says"),
    [
        # The software puts a delivery in its slot before its files are on the disk.
        ("unsynced", "none", "is not whole"),
        # A correct device, and a disk that has never heard of one of its fsyncs.
        ("no", "D:bundles", "is not whole"),
        ("no", "F:slots.json", "cannot be read"),
        ("no", "F:appliance.db-wal", "an accepted root is not there"),
    ],
)
def test_a_missing_fsync_is_seen(cut, tmp_path, wrong, forgets, says):
    found = cut("slots_lost_rig.py", tmp_path / "rig", 150, 2, wrong, forgets, timeout_s=280)

    assert any(says in failure for failure in found["failures"]), found
    assert found["tally"]["wrong cuts"] >= 5
