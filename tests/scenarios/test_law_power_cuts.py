"""`kill -9` in every state of a law, at every boundary: its run goes on where it was, and no act of it is twice."""

import os

import pytest

KILLS_EACH = int(os.environ.get("POWER_KILLS_EACH", "1"))


@pytest.mark.timeout(300 * KILLS_EACH)
def test_a_run_goes_on_where_it_was_whenever_the_process_is_killed(cut, tmp_path):
    found = cut("law_crash_rig.py", tmp_path, KILLS_EACH, 4 * KILLS_EACH, 20261123, "no", timeout_s=280 * KILLS_EACH)

    assert found["failures"] == []
    # A rig that does not cut proves nothing, and one that cuts in one state only not much.
    assert found["tally"]["killed"] >= 10 * KILLS_EACH
    assert min(found["tally"].get(f"{name}: killed", 0) for name in found["boundaries"]) >= KILLS_EACH
    assert min(found["tally"]["in resting"], found["tally"]["in working"]) >= 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("wrong", "says"), [("forgets-steps", "step 1 says resting"), ("never-counts", "presses in visit")]
)
def test_the_rig_sees_software_that_loses_a_step_or_counts_no_call(cut, tmp_path, wrong, says):
    found = cut("law_crash_rig.py", tmp_path, 0, 3, 20261123, wrong, timeout_s=280)

    assert any(says in failure for failure in found["failures"]), found["failures"][:5]
