"""What the wire needs of a broker, asked of a real Mosquitto; tests/contracts asks the embedded one the same."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

_path = Path(__file__).parents[1] / "rigs" / "conformance.py"
_spec = importlib.util.spec_from_file_location("conformance", _path)
conformance = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conformance)


@pytest.mark.parametrize("row", conformance.TABLE, ids=lambda row: row.need)
def test_mosquitto_does_what_the_table_says(broker, row):
    assert row.asked(broker.port) == row.mosquitto
