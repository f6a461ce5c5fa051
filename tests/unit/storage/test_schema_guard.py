"""A file's schema is the appliance's, or somebody says so: foreign triggers, views and indices neither act nor lie."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from appliance.contracts.audit import AuditRecord, Moment
from appliance.errors import StorageError
from appliance.storage import audit, database, migrations, schema_guard

MOMENT = Moment(at=datetime(2026, 11, 22, tzinfo=UTC), monotonic_s=1.0, boot=1, clock="trusted")
SWALLOWS = "create trigger x before insert on audit when new.body like '%unlock%' begin select raise(ignore); end"
ALTERS = "create trigger x after insert on audit begin update audit set body = '{}' where seq = new.seq; end"
LIES = "create view decisions (seq, words) as select 1, 'nobody asked for anything'"


def record(**facts):
    return AuditRecord(kind="note", moment=MOMENT, facts=facts)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    audit.append(db, record(n=1))
    db.close()
    return path


def attacked(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as attacker:
        for statement in statements:
            attacker.execute(statement)


def faults(path):
    with closing(database.open_reader(path)) as reader:
        return schema_guard.faults(reader)


@pytest.mark.parametrize("trigger", [SWALLOWS, ALTERS])
def test_a_record_that_a_trigger_swallows_or_alters_is_no_record(path, trigger):
    db = database.open_database(path).db
    db.execute(trigger)

    with pytest.raises(StorageError, match="not kept as it was written"):
        audit.append(db, record(tool="unlock"))

    assert db.row("select count(*) from audit")[0] == 1
    db.close()


def test_what_the_appliance_made_has_no_fault_and_an_owner_may_add_to_it(path):
    attacked(path, "create view mine as select seq from audit", 'create table "a""b" (x)')

    assert faults(path) == []
    opened = database.open_database(path)
    assert opened.mended == ()
    assert opened.db.row("select count(*) from mine")[0] == 1
    opened.db.close()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([SWALLOWS], "the trigger x hangs on audit"),
        (
            ["drop index audit_request", "create index audit_request on audit (request_id) where seq > 9"],
            "the index audit_request has another text",
        ),
        (["drop index audit_landmarks"], "the index audit_landmarks is missing"),
        (["create unique index one on audit (kind)"], "the index one on audit is none of the appliance's"),
        (["drop view decisions", "create table decisions (seq)"], "the table decisions stands for a view"),
    ],
)
def test_what_is_foreign_is_named_removed_and_made_anew_at_the_start(path, statements, said):
    attacked(path, *statements)
    assert said in faults(path)[0]

    opened = database.open_database(path)
    assert said in str(opened.mended[0])
    assert opened.set_aside is None
    audit.append(opened.db, record(tool="unlock"))
    opened.db.close()

    assert faults(path) == []
    again = database.open_database(path)
    assert again.mended == ()
    assert again.db.row("select type from sqlite_schema where name = 'decisions'")["type"] == "view"
    again.db.close()


@pytest.mark.parametrize("table", ["audit", "checkpoints"])
def test_a_view_in_the_place_of_a_table_is_damage(path, table):
    attacked(path, f"alter table {table} rename to away", f"create view {table} as select * from away where 0")

    assert any(f"the view {table} stands for a table" in said for said in faults(path))
    opened = database.open_database(path)
    assert opened.set_aside is not None
    assert opened.db.row("select type from sqlite_schema where name = ?", (table,))["type"] == "table"
    opened.db.close()


def test_an_index_that_hides_rows_behind_the_right_text_is_found(path):
    db = database.open_database(path).db
    audit.append(db, AuditRecord(kind="note", moment=MOMENT, facts={}, request_id="r1"))
    right = db.row("select sql from sqlite_schema where name = 'audit_request'")["sql"]
    db.close()
    attacked(
        path,
        "drop index audit_request",
        "create index audit_request on audit (request_id) where request_id is not null and seq <> 2",
        "pragma writable_schema = on",
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as attacker:
        attacker.execute("pragma writable_schema = on")
        attacker.execute("update sqlite_schema set sql = ? where name = 'audit_request'", (right,))

    assert "row 2 missing from index audit_request" in faults(path)[0]


def test_a_view_of_the_file_does_not_speak_for_ours(path):
    attacked(path, "drop view decisions", LIES)

    with closing(database.open_reader(path)) as reader:
        assert reader.execute("select words from decisions").fetchall() == []


def test_an_earlier_version_of_ours_is_no_fault_and_a_newer_one_is_not_judged(tmp_path):
    for version in range(len(migrations.STEPS) + 1):
        with closing(sqlite3.connect(tmp_path / f"{version}.db", isolation_level=None)) as old:
            for step in migrations.STEPS[:version]:
                step(old)
            old.execute(f"pragma user_version = {version}")
            assert schema_guard.found(old) == []
    with closing(sqlite3.connect(":memory:")) as newer:
        newer.execute("pragma user_version = 999")
        with pytest.raises(StorageError, match="install the newer one"):
            schema_guard.found(newer)
