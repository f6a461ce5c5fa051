"""The support archive tells what is wrong and nothing of what people said or are called."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime

import pytest

from appliance import diagnose
from appliance.errors import UsageError

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)

CANARIES = ("Margarete", "Zimtstern", "quokka", "hollyhock", "broker.example", "wombat")

SETTINGS = """\
[device]
id = "quokka-7"
name = "Margarete"
[policy]
act_at = 0.91
controller_risk = "read"
disabled_tools = ["delete_note"]
[site]
rooms = ["hollyhock"]
[[site.lights]]
name = "Zimtstern"
room = "hollyhock"
"""


def contents(path):
    with tarfile.open(path) as tar:
        return {m.name.removeprefix("appliance-diagnose/"): tar.extractfile(m).read().decode() for m in tar}


@pytest.fixture
def archive(bench, tmp_path):
    """The archive of a home where every place that can hold a person's word holds one."""
    bench.configure(SETTINGS)
    bench.start()
    bench.client.say("remind Margarete about the Zimtstern")
    bench.client.call("add_note", {"text": "Margarete hid the quokka"})
    bench.client.call("set_light_level", {"room": "Margarete", "level_pct": 30})
    bench.client.call("Margarete", {"Zimtstern": "hollyhock"})
    bench.home.log.write_text(
        "Traceback (most recent call last):\nValueError: Margarete\n"
        'appliance: cannot open Zimtstern\n{"who": "Margarete"}\n'
        '{"SYSLOG_IDENTIFIER": "appliance", "MESSAGE": "ready", "BOOT": 1, "REASON": "quokka", "DEVICE": "WOMBAT!"}\n',
        encoding="utf-8",
    )
    (bench.home.root / "Margarete.txt").write_text("Margarete", encoding="utf-8")
    diagnose.diagnose(bench.home, tmp_path / "support.tar.gz", NOW)
    return contents(tmp_path / "support.tar.gz")


def test_no_word_of_a_person_is_in_it(archive):
    everything = "\n".join([*archive, *archive.values()]).casefold()

    assert [canary for canary in CANARIES if canary.casefold() in everything] == []


def test_what_helps_is_in_it(archive):
    counts = json.loads(archive["counts.json"])
    chosen = json.loads(archive["settings.json"])
    journal = [json.loads(line) for line in archive["journal.jsonl"].splitlines()]

    assert counts["statuses"]["done"] == 1
    assert counts["rows"]["notes"] == 1
    assert chosen["policy"]["act_at"] == 0.91
    assert chosen["policy"]["controller_risk"] == "read"
    assert chosen["device"]["name"] == "(9 characters)"
    assert "CREATE TABLE audit" in archive["schema.sql"]
    assert json.loads(archive["versions.json"])["packages"]["pydantic"]
    assert {c["check"] for c in json.loads(archive["doctor.json"])} >= {"disk", "bundle", "clock", "daemon"}
    assert journal == [
        {"SYSLOG_IDENTIFIER": "appliance", "MESSAGE": "ready", "BOOT": 1, "DEVICE": "(withheld)"},
        {"LINES_LEFT_OUT": 4},
    ]


def test_a_home_that_is_broken_in_every_way_still_gets_its_archive(bench, tmp_path):
    bench.configure("[device\nname = Margarete")
    bench.home.database.write_bytes(b"Margarete" * 1000)

    diagnose.diagnose(bench.home, tmp_path / "support.tar.gz", NOW)

    files = contents(tmp_path / "support.tar.gz")
    assert "error" in json.loads(files["settings.json"])
    assert "error" in json.loads(files["counts.json"])
    assert "Margarete" not in "".join(files.values())


def test_an_archive_is_never_overwritten(bench, tmp_path):
    bench.configure("")
    (tmp_path / "mine").write_text("precious", encoding="utf-8")

    with pytest.raises(UsageError, match="name a new file"):
        diagnose.diagnose(bench.home, tmp_path / "mine", NOW)
