"""The manifest's form is frozen: what `appliance-bundle/2` means changes only with the format's name."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.contracts.manifest import FORMAT, Manifest

FROZEN = Path(__file__).parent / "appliance-bundle-2.schema.json"
REMEDY = f"{FORMAT} is frozen: devices in the field read it; another form is another FORMAT, with a file of its own"
BUNDLES = Path(__file__).parents[2] / "firmware_models" / "bundles"


def form(schema):
    """What a manifest may hold; words for people are no part of it."""
    if isinstance(schema, list):
        return [form(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    words = {"description", "title"}
    # A field may be called like one of these words: then it holds a schema, not a text.
    return {name: form(one) for name, one in schema.items() if name not in words or isinstance(one, dict)}


def test_the_manifests_form_is_the_one_that_was_frozen():
    assert FORMAT == "appliance-bundle/2", "a new format: freeze its form beside this one"
    assert form(Manifest.model_json_schema()) == json.loads(FROZEN.read_text("utf-8")), REMEDY


@pytest.fixture
def said():
    return json.loads(next(BUNDLES.glob("*/manifest.json")).read_text("utf-8"))


def test_the_bundle_that_ships_is_of_that_form(said):
    assert said["format"] == FORMAT
    assert Manifest.model_validate_json(json.dumps(said)).release >= 1


def test_a_field_that_the_form_does_not_know_is_refused(said):
    with pytest.raises(ValidationError, match="also"):
        Manifest.model_validate_json(json.dumps({**said, "also": 1}))


def test_a_manifest_without_any_one_field_that_it_needs_is_refused(said):
    for name in json.loads(FROZEN.read_text("utf-8"))["required"]:
        without = {key: value for key, value in said.items() if key != name}
        with pytest.raises(ValidationError, match=name):
            Manifest.model_validate_json(json.dumps(without))
