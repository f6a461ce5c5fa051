"""Somebody follows a workflow from the command line: where it is, what it did, what it denied; also after a restore."""

import json
import zipfile

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.local import LoadLaws, SetMaintenance
from appliance.transport.local import LocalClient

PORCH = """\
workflow: porch
version: 1
title: Light on the porch
danger: safe
initial: resting
safe: resting
governs: [turn_light_on]
events:
  begin: {about: The shift begins}
  finish: {about: The shift ends}
states:
  resting:
    about: Nobody is here
    swap: true
    go:
      - {event: begin, to: working}
  working:
    about: Somebody is here
    tools: [turn_light_on]
    go:
      - {event: finish, to: resting}
"""

NOTEBOOK = """\
workflow: notebook
version: 1
title: One note a day
danger: safe
initial: empty
safe: empty
governs: [add_note]
events:
  turn: {about: A new page}
states:
  empty:
    about: Nothing is written
    tools: [add_note]
    go:
      - {tool: add_note, result: done, to: written}
  written:
    about: The page is full
    go:
      - {event: turn, to: empty}
"""


@pytest.fixture
def porch(bench):
    """A running appliance with one law."""
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "porch.yaml").write_text(PORCH)
    bench.start()
    yield bench
    bench.stop()


def told(bench, *words):
    """Run a command on the home; return its exit code and what it printed."""
    result = CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def lines(bench, *words):
    return [json.loads(line) for line in told(bench, "workflow", "history", "--json", *words)[1].splitlines()]


def test_what_is_said_to_a_workflow_is_in_its_history_with_the_request_that_caused_it(porch):
    code, said = told(porch, "workflow", "say", "begin", "--json")
    request_id = json.loads(said)["request_id"]

    assert code == 0
    last = lines(porch)[-1]
    assert (last["kind"], last["before"], last["after"], last["event"]) == ("moved", "resting", "working", "begin")
    assert last["request_id"] == request_id
    assert "goes from resting to working" in told(porch, "workflow", "history")[1]
    assert "working" in told(porch, "workflow", "status")[1]


def test_a_call_that_a_workflow_denies_is_among_its_denials(porch):
    code, said = told(porch, "call", "turn_light_on", '{"room": "kitchen"}', "--json")

    assert code == 11
    (denial,) = lines(porch, "--denials")
    assert (denial["what"], denial["workflow"], denial["state"]) == ("call", "porch", "resting")
    assert (denial["tool"], denial["arguments"]) == ("turn_light_on", {"room": "kitchen"})
    assert denial["request_id"] == json.loads(said)["request_id"]
    assert "not allowed there" in denial["reason"]


def test_an_event_that_nothing_waits_for_is_refused_by_exit_code_and_recorded(porch):
    assert told(porch, "workflow", "say", "finish")[0] == 11

    (denial,) = lines(porch, "--denials")
    assert (denial["what"], denial["tool"], denial["rule"]) == ("event", "finish", "illegal")


def test_history_is_paged_both_ways_without_a_gap(porch):
    for event in ("begin", "finish") * 4:
        told(porch, "workflow", "say", event)
    every = [row["seq"] for row in lines(porch)]

    newest = [row["seq"] for row in lines(porch, "--limit", "4")]
    before = [row["seq"] for row in lines(porch, "--limit", "4", "--before", str(newest[0]))]
    onward = [row["seq"] for row in lines(porch, "--limit", "4", "--after", str(before[-1]))]

    assert len(every) == 9  # it began, and moved eight times
    assert before + newest == every[1:]
    assert onward == newest


def test_without_a_daemon_status_says_where_the_runs_were_left(porch):
    told(porch, "workflow", "say", "begin")
    porch.stop()

    code, said = told(porch, "workflow", "status")

    assert code == 0
    assert "No appliance runs here" in said
    assert "porch 1: working" in said
    left = json.loads(told(porch, "workflow", "status", "--json")[1])["workflows"][0]
    assert (left["state"], left["path"][-1]["after"]) == ("working", "working")


def test_a_run_goes_on_where_it_was_after_a_restart(porch):
    told(porch, "workflow", "say", "begin")
    run_id = porch.client.status()["laws"]["workflows"][0]["run_id"]

    porch.restart()

    (left,) = porch.client.status()["laws"]["workflows"]
    assert (left["run_id"], left["state"]) == (run_id, "working")
    assert lines(porch)[-1]["event"] == "resumed"


def test_after_a_restore_nothing_acts_until_a_person_begins_the_workflows_anew(porch, tmp_path):
    told(porch, "workflow", "say", "begin")
    assert told(porch, "backup", str(tmp_path / "copy.db"))[0] == 0
    before = porch.client.status()["laws"]["workflows"][0]["run_id"]
    porch.stop()
    assert told(porch, "restore", str(tmp_path / "copy.db"), "--yes")[0] == 0
    porch.start()

    barred = porch.client.status()["laws"]["barred"]
    denied = porch.client.call("turn_light_on", {"room": "kitchen"})
    reading = porch.client.call("read_sensor", {"sensor": "fridge"})
    loaded = LocalClient(porch.home.root).request(LoadLaws())

    assert "where the workflows are is not known" in barred
    assert (denied.status, denied.code) == ("refused", "laws")
    assert reading.code != "laws"
    assert loaded.ok
    (anew,) = porch.client.status()["laws"]["workflows"]
    assert (anew["state"], anew["run_id"] == before) == ("resting", False)
    assert porch.client.status()["laws"]["barred"] == ""
    kinds = [row["kind"] for row in lines(porch) if row["run_id"] == before]
    assert kinds[-1] == "ended"


def test_the_maintenance_lock_is_set_and_released_from_the_command_line(porch):
    told(porch, "workflow", "say", "begin")

    assert told(porch, "maintenance", "on", "--why", "greasing the hinge")[0] == 0
    locked = porch.client.call("turn_light_on", {"room": "kitchen"})
    assert told(porch, "maintenance", "off")[0] == 0
    free = porch.client.call("turn_light_on", {"room": "kitchen"})

    assert (locked.status, locked.code) == ("refused", "maintenance")
    assert "greasing the hinge" in locked.reason
    assert free.status == "done"


def test_a_lock_without_a_reason_is_not_set(porch):
    assert told(porch, "maintenance", "on")[0] == 2
    assert LocalClient(porch.home.root).request(SetMaintenance(on=False)).result["status"] == "refused"


def test_an_incident_has_the_step_before_and_tells_the_steps_of_its_request(porch, tmp_path):
    told(porch, "workflow", "say", "begin")
    request_id = json.loads(told(porch, "workflow", "say", "finish", "--json")[1])["request_id"]
    denied = json.loads(told(porch, "call", "turn_light_on", '{"room": "kitchen"}', "--json")[1])["request_id"]

    of_step, of_denial = (_report(porch, tmp_path / f"{asked}.zip", asked) for asked in (request_id, denied))

    assert "goes from resting to working" in of_step  # what went before
    assert "goes from working to resting" in of_step  # what it did
    assert "goes from working to resting" in of_denial
    assert "turn_light_on is not allowed there" in of_denial


def _report(bench, file, request_id):
    code, said = told(bench, "audit", "export", str(file), "--request", request_id)
    assert code == 0, said
    with zipfile.ZipFile(file) as archive:
        return archive.read("report.html").decode()


def test_what_somebody_said_is_not_in_the_steps_that_a_call_caused(bench):
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "porch.yaml").write_text(NOTEBOOK)
    bench.start()
    try:
        done = bench.client.call("add_note", {"text": "the secret is plum"}, request_id="n1")
        steps = [row.body for row in bench.records if row.kind == "run"]
    finally:
        bench.stop()

    assert done.status == "done"
    assert any('"after":"written"' in body for body in steps)
    assert not any("plum" in body for body in steps)
