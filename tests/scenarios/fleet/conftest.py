"""A fleet over the embedded broker."""

import importlib.util
from pathlib import Path

import pytest

from appliance.transport.broker import EmbeddedBroker


def _rig():
    path = Path(__file__).parents[2] / "rigs" / "fleet_rig.py"
    spec = importlib.util.spec_from_file_location("fleet_rig", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fleet(tmp_path):
    with EmbeddedBroker() as broker:
        rig = _rig().FleetRig(tmp_path, broker.port)
        try:
            yield rig
        finally:
            rig.close()
