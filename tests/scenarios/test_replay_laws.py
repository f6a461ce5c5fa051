"""What was decided under laws is decided again the same way from the ledger alone; what was altered is found."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from appliance import cli, settings
from appliance.client import Appliance
from appliance.contracts.canonical import digest
from appliance.contracts.home import Home
from appliance.contracts.local import EnrolPerson, LoadLaws
from appliance.daemon import Daemon
from appliance.transport.local import LocalClient

LAMPS = """\
workflow: lamps
version: {version}
initial: day
safe: day
governs: [turn_light_on, turn_light_off, unlock_door]
measures:
  warmth: {{sensor: hall temperature, type: number, unit: °C, stale_after: 1min}}
events:
  evening: {{}}
  morning: {{}}
states:
  day:
    swap: true
    tools: [turn_light_off]
    go: [{{event: evening, to: night}}]
  night:
    tools:
      - {{tool: turn_light_on, when: warmth > 5 °C}}
      - {{tool: turn_light_off}}
      - {{tool: unlock_door, approve: {{role: approver, people: 1, within: 1min}}}}
    calls: 3
    enter: [{{call: turn_light_off, with: {{room: hall}}}}]
    go: [{{event: morning, to: day}}]
rules:
  rest: {{tools: [turn_light_on], limit: {{calls: 1, per: 1h}}}}
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A home whose laws have allowed, denied, asked for approval and been exchanged; the daemon has ended."""
    root = tmp_path_factory.mktemp("lived")
    (root / "laws").mkdir()
    (root / "laws" / "lamps.yaml").write_text(LAMPS.format(version=1))
    daemon = Daemon(Home(root), settings.load(root))
    daemon.start()
    told, client, ask = {}, Appliance(root), LocalClient(root)
    try:
        assert ask.request(EnrolPerson(name="dora", role="admin", new_pin="x82-rtq"), timeout_s=30).ok
        told["denied"] = client.call("turn_light_on", {"room": "hall"})
        client.event("evening")
        told["on"] = client.call("turn_light_on", {"room": "hall"})
        told["limited"] = client.call("turn_light_on", {"room": "hall"})
        told["door"] = client.call("unlock_door", {"door": "front door"})
        told["opened"] = client.approve(told["door"].request_id, person="dora", pin="x82-rtq")
        client.event("morning")
        (root / "laws" / "lamps.yaml").write_text(LAMPS.format(version=2).replace("turn_light_off]", "turn_light_on]"))
        assert ask.request(LoadLaws(), timeout_s=30).ok
        told["under version 2"] = client.call("turn_light_on", {"room": "kitchen"})
    finally:
        daemon.stop()
    return root, told


@pytest.fixture
def home(lived, tmp_path):
    """A copy of that home, to alter."""
    return shutil.copytree(lived[0], tmp_path / "home", ignore=shutil.ignore_patterns("run"))


def replay(home, *options):
    result = CliRunner().invoke(cli.group, ["--home", str(home), "audit", "replay", "--json", *options])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.output
    return result.exit_code, lines[:-1], lines[-1]


def alter(home, request_id, was, is_now):
    sql = "update audit set body = replace(body, ?, ?) where request_id = ? and instr(body, ?) > 0"
    with closing(sqlite3.connect(home / "appliance.db")) as db, db:
        assert db.execute(sql, (was, is_now, request_id, was)).rowcount > 0


def test_decisions_under_laws_are_decided_again_the_same_way(home, lived):
    statuses = {name: said.status for name, said in lived[1].items()}
    assert statuses == {
        "denied": "refused", "on": "done", "limited": "refused", "door": "waiting", "opened": "done",
        "under version 2": "refused",
    }  # fmt: skip

    code, lines, summary = replay(home)

    assert [line for line in lines if line["verdict"] != "equal"] == []
    assert (code, summary["decisions"]) == (0, 7)  # the act that the law owed is one of them


@pytest.mark.parametrize(
    ("which", "was", "is_now", "expected"),
    [
        ("on", '"warmth":{', '"warmth":{"value":1.0,"was":{', None),
        ("on", '"state":"night"}', '"state":"day"}', None),
        ("denied", '"said":"deny"', '"said":"pass"', "workflow:lamps"),
        ("limited", '"used":{', '"unused":{', None),
    ],
)
def test_an_altered_run_or_reading_is_found(home, lived, which, was, is_now, expected):
    request_id = lived[1][which].request_id
    alter(home, request_id, was, is_now)

    code, (line,), summary = replay(home, "--request", request_id)

    assert line["verdict"] != "equal", (line, summary)
    assert code == 1 or line["verdict"] == "not replayed"
    assert expected is None or any(expected in one for one in line["differences"])


def test_without_the_text_of_its_law_a_decision_says_so(home, lived):
    with closing(sqlite3.connect(home / "appliance.db")) as db, db:
        for seq, body in db.execute("select seq, body from audit where kind = 'configured'").fetchall():
            record = json.loads(body)
            configured = record["facts"]["configuration"]
            for law in configured.get("laws", ()):
                law["text"] = ""
            old, new = record["facts"]["digest"], digest(configured)
            record["facts"]["digest"] = new
            db.execute("update audit set body = ? where seq = ?", (json.dumps(record), seq))
            db.execute("update audit set body = replace(body, ?, ?) where kind <> 'configured'", (old, new))

    _, (line,), summary = replay(home, "--request", lived[1]["on"].request_id)

    assert line["verdict"] == "not replayed"
    assert "the text of the workflow lamps, version 1, is not in its record" in str(summary["not_replayed_because"])
