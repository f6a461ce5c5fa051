"""The views say what the records say, in this epoch and in earlier ones, and are made anew only when they differ."""

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from appliance.storage import past, views
from appliance.storage.past import Cited


def rows(night, sql, *parameters):
    return [dict(row) for row in night.db.connection.execute(sql, parameters)]


def one(night, request_id):
    (row,) = rows(night, "select * from decisions where request_id = ?", request_id)
    return row


def test_a_request_is_one_row_however_many_records_it_has(night):
    assert [row["request_id"] for row in rows(night, "select * from decisions order by seq")] == ["r1", "r2", "r3"]


def test_a_confirmed_request_says_what_was_said_who_confirmed_it_and_what_came_of_it(night):
    row = one(night, "r1")

    assert (row["first_seq"], row["seq"]) == (4, 7)
    assert (row["words"], row["tools"], row["confirmed_by"]) == (
        "unlock the front door",
        "unlock_door",
        "uid:1001 pid:9",
    )
    assert (row["verdict"], row["rule"], row["status"], row["latency_ms"]) == ("allow", "default", "done", 31.0)
    assert (row["reason"], row["bundle"], row["software"]) == ("Front door: unlocked.", "pointer-small/0.1.0", "0.1.0")


def test_an_act_in_doubt_and_a_refusal_are_called_so(night):
    assert (one(night, "r2")["status"], one(night, "r2")["code"], one(night, "r2")["tools"]) == (
        "refused",
        "unsure",
        None,
    )
    assert (one(night, "r3")["status"], one(night, "r3")["clock"]) == ("indeterminate", "trusted")


def test_calls_have_their_arguments_and_their_own_outcome(night):
    found = rows(night, "select * from calls order by seq, call_n")

    assert [(c["request_id"], c["tool"], c["state"]) for c in found] == [
        ("r1", "unlock_door", "done"),
        ("r3", "add_note", "done"),
        ("r3", "set_timer", "indeterminate"),
    ]
    assert (found[0]["arguments"], found[0]["postcondition"]) == ('{"door":"front door"}', "held")
    assert (found[0]["message"], found[1]["message"]) == ("Front door: unlocked.", "Noted.")


def test_rules_candidates_and_stops_are_rows(night):
    rule = rows(night, "select * from rules where request_id = 'r1' and rule = 'risk'")[0]
    assert (rule["said"], json.loads(rule["given"]), rule["tool"]) == ("pass", {"risk": "high"}, "unlock_door")
    assert [(c["place"], c["tool"], c["score"], c["chosen"]) for c in rows(night, "select * from candidates")] == [
        (1, "unlock_door", 0.9, 1),
        (2, "lock_door", 0.2, 0),
    ]
    assert [(s["latched"], s["reason"]) for s in rows(night, "select * from stops order by seq")] == [
        (1, "smoke in the barn"),
        (0, None),
    ]


def test_the_timeline_has_every_record_and_the_system_view_every_one_of_the_device(night):
    assert [t["seq"] for t in rows(night, "select seq from timeline order by seq")] == list(range(1, 14))
    assert [s["kind"] for s in rows(night, "select kind from system order by seq")] == [
        "epoch", "boot", "configured", "emergency", "emergency",
    ]  # fmt: skip


def test_erased_words_leave_rows_without_words(night):
    night.db.execute("update audit set personal = null")

    assert (one(night, "r1")["words"], one(night, "r1")["reason"], one(night, "r1")["status"]) == (None, None, "done")
    assert len(rows(night, "select * from calls")) == 3
    assert len(rows(night, "select * from timeline")) == 13


def test_records_of_an_earlier_epoch_are_told_under_its_name(night):
    before = {row["request_id"]: row for row in rows(night, "select * from decisions")}
    calls = rows(night, "select * from calls order by seq, call_n")
    past.end_epoch(night.db, datetime(2026, 11, 23, tzinfo=UTC), Cited("restored", None))

    after = {row["request_id"]: row for row in rows(night, "select * from decisions")}

    assert after == before
    assert {row["epoch"] for row in after.values()} == {"0123456789abcdef"}
    assert rows(night, "select * from calls order by seq, call_n") == calls


def test_a_record_of_unknown_software_does_not_break_a_view(night):
    night.write("settled", "r9", {"status": "done", "calls": [{"name": "old"}], "something": [1]})
    night.write("decided", "r10", {})

    for view in views.VIEWS:
        rows(night, f"select * from {view.name}")
    assert one(night, "r9")["status"] == "done"


def test_every_column_is_described_and_there(night):
    for view in views.VIEWS:
        cursor = night.db.connection.execute(f"select * from {view.name} limit 0")
        assert [column[0] for column in cursor.description] == list(view.columns)


def test_views_are_written_only_when_they_differ(night):
    connection = night.db.connection
    version = connection.execute("pragma schema_version").fetchone()[0]
    views.apply(connection)
    assert connection.execute("pragma schema_version").fetchone()[0] == version

    connection.execute("drop view stops")
    connection.execute("create view stops as select 1 as wrong")
    connection.execute("create view mine as select 1 as own")
    views.apply(connection)
    assert len(rows(night, "select latched from stops")) == 2
    assert rows(night, "select own from mine") == [{"own": 1}]


def test_a_view_that_is_no_longer_made_is_removed(night, monkeypatch):
    night.db.connection.execute("create view of_old as select 1 as a")
    monkeypatch.setattr(views, "RETIRED", ("of_old",))

    views.apply(night.db.connection)

    assert rows(night, "select name from sqlite_schema where name = 'of_old'") == []


def test_a_full_disk_leaves_the_views_as_they_were(night, monkeypatch):
    connection = night.db.connection
    connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}")
    huge = views.View("stops", "", {"a": ""}, f"select 1 /* {'x' * 500_000} */")
    monkeypatch.setattr(views, "VIEWS", (*(v for v in views.VIEWS if v.name != "stops"), huge))

    views.apply(connection)

    assert not connection.in_transaction
    assert len(rows(night, "select latched from stops")) == 2


@pytest.mark.parametrize("view", [v.name for v in views.VIEWS if v.name not in {"segments", "system", "workflow_runs"}])
def test_a_page_is_read_in_order_without_sorting_the_whole_ledger(night, view):
    plan = rows(night, f"explain query plan select * from {view} order by seq desc limit 50")

    steps = [step["detail"] for step in plan]
    assert "MERGE (UNION ALL)" in steps
    assert not any(step.startswith("MATERIALIZE") for step in steps)
    # Small sorts inside a row (the calls of one request) are fine; one at the top, over all rows, is not.
    top = [step["id"] for step in plan if step["detail"] in {"LEFT", "RIGHT"}]
    assert [s["detail"] for s in plan if s["parent"] in top and "TEMP B-TREE" in s["detail"]] == []


def test_segments_tell_where_a_day_lies(tmp_path, night):
    for n in range(600):
        night.write("note", facts={"n": n})

    found = rows(night, "select * from segments order by first_seq")

    assert [(s["first_seq"], s["last_seq"]) for s in found] == [(1, 255), (256, 511), (512, 613)]
    ats = {row["seq"]: row["at"] for row in rows(night, "select seq, at from audit")}
    for segment in found:
        inside = [at for seq, at in ats.items() if segment["first_seq"] <= seq <= segment["last_seq"]]
        assert segment["from_at"] <= min(inside)
        assert segment["to_at"] >= max(inside)


def test_sqlite_utils_reads_the_views_while_the_ledger_is_open_for_writing(night):
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_utils", "rows", str(night.db.path), "stops", "-c", "reason", "--limit", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert json.loads(done.stdout) == [{"reason": "smoke in the barn"}], done.stderr


def test_any_reader_may_look_and_none_may_write(night):
    reader = sqlite3.connect(f"file:{night.db.path}?mode=ro", uri=True)
    try:
        assert reader.execute("select count(*) from decisions").fetchone() == (3,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("delete from audit")
    finally:
        reader.close()


@pytest.mark.parametrize("spoilt", ["no JSON {", "", '{"facts": {"calls": [1, 2'])
def test_one_record_that_is_not_json_has_an_empty_row_and_hides_no_other(night, spoilt):
    before = {view.name: rows(night, f"select * from {view.name}") for view in views.VIEWS}
    for table in ("audit", "past"):
        night.db.execute(f"update {table} set body = ?, personal = ? where seq = 5", (spoilt, spoilt))

    after = {view.name: rows(night, f"select * from {view.name}") for view in views.VIEWS}

    assert [line["line"] for line in after["timeline"] if line["seq"] == 5] == [
        f"{before['timeline'][4]['kind']}: this record cannot be read; see appliance audit verify"
    ]
    others = [[row for row in found["timeline"] if row["seq"] != 5] for found in (before, after)]
    assert others[0] == others[1]
    assert [row["request_id"] for row in after["decisions"]] == [row["request_id"] for row in before["decisions"]]
    assert [row for row in after["calls"] if row["request_id"] != "r1"] == [
        row for row in before["calls"] if row["request_id"] != "r1"
    ]
