"""What the wire needs of a broker, asked of the embedded one; tests/system asks a real Mosquitto the same.

Where the embedded broker does otherwise the table says so, and the page for whoever chooses a broker as well.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from appliance.transport.broker import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("conformance", ROOT / "tests" / "rigs" / "conformance.py")
conformance = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conformance)


@pytest.fixture(scope="module")
def port():
    with EmbeddedBroker() as broker:
        yield broker.port


@pytest.mark.parametrize("row", conformance.TABLE, ids=lambda row: row.need)
def test_the_embedded_broker_does_what_the_table_says(port, row):
    assert row.asked(port) == row.embedded


def test_the_page_shows_the_table():
    page = (ROOT / "docs" / "how-to" / "choose-a-broker.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \|", page, flags=re.MULTILINE)

    assert shown == [(row.need, row.mosquitto, row.embedded) for row in conformance.TABLE]
