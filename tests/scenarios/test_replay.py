"""What was decided is recorded whole, and deciding it again gives the same; by the bundle that ships."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli, settings
from appliance.contracts import forms
from appliance.contracts.decision import CANDIDATES_N, Closed, Decided, Decision, Parked, Refused, Settled, Step
from appliance.contracts.home import Home
from appliance.contracts.request import Call, Origin, OriginKind, Request
from appliance.contracts.toolcall import ToolCall
from appliance.daemon import Daemon
from appliance.replay.again import Replayer
from appliance.replay.differences import UNEXPLAINED
from appliance.replay.models import Models
from appliance.replay.recorded import CannotReplay, Ledger
from appliance.storage import audit, database, inbox
from appliance.storage.database import open_reader

SHIPPED = json.loads((settings.shipped_bundle() / "manifest.json").read_text())
ACT_AT = SHIPPED["thresholds"]["act"]


def request(name, kind, tool, **literals):
    return Request(
        request_id=name,
        received_at=datetime.now(UTC),
        origin=Origin(kind=kind, peer="test"),
        body=Call(call=ToolCall(tool=tool, literals=literals), because="test"),
    )


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A home whose device has seen one of everything; the daemon has ended."""
    from appliance.client import Appliance

    root = tmp_path_factory.mktemp("lived")
    daemon = Daemon(Home(root), settings.load(root))
    inbox.submit(daemon.parts.db, request("timer", OriginKind.TIMER, "announce", text="Tea."))
    inbox.submit(daemon.parts.db, request("controller", OriginKind.CONTROLLER, "turn_light_on", room="hall"))
    inbox.submit(daemon.parts.db, request("unknown", OriginKind.CONTROLLER, "launch", rocket="big"))
    daemon.start()
    try:
        client, told = Appliance(root), {}
        told["dim"] = client.say("dim the workshop lights to 30 percent")
        told["yes"] = client.say("start the extractor for ten minutes", yes=True)
        told["several"] = client.say("turn on the hall lights and set the heating to 21 degrees", yes=True)
        told["refused"] = client.say("what is the capital of France")
        told["undo"] = client.undo()
        told["asked"] = client.say("dim the workshop lights")
        told["answered"] = client.answer(told["asked"].request_id, "45 percent")
        told["personal"] = client.say("remind me to call mum tomorrow at 8")
        told["edited"] = client.confirm(told["personal"].request_id, edits={"text": "call dad"})
        told["risky"] = client.say("open the garage")
        told["declined"] = client.confirm(told["risky"].request_id, yes=False)
        client.stop("test")
        told["locked"] = client.say("turn on the kitchen lights")
        client.release()
        told["records"] = list(audit.rows(daemon.parts.db.connection))
    finally:
        daemon.stop()
    return root, told


@pytest.fixture
def home(lived, tmp_path):
    """A copy of that home, to alter."""
    return shutil.copytree(lived[0], tmp_path / "home", ignore=shutil.ignore_patterns("run"))


def replay(home, *options):
    """Run `appliance audit replay --json`; return its exit code, its lines and its summary."""
    result = CliRunner().invoke(cli.group, ["--home", str(home), "audit", "replay", "--json", *options])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.output
    return result.exit_code, lines[:-1], lines[-1]


def alter(home, sql, *values):
    with closing(sqlite3.connect(home / "appliance.db")) as db, db:
        assert db.execute(sql, values).rowcount > 0


def facts_of(told, kind, request_id, form):
    found = [forms.read(r.kind, json.loads(r.body)["facts"]) for r in told["records"] if r.request_id == request_id]
    return next(facts for facts in found if isinstance(facts, form))


def bundle_with(folder, **changes):
    """Write a bundle that differs from the one that ships in its manifest."""
    folder.mkdir()
    for path in settings.shipped_bundle().iterdir():
        (folder / path.name).symlink_to(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    for name, change in changes.items():
        manifest[name] = manifest[name] | change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_every_decision_is_decided_again_the_same_way(home, lived):
    code, lines, summary = replay(home)

    assert [line for line in lines if line["verdict"] != "equal"] == []
    assert code == 0
    decisions = [
        r for r in lived[1]["records"] if isinstance(forms.read(r.kind, json.loads(r.body)["facts"]), Decision)
    ]
    assert summary["decisions"] == len(decisions) >= 13
    assert summary["largest_drift"] == 0


def test_every_record_of_a_request_has_its_form_and_loses_nothing_in_it(lived):
    seen = set()
    for row in lived[1]["records"]:
        facts = json.loads(row.body)["facts"]
        form = forms.read(row.kind, facts)
        seen.add(type(form))
        assert form is None or form.to_json() == facts
    assert {Decided, Parked, Step, Settled, Refused, Closed} <= seen


def test_a_decision_says_all_that_it_was_decided_by(lived):
    said = lived[1]["dim"]
    decided = facts_of(lived[1], "decided", said.request_id, Decided)
    (call,) = decided.calls

    assert (call.tool, call.arguments) == ("set_light_level", {"room": "workshop lights", "level_pct": 30})
    assert call.spans["level_pct"]
    assert call.rules["confidence"].values["act_at"] == ACT_AT
    assert call.rules["confidence"].values["confidence"] == call.confidence
    assert call.rules["emergency-stop"].values == {"locked": False, "risk": "low"}
    assert len(decided.proposal.candidates) == CANDIDATES_N
    assert decided.origin.peer.startswith("uid:")
    assert decided.model == f"{SHIPPED['name']}/{SHIPPED['version']}"
    assert decided.versions.bundle_sha256
    assert decided.state == "idle"
    assert decided.latency.reading_ms > 0
    settled = facts_of(lived[1], "settled", said.request_id, Settled)
    assert (settled.calls[0].state, settled.calls[0].postcondition) == ("done", "held")
    assert settled.latency.total_ms >= decided.latency.reading_ms


def test_what_was_decided_is_not_written_twice(lived):
    rows = {r.kind: len(r.body) for r in lived[1]["records"] if r.request_id == lived[1]["dim"].request_id}

    assert rows["decided"] < 2200
    assert rows["settled"] < 600


def test_words_and_reasons_are_nowhere_in_what_anyone_may_read(lived):
    public = " ".join(row.body for row in lived[1]["records"])

    for words in ("call mum", "call dad", "capital", "is that what you meant", "Tea.", "rocket"):
        assert words not in public


def test_an_approval_says_who_and_when_and_what_was_corrected(lived):
    edited = facts_of(lived[1], "decided", lived[1]["edited"].request_id, Decided)

    assert edited.guards.confirmed
    assert edited.approval.edited == ("text",)
    assert edited.approval.origin.peer.startswith("uid:")
    assert edited.approval.note > edited.continues
    declined = facts_of(lived[1], "settled", lived[1]["declined"].request_id, Closed)
    assert (declined.code, declined.approval.yes) == ("declined", False)


def test_what_is_refused_under_the_emergency_stop_records_the_guard(lived):
    refused = facts_of(lived[1], "settled", lived[1]["locked"].request_id, Refused)

    assert refused.code == "emergency-stop"
    assert refused.guards.locked
    assert refused.state == "locked"


@pytest.mark.parametrize(
    ("was", "is_now", "expected"),
    [
        ('"locked":false,"permitted"', '"locked":true,"permitted"', "decision: act recorded, refuse now"),
        ('"level_pct":30', '"level_pct":90', "set_light_level: level_pct 90 recorded, 30 now"),
        ('"said":"pass"', '"said":"deny"', "the rule confidence said deny, and now pass"),
        (f'"act_at":{ACT_AT}', '"act_at":0.5', f"judged on act_at 0.5, and now {ACT_AT}"),
        ('"anchor":[0,3]', '"anchor":[0,9]', "read from other words"),
    ],
)
def test_an_altered_record_differs_and_nothing_explains_it(home, lived, was, is_now, expected):
    request_id = lived[1]["dim"].request_id
    sql = "update audit set body = replace(body, ?, ?) where kind = 'decided' and request_id = ?"
    alter(home, sql, was, is_now, request_id)

    code, (line,), summary = replay(home, "--request", request_id)

    assert (code, summary["differs"]) == (1, 1)
    assert any(expected in difference for difference in line["differences"]), line
    assert line["why"] == [UNEXPLAINED]


def test_a_decision_by_other_software_names_it_as_the_reason(home, lived):
    sql = "update audit set body = replace(replace(body, ?, ?), ?, ?) where kind = 'decided' and request_id = ?"
    old, new = '"software":"0.1.0"', '"software":"0.0.9"'
    alter(home, sql, old, new, '"level_pct":30', '"level_pct":31', lived[1]["dim"].request_id)

    _, (line,), _ = replay(home, "--request", lived[1]["dim"].request_id)

    assert line["why"] == ["software 0.0.9 decided, this is 0.1.0"]


def test_erased_words_cannot_be_replayed_and_the_rest_can(home):
    alter(home, "update audit set personal = null where personal is not null")

    code, lines, summary = replay(home)

    assert code == 0
    assert summary["not_replayed_because"] == {"words were erased": summary["not_replayed"]}
    assert summary["equal"] >= 1  # a call that had nobody's words in it
    assert {line["verdict"] for line in lines} == {"equal", "not replayed"}


def test_without_the_recorded_bundle_it_says_which_one_is_missing(home):
    with closing(open_reader(home / "appliance.db")) as reader:
        ledger = Ledger(reader)
        replayer = Replayer(ledger, Models([], runtime="auto", threads_n=1))
        first = ledger.decision(next(s for s in ledger.decisions() if ledger.decision(s).facts.asked_as == "ask"))
        with pytest.raises(CannotReplay, match=rf"{SHIPPED['name']}/.* is not here"):
            replayer.again(first)


def test_pruned_records_that_a_decision_needs_are_named(home, lived):
    parked = next(
        r.seq for r in lived[1]["records"] if r.kind == "parked" and r.request_id == lived[1]["asked"].request_id
    )
    alter(home, "delete from audit where seq = ?", parked)
    _, lines, _ = replay(home, "--request", lived[1]["asked"].request_id)
    assert [line["because"] for line in lines] == ["a record that it goes on from has left the device"]

    alter(home, "delete from audit where kind = 'configured'")
    code, _, summary = replay(home)
    assert code == 1  # nothing could be replayed
    assert summary["not_replayed"] == summary["decisions"]


def test_a_range_of_decisions_can_be_chosen(home):
    with closing(open_reader(home / "appliance.db")) as reader:
        seqs = Ledger(reader).decisions()

    assert [line["seq"] for line in replay(home, "--last", "2")[1]] == seqs[-2:]
    assert [line["seq"] for line in replay(home, "--after", str(seqs[3]), "--before", str(seqs[6]))[1]] == seqs[4:6]


def test_the_same_bundle_elsewhere_is_the_recorded_one(home):
    _, lines, _ = replay(home, "--bundle", str(settings.shipped_bundle()), "--last", "1")

    assert [line["verdict"] for line in lines] == ["equal"]


def test_another_bundle_says_what_it_would_have_done_most_dangerous_first(home, tmp_path):
    eager = bundle_with(tmp_path / "eager", thresholds={"act": 0.3, "confirm": 0.05, "abstain": 0.99})

    code, lines, summary = replay(home, "--bundle", str(eager))

    assert code == 1
    assert summary["now_acts"] >= 1
    assert lines[0]["change"] == "now acts"
    assert any(line["was"].startswith("confirm set_reminder") for line in lines)
    assert summary["same"] + summary["now_acts"] + summary["now_asks"] + summary["other_arguments"] == (
        summary["decisions"] - summary["other_tool"] - summary["now_refuses"]
    )


def test_a_shy_bundle_asks_and_a_deaf_one_refuses(home, tmp_path):
    shy = bundle_with(tmp_path / "shy", thresholds={"act": 0.99})
    assert replay(home, "--bundle", str(shy))[2]["now_asks"] >= 1

    deaf = bundle_with(tmp_path / "deaf", calibration={"call_logit": 20.0})
    _, lines, summary = replay(home, "--bundle", str(deaf))
    assert summary["now_refuses"] >= 4
    assert {line["change"] for line in lines} == {"now refuses"}


def test_what_the_other_bundle_changes_is_told_to_a_person(home, tmp_path):
    shy = bundle_with(tmp_path / "shy", thresholds={"act": 0.99})

    shown = CliRunner().invoke(cli.group, ["--home", str(home), "audit", "replay", "--bundle", str(shy)])

    assert shown.exit_code == 1
    assert "now asks" in shown.stdout
    assert "“dim the workshop lights to 30 percent”" in shown.stdout
    assert "was  act set_light_level(level_pct=30, room=workshop lights)" in shown.stdout


def test_a_change_of_policy_is_another_configuration_and_both_replay(home):
    (home / "appliance.toml").write_text("[policy]\nact_at = 0.99\n")
    daemon = Daemon(Home(home), settings.load(home))
    daemon.start()
    try:
        from appliance.client import Appliance

        assert Appliance(home).say("dim the workshop lights to 30 percent").status == "waiting"
        configured = [
            json.loads(r.body)["facts"] for r in audit.rows(daemon.parts.db.connection) if r.kind == "configured"
        ]
    finally:
        daemon.stop()

    assert [c["configuration"]["policy"]["act_at"] for c in configured] == [None, 0.99]
    code, _, summary = replay(home)
    assert (code, summary["differs"], summary["not_replayed"]) == (0, 0, 0)


def test_the_other_runtime_may_differ_in_low_bits_and_that_is_said(home, lived):
    pytest.importorskip("tflite_runtime")

    code, _, summary = replay(home, "--runtime", "tflite-runtime", "--request", lived[1]["dim"].request_id)

    assert (code, summary["differs"]) == (0, 0)
    assert 0 < summary["largest_drift"] < SHIPPED["tolerance"]["confidence"]

    alter(
        home, "update audit set body = replace(body, ?, ?) where kind = 'decided'", '"level_pct":30', '"level_pct":31'
    )
    code, (line,), _ = replay(home, "--runtime", "tflite-runtime", "--request", lived[1]["dim"].request_id)
    assert code == 1
    assert "recorded on litert" in line["why"][0]


def test_a_replay_writes_nothing(home):
    path = home / "appliance.db"
    before = path.read_bytes()

    replay(home, "--last", "3")

    assert path.read_bytes() == before


def test_another_ledger_than_the_homes_can_be_replayed(home, tmp_path):
    shutil.move(home / "appliance.db", tmp_path / "copy.db")
    command = ["--home", str(home), "audit", "--database", str(tmp_path / "copy.db"), "replay", "--last", "1"]

    shown = CliRunner().invoke(cli.group, command)

    assert shown.exit_code == 0, shown.output
    assert "equal: 1 decisions" in shown.stdout


def test_decisions_of_an_earlier_epoch_can_be_replayed(home):
    with closing(open_reader(home / "appliance.db")) as reader:
        epoch = reader.execute("select value from meta where key = 'epoch'").fetchone()[0]
    alter(home, "insert into past select ?, * from audit", epoch)
    alter(home, "delete from audit")
    alter(home, "update meta set value = 'another' where key = 'epoch'")

    assert replay(home, "--last", "1")[2]["decisions"] == 0
    _, lines, _ = replay(home, "--epoch", epoch, "--last", "2")
    assert [line["verdict"] for line in lines] == ["equal", "equal"]


def test_a_folder_that_holds_no_bundle_is_refused_by_name(home, tmp_path):
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(
        cli.group, ["--home", str(home), "audit", "replay", "--bundle", str(tmp_path / "empty")]
    )

    assert result.exit_code != 0
    assert "no bundle in" in str(result.exception)


def test_records_of_other_software_are_passed_over_with_a_reason(home, lived):
    alter(home, "update audit set body = replace(body, '\"comes_to\"', '\"ends_in\"') where kind = 'decided'")

    _, lines, _ = replay(home, "--request", lived[1]["dim"].request_id)

    assert [line["because"] for line in lines] == ["other software wrote it, in a form that this one does not know"]


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ('"facts":', '"fact":'),
        ('"spans":{', '"spans":{"x":[[1]],'),
        ('"gen_ai.tool.name":"set', '"gen_ai.tool.name":"\\q'),
        ('"context":{"now":"2', '"context":{"now":"x'),
        ('"kind":"decided"', '"kind":"decided"}'),
        ('"configured":"', '"configured":"0'),
        ('"asked_as":"ask"', '"asked_as":"ask","continues":99'),
    ],
)
def test_a_record_altered_beyond_reading_ends_no_replay(home, lived, was, is_now):
    request_id = lived[1]["dim"].request_id
    sql = "update audit set body = replace(body, ?, ?) where kind = 'decided' and request_id = ?"
    alter(home, sql, was, is_now, request_id)

    altered = next(r.seq for r in lived[1]["records"] if r.request_id == request_id and r.kind == "decided")

    _, lines, summary = replay(home, "--before", str(altered + 3))

    assert [line["seq"] for line in lines if line["verdict"] == "not replayed"] == [altered]
    assert summary["equal"] == len(lines) - 1


def test_an_empty_ledger_has_nothing_to_replay(tmp_path):
    database.open_database(tmp_path / "appliance.db").db.close()

    assert replay(tmp_path)[0::2] == (0, {
        "decisions": 0, "equal": 0, "differs": 0, "not_replayed": 0, "not_replayed_because": {},
        "largest_drift": 0.0, "a_second": 0.0,
    })  # fmt: skip
