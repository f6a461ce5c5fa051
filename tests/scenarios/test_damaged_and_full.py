"""The card is damaged, or full: the daemon starts in any case, refuses what it cannot record, and goes on by itself."""

import contextlib
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.errors import ApplianceError
from appliance.storage import database, reserve
from appliance.storage.database import PAGE_BYTES


def _until(holds, timeout_s=30.0):
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "it did not come to pass in time"
        time.sleep(0.05)


def _destroy(path, table):
    """Fold the log in, then overwrite the leaves of *table*, as a dying card does."""
    connection = sqlite3.connect(path)
    connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    leaves = connection.execute("select pageno from dbstat where name = ? and pagetype = 'leaf'", (table,)).fetchall()
    connection.close()
    with path.open("r+b") as file:
        for (page,) in leaves:
            file.seek((page - 1) * PAGE_BYTES)
            file.write(b"\xa5" * PAGE_BYTES)


def _facts(records, kind):
    return [json.loads(row.body)["facts"] for row in records if row.kind == kind]


def test_a_damaged_database_is_set_aside_and_salvaged_and_the_ledger_says_so(bench):
    bench.start()
    said = bench.client.call("turn_light_on", {"room": "kitchen"}, request_id="once")
    for n in range(40):
        bench.client.call("set_light_level", {"room": "hall", "level_pct": n + 1})
    bench.client.call("add_note", {"text": "the milk is in the fridge"})
    epoch = database.epoch(bench.db)
    bench.stop()
    _destroy(bench.home.database, "audit_request")  # an index: every record can still be read

    bench.start()

    first, salvaged = bench.records[0], _facts(bench.records, "salvaged")
    assert first.kind == "epoch"
    assert json.loads(first.body)["facts"]["reason"] == "damaged"
    assert json.loads(first.body)["facts"]["predecessor"]["epoch"] == epoch
    assert json.loads(first.body)["facts"]["predecessor"]["checkpoint"].startswith("edge-agent-appliance/")
    assert salvaged[0]["epoch"] == epoch
    assert salvaged[0]["records"]["missing"] == []
    assert salvaged[0]["saved"]["notes"] == 1
    assert any("damaged" in reason for reason in bench.client.status()["degraded"])
    # The same command again is answered, not done again.
    assert bench.client.call("turn_light_on", {"room": "kitchen"}, request_id="once").reason == said.reason
    assert bench.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 0
    bench.restart()
    assert len(_facts(bench.records, "salvaged")) == 1


def test_damage_met_while_it_runs_refuses_acts_until_the_restart_that_salvages(bench):
    bench.start()
    for n in range(30):
        bench.client.call("set_light_level", {"room": "hall", "level_pct": n + 1})
    client = Appliance(bench.home.root, wait_s=2)
    # Behind its back and with nothing of the file in its memory.
    bench.db.connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    bench.db.connection.execute("pragma shrink_memory")
    path = bench.home.database
    raw = bytearray(path.read_bytes())
    with path.open("r+b") as file:
        file.seek(4 * PAGE_BYTES)
        file.write(b"\xa5" * (len(raw) - 4 * PAGE_BYTES))

    with contextlib.suppress(ApplianceError):
        said = client.call("turn_light_on", {"room": "kitchen"})
        assert said.status != "done"
    assert bench.daemon.parts.emergency is not None
    assert any("restart the daemon" in reason for reason in bench.daemon._health.reasons())
    assert client.stop("smoke") is not None  # a stop needs no record
    assert bench.daemon.parts.emergency.is_locked()
    with contextlib.suppress(ApplianceError):
        bench.stop()
    bench.daemon = None

    bench.start()
    assert list(path.parent.glob("appliance.db.corrupt-*"))
    assert bench.client.release() is not None
    assert bench.client.call("turn_light_on", {"room": "kitchen"}).status == "done"


@pytest.fixture
def process(tmp_path):
    """A daemon as a process of its own, so that limits of the system can be put on it."""
    made = []

    def start(home, *, file_bytes=None):
        home.mkdir(exist_ok=True)

        def limited():
            if file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))

        command = [sys.executable, "-m", "appliance", "--home", str(home), "run"]
        made.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limited)  # noqa: PLW1509 -- one thread here
        )
        return made[-1]

    yield start
    for each in made:
        each.send_signal(signal.SIGTERM)
        try:
            each.wait(20)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


def _limit(process, file_bytes):
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))


def _answers(home):
    try:
        return bool(Appliance(home, wait_s=1).status())
    except ApplianceError:
        return False


@pytest.mark.timeout(120)
def test_without_room_acts_are_refused_questions_answered_stops_obeyed_and_it_recovers(process, tmp_path):
    home = tmp_path / "home"
    running = process(home)
    _until(lambda: _answers(home), 60)
    client = Appliance(home, wait_s=3)
    assert client.call("turn_light_on", {"room": "kitchen"}).status == "done"

    _limit(running, 1)
    with pytest.raises(ApplianceError, match="free some space"):
        client.call("turn_light_off", {"room": "kitchen"})
    status = client.status()
    assert status["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 100
    assert any("free some space" in reason for reason in status["degraded"])
    client.stop("smoke")
    assert client.status()["locked"]

    _limit(running, resource.RLIM_INFINITY)
    _until(lambda: not any("space" in reason for reason in client.status()["degraded"]))
    client.release()
    assert client.call("turn_light_on", {"room": "kitchen"}).status == "done"
    reader = database.open_reader(Home(home).database)
    kinds = [row["kind"] for row in reader.execute("select kind from audit order by seq")]
    reader.close()
    assert kinds.count("emergency") == 2
    assert kinds.count("decided") == kinds.count("settled") == 2


@pytest.mark.timeout(120)
def test_a_start_without_room_waits_for_it_and_goes_on(process, tmp_path):
    home = tmp_path / "home"
    first = process(home)
    _until(lambda: _answers(home), 60)
    first.send_signal(signal.SIGTERM)
    first.wait(20)

    waiting = process(home, file_bytes=0)
    time.sleep(4)
    assert waiting.poll() is None
    assert not _answers(home)

    _limit(waiting, resource.RLIM_INFINITY)
    _until(lambda: _answers(home), 60)
    assert Appliance(home).call("turn_light_on", {"room": "kitchen"}).status == "done"


def test_the_reserve_is_given_up_when_it_is_needed_and_made_again(bench, monkeypatch):
    given, release = [], reserve.release
    monkeypatch.setattr(reserve, "release", lambda folder: given.append(release(folder)) or given[-1])
    bench.start()
    place = bench.home.root / "reserve"
    assert place.stat().st_blocks * 512 >= reserve.RESERVE_BYTES
    connection = bench.db.connection
    connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}")
    client = Appliance(bench.home.root, wait_s=30)
    with pytest.raises(ApplianceError, match="free some space"):
        for n in range(200):
            client.call("no_such_tool", {"n": n})
    assert any(given)  # it may be there again already: pages that are free in the file are room too

    connection.execute("pragma max_page_count = 1000000")

    _until(place.exists)


def test_a_card_that_turns_read_only_refuses_acts_and_obeys_stops(appliance):
    client = Appliance(appliance.home.root, wait_s=30)
    appliance.db.connection.execute("pragma query_only = on")  # SQLite then answers as it does on such a card

    with pytest.raises(ApplianceError, match="readonly"):
        client.call("turn_light_on", {"room": "kitchen"})
    assert client.status()["degraded"]
    client.stop("smoke")
    assert client.status()["locked"]

    appliance.db.connection.execute("pragma query_only = off")
    _until(lambda: not any("readonly" in reason for reason in client.status()["degraded"]))
    client.release()
    assert client.call("turn_light_on", {"room": "kitchen"}).status == "done"
