"""Every refusal of the protocol, one after the other, to a whole device over a real session; also by another start."""

import importlib.util
from pathlib import Path

import pytest

from appliance.agent import clock


def _rig():
    path = Path(__file__).parents[2] / "rigs" / "replay_matrix.py"
    spec = importlib.util.spec_from_file_location("replay_matrix", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rig = _rig()


@pytest.fixture
def matrix(fleet, bench, tmp_path, monkeypatch):
    # Whether a time service vouches for this machine's clock is not for a test to depend on.
    vouched = tmp_path / "synchronized"
    monkeypatch.setattr(clock, "_SYNCHRONIZED", vouched)
    monkeypatch.setattr(clock, "_kernel_is_synchronised", lambda: False)
    return rig.Matrix(fleet, bench, vouched)


def test_every_code_has_its_row():
    rig.every_code_is_there()


def test_every_row_is_refused_recorded_answered_and_leaves_nothing_also_after_a_restart(matrix):
    # What is retained shows on a broker that keeps the flag: tests/system has that one.
    cases = [case for case in rig.CASES if not case.retained]
    for case in cases[::2]:
        matrix.check(case)
    matrix.bench.stop()
    matrix.restarted()
    for case in cases[1::2]:
        matrix.check(case)


def test_a_command_counts_once_whatever_is_lost(matrix):
    rig.life_of_a_command(matrix)


def test_every_kind_of_command_comes_to_its_end(matrix):
    rig.every_kind_is_carried_out(matrix)
