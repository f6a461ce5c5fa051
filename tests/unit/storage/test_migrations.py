"""A database of an earlier version keeps what is in it, and gets the smaller pages."""

import sqlite3
from datetime import UTC, datetime

import pytest

from appliance.contracts.request import Ask, Origin, OriginKind, Request
from appliance.storage import database, inbox, migrations, outbox, undo

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _request(n):
    origin = Origin(kind=OriginKind.OPERATOR, peer="t")
    return Request(request_id=f"r{n}", received_at=NOW, origin=origin, body=Ask(text=f"hello {n}"))


@pytest.fixture
def path(tmp_path):
    """A database as the first version left it, in pages of 4,096 bytes."""
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("pragma page_size = 4096")
    connection.execute("pragma journal_mode = wal").fetchone()
    for step in migrations.STEPS[:4]:
        step(connection)
    connection.execute("insert into meta values ('epoch', 'before')")
    connection.execute("pragma user_version = 4")
    for n, status in enumerate(["done", "queued", "parked", "queued"]):
        body = _request(n).model_dump_json()
        outcome = '{"status":"done"}' if status == "done" else None
        parked, until = ("{}", NOW.isoformat()) if status == "parked" else (None, None)
        connection.execute(
            "insert into inbox values (?, ?, ?, ?, ?, ?, ?, ?)",
            (f"r{n}", n + 1, NOW.isoformat(), status, body, parked, until, outcome),
        )
    for n in range(3):
        connection.execute(
            "insert into outbox (envelope_id, kind, at, body) values (?, 'turn', ?, '{}')", (f"e{n}", NOW.isoformat())
        )
    connection.execute("update streams set sent = 3, acked = 3 where stream = 'evt'")
    connection.execute("delete from outbox")
    connection.execute("insert into undo (request_id, body) values ('r0', '{\"tool\":\"set_light_level\"}')")
    connection.close()
    return path


def test_everything_is_there_and_in_order(path):
    db = database.open_database(path).db

    assert database.epoch(db) == "before"
    assert [request.request_id for request in inbox.queued(db)] == ["r1", "r3"]
    assert [parked.request.request_id for parked in inbox.waiting(db)] == ["r2"]
    assert inbox.outcome(db, "r0") == {"status": "done"}
    assert undo.last(db).call.tool == "set_light_level"
    assert db.row("pragma user_version")[0] == len(migrations.STEPS)
    db.close()


def test_numbers_of_events_go_on_above_what_was_acknowledged(path):
    db = database.open_database(path).db

    outbox.enqueue(db, envelope_id="e9", kind="turn", at=NOW, body={})

    assert [event.seq for event in outbox.waiting(db, "evt", limit=9)] == [4]
    assert outbox.mark(db, "evt").newest == 4
    db.close()


def test_a_small_file_gets_smaller_pages_and_a_reader_keeps_it_as_it_is(path):
    reader = sqlite3.connect(path)
    reader.execute("begin")
    reader.execute("select * from meta").fetchall()

    kept = database.open_database(path).db
    assert kept.row("pragma page_size")[0] == 4096
    assert kept.row("pragma journal_mode")[0] == "wal"
    kept.close()
    reader.close()

    db = database.open_database(path).db
    assert db.row("pragma page_size")[0] == database.PAGE_BYTES
    assert db.row("pragma journal_mode")[0] == "wal"
    assert db.row("pragma integrity_check")[0] == "ok"
    db.close()


def test_an_act_that_was_taken_back_keeps_its_number_from_others(path):
    from appliance.contracts.toolcall import ToolCall

    db = database.open_database(path).db
    undo.push(db, "r1", ToolCall(tool="lock_door"))
    taken_back = undo.last(db)
    undo.drop(db, taken_back.seq)
    undo.push(db, "r3", ToolCall(tool="unlock_door"))

    assert undo.last(db).seq > taken_back.seq
    undo.drop(db, undo.last(db).seq)
    assert undo.last(db).call.tool == "set_light_level"
    for n in range(200):
        undo.push(db, f"x{n}", ToolCall(tool="lock_door"))
    assert db.row("select count(*) as n from undo")["n"] <= undo.KEPT_N + 25
    db.close()
