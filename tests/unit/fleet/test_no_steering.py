"""Nothing that a device says, in whatever field, steers the terminal of whoever looks at it."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from appliance import cli, terminal
from appliance.contracts.envelope import Batch, Desc, Item, PingBody, Reported, Response, State
from appliance.fleet import desired, ingest, outgoing, views
from appliance.fleet.collector import Seen

from .conftest import NOW

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b1m\u202e\u2028\x7f\r\nb"
VERBS = (
    ("devices",), ("devices", "--json"), ("devices", "state=ready"), ("ledger", "lamp"), ("ledger", "lamp", "--json"),
    ("show", "lamp"), ("show", "lamp", "--json"), ("export",), ("config", "drift", "--all"),
    ("config", "drift", "--json"), ("compare",), ("compare", "--json"), ("database",), ("database", "--json"),
)  # fmt: skip


def messages(key_id):
    """Every kind of message, with the text in each field that takes one."""
    at = NOW + timedelta(seconds=1)
    record = {"seq": 1, "kind": HOSTILE[:32], "facts": {HOSTILE: HOSTILE}}
    item = Item(seq=1, id=HOSTILE[:64], kind=HOSTILE[:32], at=at, body={"body": json.dumps(record)})
    names = ("request_id", "status", "bundle_sha256", "software", "verdict")
    turn = Item(seq=1, id="1", kind="turn", at=at, body=dict.fromkeys(names, HOSTILE))
    where = {"site": "site", "device": "lamp"}
    return (
        State(
            **where, state="ready", boot=1, session=1, nonce=HOSTILE, time="trusted", epoch=HOSTILE[:64],
            counters={key_id: 10**9}, at=at,
        ),
        Desc(
            **where, software=HOSTILE, epoch=HOSTILE[:64], at=at, tools=({"name": HOSTILE},),
            bundle={"name": HOSTILE, "version": HOSTILE, "sha256": HOSTILE},
        ),
        Reported(
            **where, version=0, accepted=0, hash="0" * 64, at=at,
            config={"uplink": {"batch_n": HOSTILE}}, pending=(HOSTILE,),
            conflicts=({"key": "uplink.batch_n", "local": HOSTILE},),
            refused={"version": 1, "code": HOSTILE, "text": HOSTILE},
        ),
        Batch(device="lamp", epoch=HOSTILE[:64], stream="audit", after=0, floor=0, items=(item,)),
        Batch(device="lamp", epoch=HOSTILE[:64], stream="evt", after=0, floor=0, items=(turn,)),
    )  # fmt: skip


@pytest.fixture
def told(home):
    """A controller whose device has said all of it, and been asked something."""
    desired.want(home, "lamp", {"uplink": {"batch_n": 5}}, now=NOW, because="test")
    correlation = outgoing.queue(home, "lamp", PingBody(), now=NOW, expires_s=600, because="test")
    answer = Response(
        device="lamp", correlation=correlation, life="failed", status=500, code=HOSTILE[:64], text=HOSTILE,
        result={HOSTILE: HOSTILE}, at=NOW + timedelta(seconds=1),
    )  # fmt: skip
    said = (*messages(home.key.key_id), answer)
    state, desc, reported, *batches, _ = said
    ingest.store_state(home, state, NOW)
    ingest.store_desc(home, desc)
    desired.store_reported(home, reported, NOW)
    ingest.store_batches(home, batches, NOW)
    ingest.store_answer(home, answer, NOW)
    return said


def assert_obeys_nothing(output):
    for line in output.split("\n"):
        assert terminal.visible(line) == line


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_verb_of_the_controller_hands_it_to_the_terminal(home, told, verb):
    said = CliRunner().invoke(cli.group, ["fleet", *verb, "--fleet-home", str(home.path)])

    assert said.exit_code in (0, 1), said.exception
    assert_obeys_nothing(said.output)
    if "--json" in verb or verb == ("export",):
        assert all(json.loads(line) is not None for line in said.output.splitlines())


def test_what_is_watched_while_it_arrives_is_shown_and_not_obeyed(home, told, capsys):
    for said in told:
        for line in views.seen_lines(Seen("lamp", said, new=True)):
            terminal.tell(line)
        terminal.tell_json(views.seen_facts(Seen("lamp", said, new=True)))
    terminal.tell(views.answer_line(told[-1]))

    shown = capsys.readouterr().out
    assert_obeys_nothing(shown)
    assert "\\x1b]0;owned" in shown
