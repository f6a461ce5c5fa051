"""The database file: durable, single-writer, and set aside rather than lost when damaged."""

import contextlib
import sqlite3

import pytest

from appliance.errors import StorageError
from appliance.storage import database, meta


def test_a_new_database_has_an_epoch_that_stays(tmp_path):
    path = tmp_path / "a.db"

    first = database.open_database(path).db
    epoch = database.epoch(first)
    first.close()

    again = database.open_database(path).db
    assert database.epoch(again) == epoch
    again.close()


def test_a_commit_is_a_full_sync(tmp_path):
    db = database.open_database(tmp_path / "a.db").db

    assert db.row("pragma synchronous")[0] == 2
    assert db.row("pragma journal_mode")[0] == "wal"
    assert db.row("pragma mmap_size")[0] == 0
    db.close()


def test_nothing_of_a_failed_block_remains(tmp_path):
    db = database.open_database(tmp_path / "a.db").db

    with pytest.raises(ValueError, match="midway"), db.atomic():
        meta.put(db, "a", "1")
        raise ValueError("midway")

    assert meta.get(db, "a") is None
    db.close()


def test_a_nested_block_joins_the_outer_one(tmp_path):
    db = database.open_database(tmp_path / "a.db").db

    with pytest.raises(ValueError, match="midway"), db.atomic():
        with db.atomic():
            meta.put(db, "inner", "1")
        raise ValueError("midway")

    assert meta.get(db, "inner") is None
    db.close()


@pytest.mark.parametrize("damage", ["header", "middle", "text"])
def test_a_damaged_file_is_set_aside_and_a_new_epoch_begun(tmp_path, damage):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    epoch = database.epoch(db)
    for n in range(500):
        meta.put(db, f"k{n}", "v" * 200)
    db.connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    db.close()
    raw = bytearray(path.read_bytes())
    if damage == "header":
        raw[0:16] = b"\x00" * 16
    elif damage == "middle":
        raw[8192 : len(raw) - 4096] = b"\xff" * (len(raw) - 4096 - 8192)
    else:
        raw = bytearray(b"this is not a database, it is a letter to my aunt\n" * 100)
    path.write_bytes(raw)

    opened = database.open_database(path)

    assert opened.set_aside is not None
    assert opened.set_aside.read_bytes() == bytes(raw)
    assert database.epoch(opened.db) != epoch
    opened.db.close()


def test_a_second_damaged_file_does_not_replace_the_first_that_was_set_aside(tmp_path):
    path = tmp_path / "a.db"
    for content in (b"first" * 100, b"second" * 100):
        path.write_bytes(content)
        database.open_database(path).db.close()
        path.unlink()

    kept = sorted(p.read_bytes()[:5] for p in tmp_path.glob("a.db.corrupt-*"))
    assert kept == [b"first", b"secon"]


def test_a_file_of_newer_software_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "a.db"
    database.open_database(path).db.close()
    raw = sqlite3.connect(path)
    raw.execute("pragma user_version = 9999")
    raw.close()

    with pytest.raises(StorageError, match="install the newer one"):
        database.open_database(path)

    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_a_reader_cannot_write(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db

    reader = database.open_reader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("delete from audit")

    reader.close()
    db.close()


def test_a_reader_of_nothing_says_what_to_do(tmp_path):
    with pytest.raises(StorageError, match="start the appliance once"):
        database.open_reader(tmp_path / "none.db")


def test_a_full_disk_is_one_clear_error_and_the_next_commit_works(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    pages = db.row("pragma page_count")[0]
    db.connection.execute(f"pragma max_page_count = {pages + 2}")

    with pytest.raises(StorageError, match="free some space"):
        for n in range(1000):
            meta.put(db, f"k{n}", "v" * 3000)
    db.connection.execute("pragma max_page_count = 100000")
    meta.put(db, "after", "1")

    assert meta.get(db, "after") == "1"
    db.close()


def test_a_begin_that_fails_after_it_has_begun_leaves_no_transaction_behind(tmp_path):
    """As an interrupt does that SQLite takes after the last step of `begin`."""
    db = database.open_database(tmp_path / "a.db").db
    stuck = []

    def interrupt_once(after_n):
        def interrupt():
            db.connection.set_progress_handler(None, 0)
            return 1

        db.connection.set_progress_handler(interrupt, after_n)

    for steps_n in range(1, 12):
        interrupt_once(steps_n)
        try:
            db.connection.execute("begin immediate")
        except sqlite3.OperationalError:
            stuck.append(db.connection.in_transaction)
        db.connection.set_progress_handler(None, 0)
        if db.connection.in_transaction:
            db.connection.rollback()
    assert True in stuck, "SQLite no longer does this; the test shows nothing"

    for steps_n in range(1, 12):
        interrupt_once(steps_n)
        with contextlib.suppress(StorageError):
            meta.put(db, f"during {steps_n}", "1")
        db.connection.set_progress_handler(None, 0)
        meta.put(db, f"after {steps_n}", "1")
        assert meta.get(db, f"after {steps_n}") == "1"
    db.close()
