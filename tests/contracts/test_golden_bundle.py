"""The int8 network on this machine answers as the float network did when the bundle was made."""

from pathlib import Path

import pytest

from appliance.agent import model
from appliance.agent.model import Model
from firmware_models import golden

BUNDLES = Path(__file__).parents[2] / "firmware_models" / "bundles"
REMEDY = "make the bundle again: python -m firmware_models.release --help"


@pytest.fixture(scope="module")
def loaded() -> Model:
    return model.load(next(path.parent for path in BUNDLES.glob("*/manifest.json")))


def test_there_is_one_bundle() -> None:
    assert len(list(BUNDLES.glob("*/manifest.json"))) == 1


def test_every_golden_request_gets_its_golden_answer(loaded: Model) -> None:
    lines = list(golden.read(loaded.bundle.golden))
    assert len(lines) >= 50

    for line in lines:
        proposal = loaded.decoder.propose(line.request, line.specs)

        difference = golden.difference(proposal, line.proposal)
        assert difference.same, f"{line.request!r}: {proposal.calls} instead of {line.proposal.calls}; {REMEDY}"
        assert difference.confidence <= loaded.bundle.manifest.tolerance.confidence, f"{line.request!r}; {REMEDY}"
