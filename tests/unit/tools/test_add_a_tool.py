"""The how-to's examples run, and its three forms are one tool."""

import importlib
import re
from pathlib import Path

import pytest

from appliance.contracts.toolcall import GroundedCall
from appliance.tools import declare
from appliance.tools.outputs import Outputs
from appliance.tools.registry import Registry

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-tool.md"


class Valve:
    """A valve that flows when it is open."""

    def __init__(self):
        self.litres = 0.0

    def open(self, litres):
        self.litres = litres

    def shut(self):
        self.litres = 0.0

    def flow_l_min(self):
        return self.litres

    def is_clogged(self):
        return False


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """The page's two examples, as the module that a reader would make of them."""
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for form in ("from_record", "from_schema"):
        second = second.replace(f"\ndeclare.{form}(", f"\n{form} = declare.{form}(")
    (tmp_path / "greenhouse.py").write_text(f"{first}\nrun = flows = lambda *_, **__: True\n{second}")
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("greenhouse")


def test_the_example_acts_is_checked_and_is_taken_back(examples):
    beds = {"north": Valve(), "south": Valve()}
    registry = Registry(declare.bound(examples.Irrigation(beds)), Outputs({}))

    did = registry.perform(GroundedCall(tool="water_bed", arguments={"bed": "north", "litres": 12}))
    during = beds["north"].litres
    back = registry.perform(GroundedCall(tool=did.undo.tool, arguments={"bed": "north"}))

    assert (did.status, did.postcondition, during) == ("done", "held", 12)
    assert (back.status, beds["north"].litres) == ("done", 0.0)


def test_the_three_forms_on_the_page_are_one_tool(examples):
    from_method = declare.bound(examples.Irrigation({}))[0].spec

    for other in (examples.from_record.spec, examples.from_schema.spec):
        assert other.model_copy(update={"undoable": True}) == from_method
