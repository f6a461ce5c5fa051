"""A fleet over a real Mosquitto."""

import importlib.util
from pathlib import Path

import pytest


def _rig(name):
    path = Path(__file__).parents[1] / "rigs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mosquitto_rig():
    return _rig("mosquitto_rig")


@pytest.fixture
def authority_rig():
    return _rig("authority")


@pytest.fixture
def broker(tmp_path, mosquitto_rig):
    (tmp_path / "broker").mkdir()
    mosquitto = mosquitto_rig.Mosquitto(tmp_path / "broker").start()
    try:
        yield mosquitto
    finally:
        mosquitto.stop()


@pytest.fixture
def make_fleet(tmp_path):
    """Make a fleet for a port, once the test has decided which."""
    made = []

    def make(port, **broker):
        made.append(_rig("fleet_rig").FleetRig(tmp_path, port, **broker))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.close()


@pytest.fixture
def fleet(broker, make_fleet):
    return make_fleet(broker.port)
