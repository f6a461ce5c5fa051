"""The wire's published schemas: they say what the records say, and what was released is only ever added to."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker
from pydantic import ValidationError

from appliance.contracts import asyncapi, envelope
from appliance.contracts.topics import Channel

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = asyncapi.schemas()
RELEASED = ROOT / "docs" / "reference" / "released" / f"wire-{envelope.VERSION}.schema.json"
FROZEN = json.loads(RELEASED.read_text(encoding="utf-8"))
RECORDS = {record.__name__: record for record in [envelope.Signed, *asyncapi.records(set(Channel))]}


def _rig(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "rigs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


changes = _rig("schema_changes")
values = _rig("schema_values").values


def alone(schemas, name):
    """One record's schema, with the others that it refers to beside it."""
    return {"$ref": f"#/$defs/{name}", "$defs": schemas["$defs"]}


def test_every_channel_is_in_the_document_with_its_record():
    document = asyncapi.document()

    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {address.split("/")[4] for address in addresses} == {channel.value for channel in Channel}
    assert len(document["operations"]) == len(Channel) + 1
    for channel, record in asyncapi.CARRIES.items():
        payload = document["components"]["messages"][channel.value]["payload"]
        if record is not None:
            assert payload["properties"]["payload"] == {"$ref": f"#/components/schemas/{record.__name__}"}
            assert set(payload["required"]) == {"key", "payload", "signature"}


def test_the_document_names_no_schema_that_it_has_not():
    text = json.dumps(asyncapi.document())
    document = json.loads(text)
    named = {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}

    for path in named:
        place = document
        for part in path.split("/"):
            place = place[part]


def _read(name, value):
    try:
        return RECORDS[name].model_validate_json(json.dumps(value))
    except ValidationError as refused:
        # What must fit together (an update: what is named for which action) no schema of ours says.
        assert {fault["type"] for fault in refused.errors()} == {"value_error"}
        reject()


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_was_released_is_still_read(name):
    """Records as the released schema allows them, made at random, under the readers of today."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=values(FROZEN["$defs"][name], FROZEN["$defs"]))
    def reads(value):
        read = _read(name, value)
        assert read.model_dump(mode="json").keys() >= value.keys()

    reads()


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_a_record_writes_its_schema_allows(name):
    validator = Draft7Validator(alone(SCHEMAS, name), format_checker=FormatChecker())

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=values(SCHEMAS["$defs"][name], SCHEMAS["$defs"]))
    def writes(value):
        record = _read(name, value)
        assert [fault.message for fault in validator.iter_errors(record.model_dump(mode="json"))] == []

    writes()


def test_what_was_released_is_only_added_to():
    """If this fails: make the change in a way that adds, or release another version of the wire, under another root.

    `python docs/generate.py --freeze` keeps today's schemas as released: only at a release, never to silence this.
    """
    assert changes.breaks(FROZEN, SCHEMAS) == []


def _remove(path):
    def change(schemas):
        *way, last = path
        place = schemas["$defs"]
        for part in way:
            place = place[part]
        del place[last]

    return change


def _put(path, value):
    def change(schemas):
        *way, last = path
        place = schemas["$defs"]
        for part in way:
            place = place[part]
        place[last] = value

    return change


def _append(path, value):
    def change(schemas):
        place = schemas["$defs"]
        for part in path:
            place = place[part]
        place.append(value)

    return change


BREAKING = {
    "a field of a state is removed": (_remove(("State", "properties", "boot")), "State.boot"),
    "a field of a state is renamed": (
        lambda s: s["$defs"]["State"]["properties"].update({"starts": s["$defs"]["State"]["properties"].pop("boot")}),
        "State.boot",
    ),
    "a new field of a state is required": (
        lambda s: (
            s["$defs"]["State"]["properties"].update({"mood": {"type": "string"}}),
            s["$defs"]["State"]["required"].append("mood"),
        ),
        "State.mood",
    ),
    "an optional field becomes required": (_append(("State", "required"), "session"), "State.session"),
    "a word of a device is no longer known": (
        _put(("State", "properties", "state", "enum"), ["ready", "lost"]),
        "State.state",
    ),
    "a type changes": (_put(("State", "properties", "boot"), {"type": "string"}), "State.boot"),
    "a bound is tightened": (_put(("Batch", "properties", "items", "maxItems"), 10), "Batch.items"),
    "a pattern changes": (_put(("State", "properties", "device", "pattern"), "^[a-z]+$"), "State.device"),
    "a record inside another loses a field": (_remove(("Item", "properties", "kind")), "Batch.items[].kind"),
    "the wrapper changes": (_remove(("Signed", "properties", "key")), "Signed.key"),
    "a record is removed": (_remove(("Keys",)), "Keys"),
    "a command gets a field that old devices refuse": (
        _put(("Command", "properties", "colour"), {"type": "string", "default": ""}),
        "Command.colour",
    ),
    "a body gets a field that old devices refuse": (
        _put(("CallBody", "properties", "colour"), {"type": "string", "default": ""}),
        "Command.body.colour",
    ),
    "a command may be longer than old devices take": (
        _put(("AskBody", "properties", "text", "maxLength"), 10**6),
        "Command.body.text",
    ),
    "an acknowledgement no longer says what old devices require": (
        lambda s: (s["$defs"]["Ack"]["required"].remove("upto"),),
        "Ack.upto",
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_a_change_that_breaks_is_named(what):
    change, place = BREAKING[what]
    new = copy.deepcopy(SCHEMAS)
    change(new)

    assert any(fault.startswith(place) for fault in changes.breaks(SCHEMAS, new)), changes.breaks(SCHEMAS, new)


ADDING = {
    "a state gets an optional field": _put(("State", "properties", "mood"), {"type": "string", "default": ""}),
    "a device says a new word": _append(("State", "properties", "state", "enum"), "resting"),
    "a batch may be longer": _put(("Batch", "properties", "items", "maxItems"), 5000),
    "a field of an answer may be left out": lambda s: s["$defs"]["Response"]["required"].remove("code"),
    "a description changes": _put(("State", "description"), "Another."),
    "a command is shorter": _put(("AskBody", "properties", "text", "maxLength"), 10),
    "a new command": lambda s: (
        s["$defs"].update(
            {
                "DanceBody": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"kind": {"const": "dance", "type": "string"}},
                }
            }
        ),
        s["$defs"]["Command"]["properties"]["body"]["oneOf"].append({"$ref": "#/$defs/DanceBody"}),
    ),
    "a new record": _put(("Weather",), {"type": "object", "properties": {}}),
}


@pytest.mark.parametrize("what", ADDING)
def test_a_change_that_adds_is_let_through(what):
    new = copy.deepcopy(SCHEMAS)
    ADDING[what](new)

    assert changes.breaks(SCHEMAS, new) == []


@st.composite
def altered(draw):
    """A small record, and the same with some of its parts changed at random."""
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    fields = {name: draw(st.sampled_from(FIELDS)) for name in names}
    old = _object(fields, draw(st.lists(st.sampled_from(names), unique=True)))
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=2)):
        fields[name] = draw(st.sampled_from(FIELDS))
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=1)):
        fields.pop(name, None)
    return old, _object(fields, draw(st.lists(st.sampled_from(sorted(fields)), unique=True)) if fields else [])


FIELDS = [
    {},
    {"type": "null"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string"},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "minimum": 5, "maximum": 9},
    {"type": "string", "maxLength": 3},
    {"type": "string", "enum": ["x"]},
    {"type": "string", "enum": ["x", "y"]},
    {"const": "x", "type": "string"},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 1},
    {"type": "object", "additionalProperties": {"type": "integer"}},
]


def _object(fields, required):
    return {"type": "object", "additionalProperties": False, "properties": fields, "required": required}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), pair=altered())
def test_a_change_that_is_let_through_lets_every_old_record_through(data, pair):
    old, new = pair
    found = changes.Comparison({"$defs": {"R": new}}, {"$defs": {"R": old}}).record("R")

    if not found:
        record = data.draw(values(old, {}))
        assert Draft7Validator(new).is_valid(record)
