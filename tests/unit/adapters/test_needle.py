"""Needle weights of one's own, through needle-rs: loaded by hash only, and noise is refused."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from appliance.adapters import needle as needle_module
from appliance.adapters.asking import BadAnswer
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.needle import PINNED, Needle
from appliance.adapters.saying import Silent
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError

RIG = Path(__file__).parents[2] / "rigs" / "needle_weights.py"
RANDOM2 = Path(__file__).with_name("needle2_random.cact")
RANDOM3 = Path(__file__).with_name("needle3_random.cact")
"""Written at random weights by Needle's own exporters; tests/rigs/needle2_weights.py and needle3_weights.py say how."""

TOOLS = [
    ToolSpec.from_schema(
        "set_light_level",
        "Dim the lights.",
        {
            "properties": {"room": {"type": "string"}, "level_pct": {"type": "integer"}},
            "required": ["room", "level_pct"],
        },
    )
]
SAID = "dim the hall to 30"


@pytest.fixture
def weights(tmp_path):
    pytest.importorskip("needle_rs", reason="needle-rs is not installed: pip install 'edge-agent-appliance[needle]'")
    spec = importlib.util.spec_from_file_location("needle_weights", RIG)
    rig = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rig)
    return rig.write(tmp_path)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def chosen(weights, vocab, **more):
    return EscalationSettings.model_validate(
        {
            "proposer": "needle",
            "generation": 1,
            "weights": weights.name,
            "weights_sha256": sha256(weights),
            "vocabulary": vocab.name,
            "vocabulary_sha256": sha256(vocab),
            **more,
        }
    )


def why(needle):
    with pytest.raises(Silent) as silent:
        needle.ask(SAID, TOOLS)
    return silent.value.why


def test_random_weights_load_run_and_what_they_write_is_refused(weights, tmp_path):
    needle = Needle(chosen(*weights), tmp_path)

    assert needle.run(SAID, "[]"), "noise, and some of it"
    assert why(needle) == "malformed"


@pytest.mark.parametrize(("generation", "file", "engine"), [(2, RANDOM2, "V2Engine"), (3, RANDOM3, "V3Engine")])
def test_a_container_of_needles_own_exporter_loads_runs_and_its_noise_is_no_answer(generation, file, engine):
    rs = pytest.importorskip("needle_rs", reason="needle-rs is not installed: install the extra `needle`")
    settings = {"proposer": "needle", "generation": generation, "weights": file.name, "weights_sha256": sha256(file)}
    needle = Needle(EscalationSettings.model_validate(settings), file.parent)

    assert getattr(rs, engine).from_bytes(file.read_bytes()).run(SAID, "[]"), "the network wrote nothing"
    with pytest.raises(Silent, match="wrote no call") as silent:
        needle.ask(SAID, TOOLS)
    assert silent.value.why == "malformed"
    assert needle.where_sha256 == sha256(file)


def test_weights_run_the_same_twice(weights, tmp_path):
    needle = Needle(chosen(*weights), tmp_path)

    assert needle.run(SAID, "[]") == needle.run(SAID, "[]")


@pytest.mark.parametrize("which", [0, 1])
def test_weights_that_are_not_those_that_were_named_are_not_loaded(weights, tmp_path, which):
    needle = Needle(chosen(*weights), tmp_path)
    raw = bytearray(weights[which].read_bytes())
    raw[len(raw) // 2] ^= 1
    weights[which].write_bytes(raw)

    with pytest.raises(BundleError, match="not the one in"):
        needle.run(SAID, "[]")
    assert why(needle) == "unreachable"
    assert "not the one in" in needle.lacks()
    assert str(tmp_path) not in needle.lacks()


def test_a_file_that_is_not_there_is_named_by_its_setting(weights, tmp_path):
    needle = Needle(chosen(*weights), tmp_path)
    assert not needle.lacks()
    weights[1].unlink()

    assert needle.lacks() == "the file under `vocabulary` cannot be read: No such file or directory"


@pytest.mark.parametrize("generation", [1, 2, 3])
@pytest.mark.parametrize("raw", [b"", b"\x00" * 64, b"\xff" * 64, b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_that_is_no_weights_ends_its_own_process_and_no_other(weights, tmp_path, raw, generation):
    weights[0].write_bytes(raw)

    assert why(Needle(chosen(*weights, generation=generation), tmp_path)) == "fault"


def test_a_network_that_takes_too_long_is_ended(weights, tmp_path):
    assert why(Needle(chosen(*weights).model_copy(update={"time_limit_s": 0.001}), tmp_path)) == "timeout"


def test_another_version_of_needle_rs_is_not_used(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(needle_module.importlib.metadata, "version", lambda _name: "9.9.9")

    with pytest.raises(BundleError, match=PINNED):
        Needle(chosen(*weights), tmp_path).run(SAID, "[]")


def test_the_version_that_is_pinned_is_the_one_in_the_project():
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")

    assert f'"needle-rs=={PINNED}"' in project


def test_what_writes_without_end_is_ended_and_none_of_it_is_read(weights, tmp_path, monkeypatch):
    forever = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    monkeypatch.setattr(needle_module, "_CHILD", (needle_module.sys.executable, "-c", forever))

    assert why(Needle(chosen(*weights).model_copy(update={"time_limit_s": 60.0}), tmp_path)) == "malformed"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            '[{"name":"set_light_level","arguments":{"room":"hall","level_pct":30}}]',
            {"room": "hall", "level_pct": "30"},
        ),
        ("[]", None),
    ],
)
def test_what_needle_writes_becomes_words_of_the_request(said, words):
    calls = needle_module._read(said, SAID, TOOLS)

    found = [{name: SAID[m.spans[0].start : m.spans[0].end] for name, m in call.mentions.items()} for call in calls]
    assert found == ([] if words is None else [words])


def test_a_value_that_nobody_said_points_nowhere():
    (call,) = needle_module._read('[{"name":"set_light_level","arguments":{"level_pct":80}}]', SAID, TOOLS)

    assert [tuple(span) for span in call.mentions["level_pct"].spans] == [(0, 0)]


@pytest.mark.parametrize(
    "said", ["", " ", "no", "{}", '[{"name":"x"}]', '[{"name":"x y","arguments":{}}]', "[1]", "[" * 9999]
)
def test_what_is_no_list_of_calls_is_refused(said):
    with pytest.raises(BadAnswer):
        needle_module._read(said, SAID, TOOLS)
