"""Broken files: each a clear complaint in under a second, never a crash, never a part of a law."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policy.workflow import load, reader
from appliance.policy.workflow.complaint import Refused
from appliance.policy.workflow.load import Loaded

BROKEN = Path(__file__).parent / "broken"
EXPECTED = json.loads((BROKEN / "expected.json").read_text(encoding="utf-8"))
TEMPLATES = Path(load.__file__).parent / "templates"
GATE = (TEMPLATES / "gate.yaml").read_bytes()


def test_every_file_of_the_corpus_is_expected_and_there_are_many():
    assert {path.name for path in BROKEN.iterdir()} - {"expected.json"} == set(EXPECTED)
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_broken_file_is_one_clear_complaint_in_under_a_second(name, tools):
    begun = time.process_time()

    found = load.load(BROKEN / name, tools)

    assert time.process_time() - begun < 1.0
    assert isinstance(found, Refused)
    assert EXPECTED[name] in found.text()
    assert len(found.text()) < 6000
    lines = (BROKEN / name).read_bytes().count(b"\n") + 1
    for complaint in found.complaints:
        assert 1 <= complaint.place.line <= lines
        assert complaint.place.column >= 1


@pytest.mark.parametrize(
    "content", [b"a" * 10_000_000, b"- a\n" * 2_500_000, b"[" * 10_000_000, GATE + b"#" * 10_000_000]
)
def test_ten_megabytes_are_refused_by_their_size(content, tmp_path, tools):
    path = tmp_path / "large.yaml"
    path.write_bytes(content)
    begun = time.process_time()

    found = load.load(path, tools)

    assert time.process_time() - begun < 1.0
    assert isinstance(found, Refused)
    assert "larger than 1024 KiB" in found.text()


@pytest.mark.parametrize(
    "piece", [b"- a\n", b"a: b\n", b"{", b"[", b"? ", b"'", b'"', b"&a ", b"*a ", b"!a ", b"|\n", b"- - ", b"x"]
)
def test_a_file_as_large_as_allowed_is_refused_in_under_a_second(piece, tools):
    raw = (piece * (reader.MAX_FILE_BYTES // len(piece)))[: reader.MAX_FILE_BYTES]
    begun = time.process_time()

    found = load.parse(raw, "large.yaml", tools)

    assert time.process_time() - begun < 1.0
    assert isinstance(found, Refused)


def test_more_mappings_than_any_law_needs_are_refused_where_they_become_too_many(tools):
    raw = b"a:\n" + b"".join(b"  k%d: {}\n" % n for n in range(40_000))
    begun = time.process_time()

    found = load.parse(raw, "many_mappings.yaml", tools)

    assert time.process_time() - begun < 1.0
    assert isinstance(found, Refused)
    assert "more than 30,000 lists and mappings" in found.text()
    assert found.complaints[0].place.line == 30_000


def test_a_file_that_is_not_there_is_a_complaint(tmp_path, tools):
    found = load.load(tmp_path / "none.yaml", tools)

    assert isinstance(found, Refused)
    assert "cannot be read" in found.text()


def test_every_complaint_about_names_comes_at_once(tools):
    raw = GATE.replace(b"to: closing", b"to: closin").replace(b"when: gate_open,", b"when: gate_opn,")

    found = load.parse(raw, "gate.yaml", tools)

    assert isinstance(found, Refused)
    assert len(found.complaints) >= 5
    assert found.complaints == tuple(sorted(found.complaints, key=lambda c: c.place))


def test_a_json_file_is_the_same_law(tools):
    tree = reader.read(GATE)

    found = load.parse(json.dumps(tree.data).encode(), "gate.json", tools)

    assert isinstance(found, Loaded)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_never_a_crash(raw):
    assert isinstance(load.parse(raw, "fuzz.yaml", ()), Refused)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(GATE)),
    st.integers(0, 40),
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"{", b"}", b"[", b"]", b": ", b"\n", b"- ", b"#", b"to: ", b"'", b"0"]),
    ),
)
def test_a_damaged_law_is_loaded_whole_or_refused(start, length, patch):
    raw = GATE[:start] + patch + GATE[start + length :]

    found = load.parse(raw, "fuzz.yaml", ())

    if isinstance(found, Loaded):
        # What still loads is what the file says: nothing was left out.
        assert set(found.compiled.states) == set(found.law.states)
    else:
        assert found.complaints


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abg_ ()<>=!andornotin[],'0123456789.°%betwikw", max_size=60))
def test_any_guard_is_read_or_refused(text):
    law = "workflow: w\nversion: 1\ninitial: a\nsafe: a\nmeasures:\n  a: {sensor: s, type: number, stale_after: 1s}\n"
    law += "  b: {sensor: t, type: boolean, stale_after: 1s}\nstates:\n"
    raw = f"{law}  a: {{go: [{{when: {json.dumps(text)}, to: a}}]}}\n"

    assert isinstance(load.parse(raw.encode(), "fuzz.yaml", ()), Loaded | Refused)
