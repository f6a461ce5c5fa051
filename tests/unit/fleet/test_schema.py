"""One list of steps makes the tables, on either database, whoever comes first and whatever was there."""

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.contracts import tree
from appliance.contracts.envelope import Batch, Item
from appliance.errors import StorageError
from appliance.fleet import ingest, ledgers, numbering, retention
from appliance.fleet.devices import devices
from appliance.fleet.home import make, open_home, open_store
from appliance.fleet.schema import STEPS, TABLES, Step, migrate
from appliance.fleet.standing import standing

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BEFORE = Path(__file__).with_name("before")
TEXTS = [json.dumps({"seq": n, "kind": "turn", "facts": {"said": "done"}}) for n in range(1, 301)]


@pytest.fixture
def folder(tmp_path):
    """A controller without any database yet."""
    make(tmp_path / "controller", site="site").close()
    (tmp_path / "controller" / "fleet.db").unlink()
    return tmp_path / "controller"


def written_by(version, folder):
    """Give *folder* the database that an earlier version wrote, with what it had collected."""
    old = sqlite3.connect(folder / "fleet.db")
    old.executescript((BEFORE / f"{version}.sql").read_text("utf-8"))
    old.close()


def columns(file):
    """Names, kinds and keys of all columns, as far as they matter to a statement."""
    db = sqlite3.connect(file)
    kinds = {"integer": "number", "bigint": "number", "text": "text", "blob": "bytes"}
    try:
        return {
            table: {
                (row[1], kinds[row[2].lower()], row[3], row[5]) for row in db.execute(f"pragma table_info({table})")
            }
            for table in TABLES
        }
    finally:
        db.close()


def test_a_new_database_has_every_table_and_knows_every_step(home):
    assert all(home.db.rows(f"select * from {table} where 1 = 0") == [] for table in TABLES)
    assert {row["name"] for row in home.db.rows("select name from migrations")} == {step.name for step in STEPS}
    assert not home.db.has_table("no_such_table")


@pytest.mark.parametrize("version", ["m001", "m002"])
def test_a_controller_that_has_data_is_upgraded_where_it_lies(folder, version):
    written_by(version, folder)

    home = open_home(folder)

    try:
        leaves = tree.over([tree.leaf_hash(text.encode()) for text in TEXTS])
        assert tree.root(300, ledgers.subtrees(home, "lamp", "e1")) == tree.root(300, leaves)
        assert ingest.reached(home, "lamp", "e1", "audit") == 300
        [lamp] = devices(home, NOW)
        assert (lamp.software, lamp.tools_n, lamp.boot, lamp.session, lamp.gaps_n) == ("0.1.0", 1, 3, 2, 1)
        assert lamp.faults == ("malformed",)
        size = sum(len(row["body"].encode()) for row in home.db.rows("select body from records"))
        assert retention.kept(home).bytes == size
        assert numbering.next_number(home, "lamp") == 42
        more = Item(seq=3, id="evt-3", kind="turn", at=NOW, body={"n": 3})
        batch = Batch(device="lamp", epoch="e1", stream="evt", after=2, floor=2, items=(more,))
        assert ingest.store_batch(home, batch, NOW)[:3] == (3, 1, False)
    finally:
        home.close()


def test_what_was_verified_before_an_upgrade_is_verified_after_it(folder):
    written_by("m002", folder)

    home = open_home(folder)

    [epoch] = standing(home, "lamp").epochs
    home.close()
    assert (epoch["standing"], epoch["checked"], epoch["size"], epoch["upto"]) == ("first", 1, 280, 300)


@pytest.mark.parametrize("version", ["m001", "m002"])
def test_an_upgraded_file_has_the_tables_of_a_new_one(folder, tmp_path, version):
    written_by(version, folder)

    open_home(folder).close()
    make(tmp_path / "new", site="site").close()

    assert columns(folder / "fleet.db") == columns(tmp_path / "new" / "fleet.db")


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(folder):
    written_by("m001", folder)
    raw = sqlite3.connect(folder / "fleet.db")
    raw.execute("update records set body = '[]' where seq = 300")
    raw.commit()
    before = list(raw.iterdump())

    with pytest.raises(AttributeError):
        open_home(folder)

    assert list(raw.iterdump()) == before
    raw.close()


def test_the_version_before_refuses_a_file_that_was_upgraded(folder):
    written_by("m002", folder)

    open_home(folder).close()

    raw = sqlite3.connect(folder / "fleet.db")
    # It goes by this table, and would make its own ones when there is none: which fails, because they exist.
    assert raw.execute("select count(*) from sqlite_schema where name = '_sqlite_migrations'").fetchone() == (0,)
    assert raw.execute("select count(*) from sqlite_schema where name = 'devices'").fetchone() == (1,)
    raw.close()


def test_a_database_of_a_later_version_is_refused_and_left_alone(home):
    home.db.execute("insert into migrations (name) values ('0999_later')")

    with pytest.raises(StorageError, match="a later version wrote it"):
        open_home(home.path)


def test_a_step_that_fails_leaves_nothing_of_itself(home):
    broken = Step("0999_broken", ("create table half (a {key})", "create table half (a {key})"))

    with pytest.raises(StorageError):
        migrate(home.db, (*STEPS, broken))

    assert not home.db.has_table("half")
    assert len(home.db.rows("select name from migrations")) == len(STEPS)


def test_two_programs_that_are_the_first_make_the_tables_once(folder, rows_in):
    failures = []

    def come_first():
        try:
            store = open_store(folder, rows_in)
            migrate(store)
            store.close()
        except Exception as error:
            failures.append(error)

    programs = [threading.Thread(target=come_first) for _ in range(4)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()

    assert failures == []
    store = open_store(folder, rows_in)
    assert len(store.rows("select name from migrations")) == len(STEPS)
    store.close()
