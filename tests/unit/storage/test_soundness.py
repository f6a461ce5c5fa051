"""How far a start looks, what is looked at later, and that the log stays within its bound."""

import threading

from appliance.storage import database, meta, soundness


def _grow(db, path, bytes_n):
    n = 0
    while path.with_name("a.db-wal").stat().st_size < bytes_n:
        n += 1
        meta.put(db, f"k{n % 50}", f"{n}" * 4000)


def test_the_log_begins_anew_once_the_reader_that_held_it_back_has_gone(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    reader = database.open_reader(path)
    reader.execute("begin")
    reader.execute("select * from meta").fetchall()

    _grow(db, path, database.LOG_LIMIT_BYTES + 1)
    assert db.keep_log_small() is False  # and no decision waited for the reader
    reader.close()

    assert db.keep_log_small() is True
    assert path.with_name("a.db-wal").stat().st_size <= database.LOG_LIMIT_BYTES
    db.close()


def test_without_a_reader_the_log_stays_small_by_itself(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db

    for n in range(1500):
        meta.put(db, f"k{n % 50}", f"{n}" * 4000)

    assert path.with_name("a.db-wal").stat().st_size <= 2 * database.LOG_PAGES * database.PAGE_BYTES
    db.close()


def test_a_check_beside_a_writer_finds_no_fault(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    ending = threading.Event()

    def write():
        n = 0
        while not ending.is_set():
            n += 1
            meta.put(db, f"k{n % 9}", "v" * 500)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            assert soundness.check(path) == ()
    finally:
        ending.set()
        writer.join()
    assert soundness.walk(path, threading.Event(), pause_s=0) is None
    db.close()
