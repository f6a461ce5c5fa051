"""`kill -9` while bundles are installed, activated, kept and sent back: one good slot decides, whatever the moment."""

import pytest


@pytest.mark.timeout(300)
def test_a_good_bundle_decides_whenever_the_process_is_killed(cut, tmp_path):
    found = cut("slots_rig.py", tmp_path / "rig", 30, 20261123, timeout_s=280)

    assert found["failures"] == []
    assert found["tally"]["kills"] == 30
    assert min(found["tally"][f"during {what}"] for what in ("install", "activate")) >= 2


@pytest.mark.timeout(300)
def test_the_rig_sees_a_slot_that_is_called_full_before_it_is(cut, tmp_path):
    found = cut("slots_rig.py", tmp_path / "rig", 30, 2, "filled-first", timeout_s=280)

    assert any("holds another bundle" in failure or "is not whole" in failure for failure in found["failures"]), found
