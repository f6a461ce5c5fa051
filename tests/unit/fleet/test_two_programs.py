"""Collector, sender and viewer share the controller's database; whoever comes second waits."""

import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import State
from appliance.errors import StorageError
from appliance.fleet import enrolling, ingest, numbering, store_sqlite, views
from appliance.fleet.home import make, open_home

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RIG = Path(__file__).parents[2] / "rigs" / "fleet_writer.py"
STATE = State(
    site="site", device="lamp", state="ready", boot=1, session=1, nonce="n", time="trusted", epoch="e1", at=NOW
)


@pytest.fixture
def folder(tmp_path):
    home = make(tmp_path / "fleet", site="site")
    home.use_broker(enrolling.broker_at("127.0.0.1:1883"))
    enrolling.enrol_here(home, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    home.close()
    return tmp_path / "fleet"


@pytest.fixture
def busy(folder):
    """Another program in the middle of a transaction, which ends when told to."""
    holds, may_end = threading.Event(), threading.Event()

    def write():
        home = open_home(folder)
        with home.writing():
            home.db.execute("insert into meta values ('x', '1')")
            holds.set()
            may_end.wait(10)
        home.close()

    other = threading.Thread(target=write)
    other.start()
    assert holds.wait(5)
    yield may_end
    may_end.set()
    other.join()


def test_a_state_that_comes_while_another_program_writes_waits_and_is_kept(folder, busy):
    home = open_home(folder)
    threading.Timer(0.3, busy.set).start()

    assert ingest.store_state(home, STATE, NOW)

    assert home.db.row("select state from devices")["state"] == "ready"
    assert home.db.row("select value from meta where key = 'x'")["value"] == "1"
    home.close()


def test_a_program_that_never_lets_go_is_named_as_the_trouble_and_nothing_is_half_done(folder, busy):
    home = open_home(folder)
    home.db.execute("pragma busy_timeout = 50")

    with pytest.raises(StorageError, match="another program kept it from being written"):
        ingest.store_state(home, STATE, NOW)

    busy.set()
    home.db.execute("pragma busy_timeout = 5000")
    assert ingest.store_state(home, STATE, NOW)
    home.close()


def test_a_database_that_is_busy_when_it_is_opened_is_not_called_damaged(folder, monkeypatch):
    monkeypatch.setattr(store_sqlite, "WAIT_S", 0.05)
    other = sqlite3.connect(folder / "fleet.db", isolation_level=None)
    other.execute("begin exclusive")

    with pytest.raises(StorageError, match="another program kept it from being written") as refused:
        open_home(folder)

    assert "backup" not in str(refused.value)
    other.close()
    open_home(folder).close()


def test_somebody_who_reads_records_slowly_keeps_nothing_from_being_written(folder):
    reader, writer = open_home(folder), open_home(folder)
    columns = ("device", "epoch", "stream", "seq", "id", "kind", "body")
    with writer.writing():
        writer.db.add(
            "records", columns, (("lamp", "e", s, n, "i", "turn", "{}") for s in "ab" for n in range(1, 1201))
        )
    writer.db.execute("pragma busy_timeout = 0")

    read = views.records(reader, device=None, stream=None, after=2)
    first = next(read)
    assert ingest.store_state(writer, STATE, NOW)

    assert [(r["stream"], r["seq"]) for r in (first, *read)] == [(s, n) for s in "ab" for n in range(3, 1201)]
    reader.close()
    writer.close()


@pytest.mark.timeout(120)
def test_two_programs_that_write_all_the_time_both_get_through(folder):
    programs = [
        subprocess.Popen([sys.executable, RIG, folder, what, "120"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for what in ("collects", "sends")
    ]
    began_s = time.monotonic()

    said = [program.communicate(timeout=100)[0].decode() for program in programs]

    assert said == ["", ""], f"after {time.monotonic() - began_s:.1f} s"
    home = open_home(folder)
    assert home.db.row("select count(*) as n, max(seq) as last from records") == {"n": 120, "last": 120}
    assert numbering.next_number(home, "lamp") == 121
    home.close()
