"""After the incident: an auditor asks the ledger, takes the answer along, and checks it where the device is not."""

import csv
import io
import json
import sqlite3
import subprocess
import sys

import pytest

from appliance.storage import database
from appliance.storage.database import open_reader


def run(home, *words):
    return subprocess.run(
        [sys.executable, "-m", "appliance", "--home", str(home), *map(str, words)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def asked(appliance):
    """A running appliance that was asked two things; which requests they were."""
    said = (appliance.client.say("dim the kitchen lights to 30 percent"), appliance.client.say("don't open the gate"))
    return appliance, [outcome.request_id for outcome in said]


def test_an_incident_is_found_exported_and_verified_elsewhere(asked, tmp_path):
    appliance, (done, _) = asked
    home = appliance.home.root
    archive = tmp_path / "door.zip"

    found = run(
        home, "audit", "query", "select request_id from decisions where words like :w", "--param", "w=dim%", "--json"
    )
    assert json.loads(found.stdout) == {"request_id": done}, found.stderr
    # The daemon runs and has not signed these records yet: it is asked for a fresh checkpoint.
    exported = run(
        home, "audit", "export", archive, "--request", done, "--with-words", "--note", "Who dimmed the lights?"
    )
    assert exported.returncode == 0, exported.stderr
    key = exported.stdout.split("'")[1]
    elsewhere = tmp_path / "laptop"
    verified = run(elsewhere, "audit", "verify", "--export", archive, "--key", key)
    assert (verified.returncode, verified.stdout.split(":")[0]) == (0, "verified"), verified.stderr
    assert not elsewhere.exists()

    data = bytearray(archive.read_bytes())
    data[data.index(b"30 percent")] = ord("9")
    archive.write_bytes(data)
    broken = run(elsewhere, "audit", "verify", "--export", archive, "--key", key, "--json")
    assert (broken.returncode, json.loads(broken.stdout)["state"]) == (4, "broken")


def test_an_export_overwrites_nothing_and_says_what_it_cannot_find(asked, tmp_path):
    appliance, _ = asked
    (tmp_path / "there.zip").write_text("mine")

    refused = run(appliance.home.root, "audit", "export", tmp_path / "there.zip", "--after", "0")
    assert (refused.returncode, "exists" in refused.stderr, (tmp_path / "there.zip").read_text()) == (2, True, "mine")
    nothing = run(appliance.home.root, "audit", "export", tmp_path / "none.zip", "--request", "r0")
    assert (nothing.returncode, "no record of request 'r0'" in nothing.stderr) == (2, True)
    twice = run(appliance.home.root, "audit", "export", tmp_path / "two.zip", "--after", "0", "--from", "2026-01-01")
    assert (twice.returncode, "in one way" in twice.stderr) == (2, True)


def test_every_view_becomes_a_file_for_a_spreadsheet(asked, tmp_path):
    appliance, (_, refused) = asked

    done = run(appliance.home.root, "audit", "export", "--csv", tmp_path / "sheets")

    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert "decisions.csv" in names
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sheets" / "decisions.csv").read_text(encoding="utf-8"))))
    assert next(row["status"] for row in rows if row["request_id"] == refused) == "refused"


def test_the_views_agree_with_what_the_asker_was_told(asked):
    appliance, (done, refused) = asked
    reader = open_reader(appliance.home.database)
    try:
        told = {row["request_id"]: row for row in reader.execute("select * from decisions")}
    finally:
        reader.close()

    assert (told[done]["status"], told[done]["tools"], told[done]["words"]) == (
        "done",
        "set_light_level",
        "dim the kitchen lights to 30 percent",
    )
    assert (told[refused]["status"], told[refused]["code"]) == ("refused", "negated")
    assert told[done]["bundle"]
    assert told[done]["latency_ms"] > 0


def test_what_was_saved_of_a_damaged_ledger_is_exported_and_says_what_of_it_is_proven(bench, tmp_path):
    bench.start()
    for n in range(20):
        bench.client.call("set_light_level", {"room": "hall", "level_pct": n + 1})
    epoch, home = database.epoch(bench.db), bench.home.root
    assert run(home, "audit", "checkpoint").returncode == 0
    bench.client.call("set_light_level", {"room": "hall", "level_pct": 50})
    bench.daemon.parts.db.checkpoint()
    damaged = sqlite3.connect(bench.home.database)
    page = damaged.execute("select pageno from dbstat where name = 'audit_request' and pagetype = 'leaf'").fetchone()[0]
    damaged.close()
    bench.stop()
    with bench.home.database.open("r+b") as file:
        file.seek((page - 1) * database.PAGE_BYTES)
        file.write(b"\xa5" * database.PAGE_BYTES)
    bench.start()
    assert database.epoch(bench.db) != epoch

    exported = run(home, "audit", "export", tmp_path / "before.zip", "--epoch", epoch)

    assert exported.returncode == 0, exported.stderr
    key = exported.stdout.split("'")[1]
    verified = run(tmp_path / "laptop", "audit", "verify", "--export", tmp_path / "before.zip", "--key", key, "--json")
    found = json.loads(verified.stdout)
    assert (verified.returncode, found["faults"], epoch in found["origin"]) == (0, [], True)
    assert found["records_n"] - found["unproven_n"] == found["size"] >= 42
    assert found["state"] == ("partial" if found["unproven_n"] else "verified")
