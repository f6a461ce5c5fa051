"""The bill of materials of the bundle that ships is CycloneDX 1.6, by the schema of those who made it."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from appliance.settings import shipped_bundle
from appliance.trust import bundles


@pytest.fixture(scope="module")
def bill():
    return json.loads((shipped_bundle() / "mlbom.json").read_text(encoding="utf-8"))


def fault(bill):
    """What the validator says against a bill; None when nothing."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))


def test_it_is_cyclonedx(bill):
    assert bill["specVersion"] == "1.6"
    assert fault(bill) is None


def test_the_validator_would_notice(bill):
    component = {**bill["metadata"]["component"], "modelCard": {"accuracy": "very good"}}

    assert fault({**bill, "metadata": {**bill["metadata"], "component": component}}) is not None


def test_it_is_about_this_model_and_has_a_card(bill):
    manifest = bundles.check(shipped_bundle()).manifest
    component = bill["metadata"]["component"]

    assert component["type"] == "machine-learning-model"
    assert (component["name"], component["version"]) == (manifest.name, manifest.version)
    assert component["hashes"] == [{"alg": "SHA-256", "content": manifest.files["model.tflite"].sha256}]
    assert {"modelParameters", "quantitativeAnalysis", "considerations"} <= component["modelCard"].keys()


def test_every_source_of_training_is_in_it_by_its_hash(bill):
    training = bundles.check(shipped_bundle()).manifest.training
    listed = {component["hashes"][0]["content"] for component in bill["components"]}

    assert listed == {training.warm_start.sha256, *(source.sha256 for source in training.data)}
