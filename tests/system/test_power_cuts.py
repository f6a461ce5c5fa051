"""The power cuts of tests/scenarios in their full number, over a real Mosquitto."""

import json
import os

import pytest

RUNS = int(os.environ.get("POWER_CUTS", "312"))

pytestmark = [pytest.mark.system, pytest.mark.timeout(5 * RUNS + 300)]


def test_no_act_is_unrecorded_or_repeated_in_three_hundred_cuts(cut, tmp_path):
    found = cut("crash_rig.py", tmp_path, RUNS, 1, timeout_s=5 * RUNS + 200)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    assert found["tally"]["cut"] >= RUNS / 2


def test_the_controller_is_told_everything_once_in_three_hundred_cuts(cut, tmp_path, broker):
    found = cut("fleet_crash_rig.py", tmp_path, RUNS, 1, broker.port, timeout_s=5 * RUNS + 200)

    print(json.dumps(found["tally"], indent=1))
    assert found["failures"] == []
    assert found["tally"]["cut"] >= RUNS / 2
    assert found["tally"]["reports compared"] >= RUNS
