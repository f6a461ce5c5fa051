"""The bytes of a record and their hash, once and for all; and that a configuration is called by its content."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.contracts import forms
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.decision import Configuration, Decided
from appliance.contracts.manifest import Thresholds
from appliance.contracts.toolspec import ToolSpec
from appliance.storage import audit, database

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "ledger-record.md"
FIRST = (
    '{"at":"2026-11-23T07:00:00Z","boot":1,"clock":"trusted","facts":{"event":"first"},"format":2,"kind":"note",'
    '"monotonic_s":12.5,"personal":{},"request_id":null,"seq":1}'
)
ROOT = "11313ea463bc6ad17262026af6accc768e0b09fddf4961dd9a167b7812c3c935"
"""Of the two records in the reference; another value means that every ledger of the field reads differently now."""


def test_the_vector_of_the_reference_is_right_by_hashlib_alone():
    vector = json.loads(REFERENCE.read_text(encoding="utf-8").partition("```json vector\n")[2].partition("\n```")[0])

    leaves = [hashlib.sha256(b"\x00" + entry["body"].encode()).digest() for entry in vector["records"]]

    assert vector["records"][0]["body"] == FIRST
    assert [leaf.hex() for leaf in leaves] == [entry["leaf"] for entry in vector["records"]]
    assert hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).hexdigest() == vector["root"] == ROOT


def test_the_ledger_writes_exactly_the_bytes_of_the_vector(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    moment = Moment(at=datetime(2026, 11, 23, 7, tzinfo=UTC), monotonic_s=12.5, boot=1, clock="trusted")

    audit.append(db, AuditRecord(kind="note", moment=moment, facts={"event": "first"}))

    assert [row.body for row in audit.rows(db.connection)] == [FIRST]
    db.close()


def test_a_commitment_is_what_the_reference_says():
    salt, words = "000102030405060708090a0b0c0d0e0f", "call mum"
    by_hand = hashlib.sha256(f'{{"salt":"{salt}","value":"{words}"}}'.encode()).hexdigest()

    assert audit.commitment(salt, words) == by_hand
    assert by_hand in REFERENCE.read_text(encoding="utf-8")


def configuration(**changes):
    tools = (ToolSpec(name="t", tags=frozenset("abcdefgh")), ToolSpec(name="u"))
    known = {
        "agent_id": "dev", "software": "0.1.0", "machine": "x86_64", "zone": None, "policy": {}, "tools": tools,
        "thresholds": Thresholds(act=0.7, confirm=0.3, abstain=0.6),
    }  # fmt: skip
    return Configuration(**known | changes)


def test_a_configuration_is_called_by_what_it_says():
    one = configuration()

    assert one.digest() == Configuration.from_json(one.to_json()).digest()
    assert one.digest() != configuration(zone="Europe/Berlin").digest()
    assert one.to_json()["tools"][0]["tags"] == list("abcdefgh")
    assert Configuration.from_json(one.to_json()).tools == one.tools


def test_facts_of_a_newer_form_are_refused_not_guessed():
    with pytest.raises(ValidationError, match=r"gen_ai\.operation\.name"):
        forms.read("decided", {"moon": "full"})
    assert forms.read("boot", {"anything": 1}) is None
    assert forms.read("note", {"event": "enrolled"}) is None


def test_names_with_dots_are_those_of_the_conventions():
    dotted = {field.alias for field in Decided.model_fields.values() if field.alias}

    assert dotted == {"gen_ai.operation.name", "gen_ai.request.model"}
