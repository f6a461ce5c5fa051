"""A rollout's file is read whole or refused with everything that is wrong with it; no bytes end it otherwise."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import rollout_file
from appliance.fleet.rollout import Bundle, Rollout, installing, seconds
from appliance.policy.workflow.complaint import Refused

GOOD = """\
rollout: dim-30
what:
  commands:
    - {kind: call, tool: dim, arguments: {level: 30}}
undo:
  commands:
    - {kind: call, tool: dim, arguments: {level: 100}}
among: tag=workshop
rings:
  - {name: canary, where: device=lamp, soak: 1h}
  - {name: tenth, percent: 10, soak: 1d, expect: {success: 0.99, least_devices: 3}}
  - {name: rest, percent: 100}
answer_within: 2h
expect: {refusals: 0.2, least_requests: 50}
"""


def test_a_good_file_is_read_and_survives_the_database(tmp_path):
    (tmp_path / "r.yaml").write_text(GOOD)

    found = rollout_file.read(tmp_path / "r.yaml")

    assert Rollout.model_validate_json(found.model_dump_json()) == found
    assert found.what.steps()[0].kind == "call"
    assert (found.expected(0).refusals, found.expected(1).success, seconds(found.rings[1].soak)) == (0.2, 0.99, 86_400)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("percent: 10,", "percent: 110,", "rings[1].percent: input should be less than or equal to 100"),
        ("soak: 1h", "soak: soon", "r.yaml:10:40: rings[0].soak: no duration\n    -> a number with s, m, h or d"),
        ("rollout: dim-30", "rollouts: dim-30", "unknown key rollouts"),
        ("rollout: dim-30\n", "", "the file needs the key 'rollout'"),
        ("kind: call, tool", "kind: fly, tool", "what.commands[0]: no such command"),
        ("{level: 30}", "3", "what.commands[0].arguments"),
        ("among: tag=workshop", "among: colour=red", "r.yaml:8:1: among: 'colour=red': say one of"),
        ("name: tenth", "name: rest", "two rings have the same name"),
        ("percent: 10,", "percent: 10, where: tag=x,", "rings[1]: say either percent or where"),
        ("answer_within: 2h", "answer_within: 9d", "as long as a broker keeps a command"),
        ("what:\n", "what:\n  configuration: {uplink: {batch_n: 3}}\n", "say one of commands, configuration, bundle"),
        ("answer_within", "answer_within: 1h\nanswer_within", "is here twice"),
        (GOOD, "", rollout_file.HOW_TO),
        (GOOD, "- a\n- b\n", "no mapping of keys"),
        (GOOD, "a: &x 1\n", "an anchor"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(old, new, said):
    found = rollout_file.parse(GOOD.replace(old, new).encode(), "r.yaml")

    assert isinstance(found, Refused)
    assert said in found.text()


def test_a_return_by_itself_needs_a_way_back():
    text = GOOD.replace("undo:\n  commands:\n    - {kind: call, tool: dim, arguments: {level: 100}}\n", "")

    found = rollout_file.parse(f"{text}return_when_halted: true\n".encode(), "r")

    assert "say under undo how a device takes it back" in found.text()


def test_a_bundle_is_installed_and_then_activated():
    assert installing(Bundle(delivery="lamp-2.tar", activate="lamp/2")) == (
        {"kind": "update", "action": "install", "delivery": "lamp-2.tar"},
        {"kind": "update", "action": "activate", "bundle": "lamp/2"},
    )


def test_the_file_of_the_how_to_can_be_used():
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "roll-out-in-rings.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]

    assert blocks
    for block in blocks:
        assert isinstance(rollout_file.parse(block.encode(), "page"), Rollout), block


def test_a_file_that_is_too_long_is_not_read():
    assert "larger than 64 KiB" in rollout_file.parse(b"a" * 70_000, "r").text()


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (GOOD + text).encode()))
def test_no_bytes_do_anything_but_load_or_be_refused(raw):
    assert isinstance(rollout_file.parse(raw, "r"), Rollout | Refused)


@given(st.data())
def test_a_good_file_that_is_cut_or_altered_does_nothing_else(data):
    at = data.draw(st.integers(0, len(GOOD)))
    altered = (
        GOOD[:at] + data.draw(st.sampled_from(["", ":", "{", "- ", "\n  x: 1\n", "9e99", "null", "\t"])) + GOOD[at:]
    )

    assert isinstance(rollout_file.parse(altered.encode(), "r"), Rollout | Refused)
