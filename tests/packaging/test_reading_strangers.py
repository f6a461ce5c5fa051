"""Whatever a lock or an index says, the tools of `.ci` read it or refuse it; nothing else happens."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

CI = Path(__file__).resolve().parents[2] / ".ci"


def load(name):
    spec = importlib.util.spec_from_file_location(name, CI / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


locked, index, accepted = load("locked"), load("index"), load("accepted")

HASH = "--hash=sha256:" + "0" * 64
pieces = st.sampled_from(
    ["click", "==", "1.0", " ", "\\\n", HASH, ";", "python_version<'3.12'", "--index-url", "@", "[x]", "#"]
)
keys = st.sampled_from(["files", "filename", "url", "hashes", "upload-time", "yanked", "info", "vulnerabilities"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["not there", "not text"])
def test_a_lock_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "lock.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(locked.BadLock, match=r"lock\.txt: "):
        locked.read(path)


@given(text=st.lists(pieces, max_size=12).map("".join) | st.text(max_size=60))
def test_a_lock_is_pins_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    try:
        pins = locked.read(path)
    except locked.BadLock as why:
        assert str(why).startswith("fuzzed.txt")
    else:
        assert all(pin.name and pin.version and pin.hashes for pin in pins)


@given(body=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("model", ["_Project", "_Release"])
def test_an_answer_is_read_or_nothing_is_learned(model, body):
    try:
        read = index._parse(getattr(index, model), index._Answer(body, is_json=True), "click")
    except index.Unasked as why:
        assert str(why).startswith("click: ")
    else:
        assert isinstance(read, getattr(index, model))


@given(text=st.text())
def test_what_goes_to_a_terminal_is_one_plain_line(text):
    assert index.plain(text).isprintable()


@given(text=st.text(max_size=40) | json_values.map(lambda value: f"findings = {json.dumps(value)}"))
def test_what_is_accepted_is_read_or_unusable(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "accepted.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    try:
        assert isinstance(accepted.read(path), accepted.Accepted)
    except accepted.Unusable as why:
        assert str(why).startswith("accepted.toml: ")
