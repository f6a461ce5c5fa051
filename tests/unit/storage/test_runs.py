"""Where a workflow is outlives a kill and a damaged file, and what may be out of date is in doubt."""

import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contracts.audit import AuditRecord, Moment
from appliance.storage import archive, audit, database, meta, past, runs
from appliance.storage.past import Cited
from appliance.storage.runs import Run

WRITER = Path(__file__).parents[2] / "rigs" / "run_writer.py"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=1.0, boot=1, clock="trusted")


def row(n, *, workflow="shop", ended_at=None, state=None):
    body = json.dumps({"seq": n})
    return Run(
        f"{workflow}-1", workflow, 1, "d" * 64, NOW.isoformat(), ended_at, n, state or f"state_{n}", body
    )  # fmt: skip


def test_after_a_kill_at_any_point_the_run_is_where_its_last_committed_step_left_it(tmp_path):
    path, chance = tmp_path / "a.db", random.Random(20261123)
    told = 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, WRITER, path], stdout=subprocess.PIPE, text=True)
        for _ in range(chance.randrange(1, 25)):
            told = int(writer.stdout.readline())
        writer.kill()
        writer.wait()
        writer.stdout.close()

        db = database.open_database(path).db
        (run,) = runs.live(db)
        newest = json.loads(list(audit.rows(db.connection))[-1].body)["facts"]
        db.close()

        assert run.seq >= told  # what was said to be committed is there
        assert (run.seq, run.state) == (newest["seq"], newest["after"])  # row and record are one
        assert json.loads(run.body)["seq"] == run.seq


def test_a_workflow_has_one_run_at_a_time(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    runs.save(db, row(3))
    with pytest.raises(Exception, match="UNIQUE"):
        runs.save(db, row(1)._replace(run_id="shop-2"))

    runs.save(db, row(4, ended_at=NOW.isoformat()))
    runs.save(db, row(1)._replace(run_id="shop-2"))

    assert [run.run_id for run in runs.live(db)] == ["shop-2"]
    assert runs.numbers(db) == {"shop-2": 1}
    db.close()


def test_a_copy_that_is_brought_back_puts_the_runs_in_doubt(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    runs.save(db, row(3))
    audit.append(db, AuditRecord(kind="note", moment=MOMENT))
    db.close()

    archive.begin_epoch(path, NOW)

    db = database.open_database(path).db
    assert "restored" in runs.doubted(db)
    assert [run.seq for run in runs.live(db)] == [3]
    runs.trust(db)
    assert runs.doubted(db) == ""
    db.close()


def test_the_first_ledger_of_a_device_doubts_nothing(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    past.cite(db, Cited("first", None))
    assert runs.doubted(db) == ""
    db.close()


@pytest.fixture
def damaged(tmp_path):
    """A database with runs, a lock and many notes, its log folded in; a function destroys a table's pages."""
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    with db.atomic():
        for n in range(60):
            runs.save(db, row(n, workflow=f"w{n}"))
            db.execute("insert into notes (written_at, text) values (?, ?)", (NOW.isoformat(), "x" * 300))
        meta.put(db, "maintenance", json.dumps({"by": "ann", "why": "oil", "at": NOW.isoformat()}))
        audit.append(db, AuditRecord(kind="note", moment=MOMENT))
    db.connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    shutil.copy(path, tmp_path / "copy.db")
    db.close()

    def destroy(table):
        copy = tmp_path / "copy.db"
        reader = database.open_reader(copy)
        found = reader.execute("select pageno from dbstat where name = ? and pagetype = 'leaf'", (table,)).fetchall()
        reader.close()
        page = found[len(found) // 2]["pageno"]
        with copy.open("r+b") as file:
            file.seek((page - 1) * database.PAGE_BYTES)
            file.write(b"\xa5" * database.PAGE_BYTES)
        return copy

    return destroy


def test_runs_that_were_all_read_go_on_after_another_table_was_salvaged(damaged):
    opened = database.open_database(damaged("notes"))

    assert opened.set_aside is not None
    assert len(runs.live(opened.db)) == 60
    assert runs.doubted(opened.db) == ""
    assert json.loads(meta.get(opened.db, "maintenance"))["by"] == "ann"  # who works on the machine is still there
    opened.db.close()


def test_runs_of_which_one_is_lost_are_in_doubt_and_the_report_says_so(damaged):
    opened = database.open_database(damaged("runs"))

    assert "damaged" in runs.doubted(opened.db)
    assert 0 < len(runs.live(opened.db)) < 60
    report = json.loads(meta.get(opened.db, "salvaged"))
    assert "runs" in report["not_whole"]
    assert report["saved"]["runs"] == len(runs.live(opened.db))
    opened.db.close()


def test_a_doubt_outlives_a_second_damage(damaged):
    path = damaged("notes")
    first = database.open_database(path)
    runs.doubt(first.db, "a new ledger began here (restored)")
    first.db.connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    reader = first.db.connection
    page = reader.execute("select max(pageno) as n from dbstat where name = 'notes' and pagetype = 'leaf'").fetchone()
    first.db.close()
    with path.open("r+b") as file:
        file.seek((page["n"] - 1) * database.PAGE_BYTES)
        file.write(b"\xa5" * database.PAGE_BYTES)

    second = database.open_database(path)

    assert second.set_aside is not None
    assert "restored" in runs.doubted(second.db)
    second.db.close()
