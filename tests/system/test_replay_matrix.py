"""The replay matrix on a real Mosquitto, which keeps `retain as published`: there a retained command shows, too."""

import importlib.util
from pathlib import Path

import pytest

from appliance.agent import clock

pytestmark = pytest.mark.system


def _rig():
    path = Path(__file__).parents[1] / "rigs" / "replay_matrix.py"
    spec = importlib.util.spec_from_file_location("replay_matrix", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rig = _rig()


@pytest.fixture
def matrix(fleet, bench, tmp_path, monkeypatch):
    vouched = tmp_path / "synchronized"
    monkeypatch.setattr(clock, "_SYNCHRONIZED", vouched)
    monkeypatch.setattr(clock, "_kernel_is_synchronised", lambda: False)
    return rig.Matrix(fleet, bench, vouched)


def test_every_row_is_refused_recorded_answered_and_leaves_nothing(matrix):
    for case in rig.CASES[::2]:
        matrix.check(case)
    matrix.bench.stop()
    matrix.restarted()  # a start records thirty refusals a minute in full
    for case in rig.CASES[1::2]:
        matrix.check(case)


def test_a_command_that_stands_retained_is_refused_at_every_start_and_never_obeyed(matrix):
    message = matrix.message(matrix.good(), retain=True)
    for _ in range(2):
        after = matrix.seq()
        matrix.bench.stop()
        matrix.tap.say(message)
        matrix.restarted()
        matrix.until(lambda after=after: matrix.records("refused_message", after))

        assert matrix.records("refused_message", after)[0]["code"] == "retained"
    assert matrix.records("decided") == []


def test_a_configuration_that_stands_retained_is_taken_once(matrix):
    matrix.bench.stop()
    matrix.tap.say(matrix.on("desired", matrix.desired(3, {"uplink": {"batch_n": 31}}), retain=True))
    matrix.restarted()
    matrix.until(lambda: matrix.records("command"))
    matrix.bench.stop()
    matrix.restarted()
    matrix.tap.pump(1.0)

    assert [found["code"] for found in matrix.records("command")] == ["configured"]
    assert matrix.bench.daemon._wire._uplink._settings.batch_n == 31


def test_a_command_counts_once_whatever_is_lost(matrix):
    rig.life_of_a_command(matrix)
