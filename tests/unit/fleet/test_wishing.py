"""What a person types becomes one command or a sentence that says what is wrong, whichever way it then leaves."""

import json

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.errors import UsageError
from appliance.fleet import wishing
from appliance.fleet.wishing import Wish


@pytest.mark.parametrize(
    ("wish", "body"),
    [
        (Wish("turn on the light"), {"kind": "ask", "text": "turn on the light"}),
        (Wish("smoke", stop_now=True), {"kind": "stop", "reason": "smoke"}),
        (Wish("", ping=True), {"kind": "ping"}),
        (Wish("", tool="dim", arguments='{"level": 3}'), {"kind": "call", "tool": "dim", "arguments": {"level": 3}}),
        (Wish("", event="door_open"), {"kind": "event", "event": "door_open"}),
    ],
)
def test_each_option_says_a_command(wish, body):
    assert wishing.body_of(wish).model_dump(mode="json").items() >= body.items()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(""), "say one of: WORDS"),
        (Wish("x", ping=True), "say one of: WORDS"),
        (Wish("", ping=True, stop_now=True), "say one of: WORDS"),
        (Wish("x" * 5000), "WORDS: text: String should have at most"),
        (Wish("x" * 5000, stop_now=True), "--stop: reason: String should have at most 500"),
        (Wish("", tool=""), "--call: tool: String should have at least 1"),
        (Wish("", tool="dim", arguments="[1]"), "--arguments: a JSON object is wanted"),
        (Wish("", tool="dim", arguments="{"), "--arguments: not JSON"),
        (Wish("", tool="dim", arguments="[" * 100_000), "--arguments: not JSON"),
        (Wish("x", arguments="{}"), "say --call TOOL too"),
    ],
)
def test_what_cannot_be_is_refused_by_the_option_that_said_it(wish, said):
    with pytest.raises(UsageError) as refused:
        wishing.body_of(wish)

    assert str(refused.value).startswith(said) or said in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("body", b'{"kind": "dance"}', "--body: Input tag 'dance'"),
        ("body", b"\xff", "--body: "),
        ("body", b"x" * 2_000_000, "more than"),
        ("trust", b"\xff\xfe", "is no text"),
        ("trust", b"", "--trust: document: String should have at least 1"),
    ],
)
def test_a_file_that_holds_no_command_is_named_with_its_option(tmp_path, option, content, said):
    file = tmp_path / "file"
    file.write_bytes(content)

    with pytest.raises(UsageError) as refused:
        wishing.body_of(Wish("", **{option: file}))

    assert said in str(refused.value)
    assert "docs/reference/wire.md" in str(refused.value) or said in ("more than", "is no text")


def test_a_stick_and_the_network_take_the_same_words(home, tmp_path):
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"kind": "dance"}))
    stick = ["fleet", "sync", "put", str(tmp_path), "lamp", "--fleet-home", str(home.path)]
    network = ["fleet", "send", "lamp", "--fleet-home", str(home.path)]

    said = [CliRunner().invoke(cli.group, [*way, "--body", str(file)]) for way in (stick, network)]

    assert str(said[0].exception) == str(said[1].exception)
    assert "--body: Input tag 'dance'" in str(said[0].exception)
