"""A person holds, erases and prunes at the command line, with a daemon that runs and with none."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def audit(bench):
    def run(*arguments, code=0):
        command = [sys.executable, "-m", "appliance", "--home", str(bench.home.root), "audit", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def said(bench):
    return bench.client.say("leave a note: call Zebedee about the divorce", yes=True).request_id


def raw(bench):
    return b"".join(path.read_bytes() for path in bench.home.root.glob("appliance.db*"))


@pytest.mark.parametrize("runs", [True, False], ids=["with the daemon", "without a daemon"])
def test_what_somebody_said_is_erased_and_the_ledger_says_so_and_verifies(bench, audit, runs):
    bench.start()
    request_id = said(bench)
    assert b"Zebedee" in raw(bench)
    if not runs:
        bench.stop()

    assert "Erased" in audit("redact", "--request", request_id, "--reason", "asked for by the person")

    assert b"Zebedee" not in raw(bench)
    shown = audit("show")
    assert "[erased:" in shown
    assert "Zebedee" not in shown
    bench.restart()
    assert json.loads(audit("verify", "--json"))["state"] != "broken"
    record = next(row for row in bench.records if row.kind == "redacted")
    assert f"uid:{os.getuid()}" in json.loads(record.body)["facts"]["by"]


@pytest.mark.parametrize("runs", [True, False], ids=["with the daemon", "without a daemon"])
def test_held_records_are_not_erased_until_they_are_released(bench, audit, runs):
    bench.start()
    request_id = said(bench)
    if not runs:
        bench.stop()

    audit("hold", "add", "--request", request_id, "--reason", "inquiry 7")
    assert "inquiry 7" in audit("hold", "list")
    assert "inquiry 7" in audit("redact", "--request", request_id, "--reason", "asked", code=1)
    assert b"Zebedee" in raw(bench)
    audit("hold", "release", "1", "--reason", "closed")
    assert "No record is on hold" in audit("hold", "list")
    assert json.loads(audit("hold", "list", "--all", "--json"))[0]["released_at"]
    audit("redact", "--request", request_id, "--reason", "asked")
    assert b"Zebedee" not in raw(bench)


def test_the_reason_of_a_hold_is_erased_with_its_record(bench, audit):
    bench.start()
    request_id = said(bench)
    audit("hold", "add", "--request", request_id, "--reason", "Xanthippe accuses her husband")
    seq = next(row.seq for row in bench.records if row.kind == "hold")
    audit("hold", "release", "1", "--reason", "closed")
    assert b"Xanthippe" in raw(bench)

    audit("redact", "--seq", str(seq), "--reason", "asked for by the person")

    assert b"Xanthippe" not in raw(bench)
    assert "[erased]" in audit("hold", "list", "--all")
    assert json.loads(audit("verify", "--json"))["holds_unexplained"] == []


def test_a_repeated_id_acts_once_also_after_its_words_were_erased(bench, audit):
    bench.start()
    first = bench.client.say("leave a note: call Zebedee", yes=True, request_id="note-1")
    audit("redact", "--request", first.request_id, "--reason", "asked")

    again = bench.client.say("leave a note: call Zebedee", yes=True, request_id="note-1")

    assert (again.status, again.reason) == ("done", "What was said has been erased.")
    assert bench.kinds(first.request_id).count("decided") == 1


def test_usage_says_how_long_the_room_lasts(bench, audit):
    bench.start()
    said(bench)

    found = json.loads(audit("usage", "--json"))
    assert found["records_n"] == len(bench.records)
    assert (found["quota_bytes"], found["segments_pruned_n"], found["stop"]) == (4096 * 2**20, 0, "")
    assert "of 4,096 MB" in audit("usage")
    assert "Nothing was pruned" in audit("prune")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("hold", "add", "--reason", "x"), "one way"),
        (("hold", "add", "--after", "1", "--request", "r", "--reason", "x"), "one way"),
        (("hold", "add", "--from", "yesterday", "--reason", "x"), "is no time"),
        (("hold", "add", "--after", "1", "--reason", " "), "--reason is empty"),
        (("redact", "--reason", "x"), "one way"),
    ],
)
def test_what_cannot_be_understood_is_explained(bench, audit, arguments, wanted):
    bench.start()

    assert wanted in audit(*arguments, code=2)


def test_without_a_daemon_nothing_is_pruned_because_nobody_could_sign_it(bench, audit):
    bench.start()
    bench.stop()

    assert "daemon" in audit("prune", code=5)
