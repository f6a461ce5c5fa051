"""Threads that wait share one fsync: none returns before it, and nobody's failure is another's."""

import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import StorageError
from appliance.storage import database, meta


def _commits(db):
    statements = []
    db.connection.set_trace_callback(statements.append)
    return lambda: sum(sql.upper() == "COMMIT" for sql in statements)


def _all_at_once(db, works):
    """Run every work in a thread of its own while the connection is held, so that all of them wait together."""
    ended = [None] * len(works)

    def run(n):
        try:
            with db.atomic():
                works[n](n)
        except Exception as error:
            ended[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    with db.reading():
        for thread in threads:
            thread.start()
        while db._waiting_n < len(threads):
            pass
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return ended


def test_those_who_wait_together_are_committed_together(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    commits = _commits(db)

    ended = _all_at_once(db, [lambda n: meta.put(db, f"k{n}", "v")] * 20)

    assert ended == [None] * 20
    assert db.row("select count(*) as n from meta where key like 'k%'")["n"] == 20
    assert commits() <= 2
    db.close()


def test_a_group_has_a_bound(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    commits = _commits(db)

    _all_at_once(db, [lambda n: meta.put(db, f"k{n}", "v")] * (database.GROUP_N + 10))

    assert commits() >= 2
    db.close()


def test_who_returns_is_durable(tmp_path):
    """What a second connection, which sees committed rows only, has when `atomic` returns."""
    db = database.open_database(tmp_path / "a.db").db
    missing = []

    def work(n):
        for i in range(25):
            with db.atomic():
                meta.put(db, f"k{n}-{i}", "v")
            reader = database.open_reader(tmp_path / "a.db")
            if reader.execute("select 1 from meta where key = ?", (f"k{n}-{i}",)).fetchone() is None:
                missing.append((n, i))
            reader.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert missing == []
    db.close()


@settings(max_examples=40, deadline=None)
@given(fates=st.lists(st.sampled_from(["works", "raises", "breaks"]), min_size=1, max_size=12))
def test_nobodys_failure_is_anothers(tmp_path_factory, fates):
    db = database.open_database(tmp_path_factory.mktemp("g") / "a.db").db

    def work(fate):
        def do(n):
            meta.put(db, f"k{n}", "v")
            if fate == "raises":
                raise KeyError(n)
            if fate == "breaks":
                db.connection.execute("insert into meta values ('epoch', 'twice')")

        return do

    ended = _all_at_once(db, [work(fate) for fate in fates])

    expected = {"works": type(None), "raises": KeyError, "breaks": StorageError}
    assert [type(error) for error in ended] == [expected[fate] for fate in fates]
    kept = {row["key"] for row in db.rows("select key from meta where key like 'k%'")}
    assert kept == {f"k{n}" for n, fate in enumerate(fates) if fate == "works"}
    db.close()


def test_a_full_disk_is_told_to_everybody_whose_work_it_undid(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    pages_n = db.row("pragma page_count")[0]
    db.connection.execute(f"pragma max_page_count = {pages_n + 4}")

    ended = _all_at_once(db, [lambda n: meta.put(db, f"k{n}", "v" * 1500)] * 8)
    db.connection.execute("pragma max_page_count = 1000000")

    kept = {row["key"] for row in db.rows("select key from meta where key like 'k%'")}
    assert kept == {f"k{n}" for n, error in enumerate(ended) if error is None}
    assert any(isinstance(error, StorageError) for error in ended)
    meta.put(db, "after", "1")
    assert meta.get(db, "after") == "1"
    db.close()


def test_a_transaction_within_a_reading_is_committed_at_once(tmp_path):
    """Others wait for the connection that this thread goes on to hold; it must not wait for them."""
    db = database.open_database(tmp_path / "a.db").db
    waits = threading.Thread(target=meta.put, args=(db, "other", "1"))

    with db.reading():
        waits.start()
        while not db._waiting_n:
            pass
        meta.put(db, "mine", "1")
        reader = sqlite3.connect(tmp_path / "a.db")
        assert reader.execute("select value from meta where key = 'mine'").fetchone() == ("1",)
        reader.close()

    waits.join(10)
    assert meta.get(db, "other") == "1"
    db.close()


def test_a_reading_sees_nothing_that_is_not_durable(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    seen = []

    def look(n):
        for row in db.rows("select key from meta where key like 'k%'"):
            reader = database.open_reader(tmp_path / "a.db")
            if reader.execute("select 1 from meta where key = ?", (row["key"],)).fetchone() is None:
                seen.append(row["key"])
            reader.close()

    writers = [
        threading.Thread(target=lambda n=n: [meta.put(db, f"k{n}-{i}", "v") for i in range(20)]) for n in range(4)
    ]
    lookers = [threading.Thread(target=look, args=(n,)) for n in range(3)]
    for thread in (*writers, *lookers):
        thread.start()
    for thread in (*writers, *lookers):
        thread.join()

    assert seen == []
    db.close()


@pytest.mark.parametrize("joined", [False, True])
def test_an_interrupt_in_a_block_leaves_the_others(tmp_path, joined):
    db = database.open_database(tmp_path / "a.db").db

    def interrupted(n):
        meta.put(db, f"k{n}", "v")
        if n == int(joined):
            raise ValueError("midway")

    ended = _all_at_once(db, [interrupted, interrupted])

    assert sum(isinstance(error, ValueError) for error in ended) == 1
    assert db.row("select count(*) as n from meta where key like 'k%'")["n"] == 1
    db.close()
