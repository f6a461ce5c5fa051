"""`kill -9` at step boundaries and random points, and lost writes: what happened is recorded and told, once."""

import shutil

import pytest

from appliance.transport.broker import EmbeddedBroker

NO_COMPILER = "needs gcc and libc6-dev to build the shim that records writes; `make test-system` installs them"


@pytest.mark.timeout(300)
def test_no_act_is_unrecorded_or_repeated_whenever_the_process_is_killed(cut, tmp_path):
    found = cut("crash_rig.py", tmp_path, 20, 20261122, 2, "no", timeout_s=280)

    assert found["failures"] == []
    # A rig that does not cut proves nothing.
    assert found["tally"]["at random: killed"] == 20
    assert {name: found["tally"].get(f"{name}: killed") for name in found["boundaries"]} == dict.fromkeys(
        found["boundaries"], 2
    )
    assert found["tally"]["indeterminate"] >= 1
    assert found["tally"]["steps of workflows"] >= 20


@pytest.mark.timeout(300)
def test_the_rig_sees_an_act_that_is_repeated_after_a_kill(cut, tmp_path):
    found = cut("crash_rig.py", tmp_path, 0, 20261122, 1, "never-taken", timeout_s=280)

    assert any("was pressed 2 times" in failure for failure in found["failures"]), found


@pytest.mark.timeout(300)
def test_the_controller_is_told_everything_once_whenever_the_process_is_killed(cut, tmp_path):
    with EmbeddedBroker() as broker:
        found = cut("fleet_crash_rig.py", tmp_path, 39, 20261122, broker.port, timeout_s=280)

    assert found["failures"] == []
    assert found["tally"]["cut"] >= 20
    assert found["tally"]["reports compared"] >= 60


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("gcc") is None, reason=NO_COMPILER)
def test_a_disk_that_loses_what_was_not_synced_breaks_no_promise(cut, tmp_path):
    found = cut("lost_writes_rig.py", tmp_path, 250, 20261122, "fleet", 14, "no", "none", timeout_s=280)

    assert found["failures"] == []
    assert found["tally"]["cuts"] >= 200
    assert found["tally"]["second lives"] >= 1


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("gcc") is None, reason=NO_COMPILER)
def test_what_was_said_to_be_pruned_held_or_erased_is_so_after_a_cut(cut, tmp_path):
    found = cut("lost_writes_rig.py", tmp_path, 80, 20261122, "keeps", 4, "no", "none", timeout_s=280)

    assert found["failures"] == []
    # A life in which nothing of it was said in time proves nothing.
    assert min(found["tally"][said] for said in ("after a prune", "under a hold", "after an erasure")) >= 10


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("gcc") is None, reason=NO_COMPILER)
def test_the_rig_sees_a_missing_fsync(cut, tmp_path):
    found = cut("lost_writes_rig.py", tmp_path, 100, 20261122, "alone", 9, "no", "F:appliance.db-wal", timeout_s=280)

    assert any("was said to be" in failure for failure in found["failures"]), found["tally"]
