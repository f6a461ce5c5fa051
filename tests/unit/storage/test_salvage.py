"""A damaged card: the daemon starts in any case, and what can be read goes on."""

import json
import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.request import Ask, Origin, OriginKind, Request
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.tree import leaf_hash
from appliance.storage import (
    audit,
    counters,
    database,
    inbox,
    meta,
    notes,
    outbox,
    past,
    remains,
    replies,
    salvage,
    schedules,
    soundness,
    undo,
)
from appliance.storage.carving import Carved

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=1.0, boot=1, clock="trusted")
RECORDS_N = 300


def _request(n):
    return Request(
        request_id=f"r{n}",
        received_at=NOW,
        origin=Origin(kind=OriginKind.OPERATOR, peer="test"),
        body=Ask(text=f"hello {n}"),
    )


def _fill(path):
    chance = random.Random(7)
    db = database.open_database(path, epoch="before").db
    with db.atomic():
        for n in range(RECORDS_N):
            facts = {"epoch": "before", "n": n, "text": "x" * chance.randrange(2000)}
            audit.append(db, AuditRecord(kind="note" if n else "epoch", moment=MOMENT, request_id=f"r{n}", facts=facts))
        for n in range(100):
            inbox.submit(db, _request(n))
            inbox.done(db, f"r{n}", {"status": "done", "request_id": f"r{n}", "text": f"done {n}"})
        for n in range(100, 104):
            inbox.submit(db, _request(n))
        inbox.take(db, "r101")
        inbox.park(db, "r102", {"waits_for": "confirm"}, NOW)
        for n in range(30):
            notes.add(db, f"note {n}", NOW)
        schedules.add_reminder(
            db, "bread", ToolCall(tool="announce", literals={"text": "bread"}), NOW + timedelta(days=1)
        )
        counters.use(db, "issuer", 77)
        body = {"status": "done"}
        replies.open_for(db, "r1", topic="t", correlation="c", digest="d", not_before=None, response=body, final=True)
        for n in range(5):
            outbox.enqueue(db, envelope_id=f"e{n}", kind="turn", at=NOW, body={"n": n})
        outbox.sent(db, "evt", 3)
        outbox.acknowledge(db, "evt", 2)
        outbox.sent(db, "audit", 250)
        outbox.acknowledge(db, "audit", 200)
        undo.push(db, "r1", ToolCall(tool="set_light_level"))
        meta.put(db, "boot", "41")
    return db


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database as a daemon leaves it at a power cut: most of it in the file, the newest commits in its log."""
    folder = tmp_path_factory.mktemp("filled")
    db = _fill(folder / "a.db")
    db.connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    for n in range(20):
        audit.append(db, AuditRecord(kind="note", moment=MOMENT, facts={"late": n}))
    copy = tmp_path_factory.mktemp("copy")
    for path in folder.iterdir():
        shutil.copy(path, copy)
    db.close()
    return copy


@pytest.fixture
def path(filled, tmp_path):
    for each in filled.iterdir():
        shutil.copy(each, tmp_path)
    (tmp_path / "a.db-shm").unlink(missing_ok=True)
    return tmp_path / "a.db"


def _table_pages(path, name):
    reader = database.open_reader(path)
    pages = [row["pageno"] for row in reader.execute("select pageno from dbstat where name = ?", (name,))]
    reader.close()
    return pages


def _destroy(path, pages, content=b"\xa5"):
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * database.PAGE_BYTES)
            file.write(content * database.PAGE_BYTES)


def _report(db):
    return json.loads(meta.get(db, salvage.REPORT))


def _fold(path):
    """Move the log into the file, so that a test's damage is not laid over by it."""
    connection = sqlite3.connect(path)
    connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    connection.close()


def test_a_sound_database_is_left_alone(path):
    opened = database.open_database(path)

    assert opened.set_aside is None
    assert database.epoch(opened.db) == "before"
    opened.db.close()


def test_what_can_be_read_goes_on(path):
    _fold(path)
    _destroy(path, _table_pages(path, "audit")[40:44])

    opened = database.open_database(path)

    db, report = opened.db, _report(opened.db)
    assert opened.set_aside == path.with_name("a.db.corrupt-1")
    assert database.epoch(db) != "before"
    assert report["epoch"] == "before"
    assert report["not_whole"] == []
    assert report["records"]["last"] == RECORDS_N + 20
    lost_n = sum(last - first + 1 for first, last in report["records"]["missing"])
    assert 1 <= lost_n <= 8
    assert report["records"]["saved"] == RECORDS_N + 20 - lost_n
    # What was settled stays settled, and nothing is done twice.
    assert inbox.outcome(db, "r7")["text"] == "done 7"
    assert inbox.submit(db, _request(7)) is False
    assert inbox.queued(db) == []
    assert {request.request_id for request in inbox.taken(db)} == {"r100", "r101", "r103"}
    assert inbox.outcome(db, "r102")["code"] == "salvaged"
    assert report["refused"] == ["r102"]
    assert counters.look(db, "issuer", 77) == "used"
    assert replies.find(db, "r1").correlation == "c"
    assert len(notes.newest(db, limit=100)) == 30
    assert len(schedules.waiting(db)) == 1
    assert [event.body["n"] for event in outbox.waiting(db, "evt", limit=9)] == [2, 3, 4]
    assert undo.last(db) is None
    assert report["acknowledged"] == 200
    assert meta.get(db, "boot") == "41"
    assert past.cited(db).reason == "damaged"
    db.close()


@pytest.mark.parametrize("damage", ["header", "first pages", "schema and roots"])
def test_a_file_that_sqlite_cannot_open_is_read_page_by_page(path, damage):
    _fold(path)
    pages = {"header": [1], "first pages": range(1, 9), "schema and roots": range(1, 33)}[damage]
    _destroy(path, pages)

    opened = database.open_database(path)

    report = _report(opened.db)
    assert report["epoch"] == "before"
    assert report["records"]["saved"] >= RECORDS_N - 10
    assert report["saved"]["notes"] >= 25
    assert report["carved_rows"] > 100
    opened.db.close()


def test_rows_behind_a_lost_inner_page_are_carved(path):
    _fold(path)
    reader = database.open_reader(path)
    inner = [
        r["pageno"] for r in reader.execute("select pageno from dbstat where pagetype = 'internal' and name = 'audit'")
    ]
    reader.close()
    _destroy(path, inner)

    opened = database.open_database(path)

    assert _report(opened.db)["records"]["saved"] == RECORDS_N + 20
    opened.db.close()


def test_a_log_that_is_damaged_in_the_middle_is_not_taken_for_its_end(path):
    """SQLite passes over everything after the first bad frame, and says nothing: twenty commits would be fifteen."""
    log = path.with_name("a.db-wal")
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 4] ^= 0xFF
    log.write_bytes(raw)

    opened = database.open_database(path)

    assert opened.set_aside is not None
    assert _report(opened.db)["records"]["last"] == RECORDS_N + 20
    assert _report(opened.db)["records"]["saved"] >= RECORDS_N + 18
    opened.db.close()


def test_an_empty_file_beside_a_full_log_is_read_from_the_log(path):
    """SQLite deletes such a log as it opens the file."""
    path.write_bytes(b"")
    log = path.with_name("a.db-wal").read_bytes()

    opened = database.open_database(path)

    assert opened.set_aside.with_name("a.db.corrupt-1-wal").read_bytes() == log
    records = _report(opened.db)["records"]
    assert records["last"] == RECORDS_N + 20
    assert records["saved"] >= 19
    opened.db.close()


def test_a_torn_last_transaction_is_no_damage(path):
    log = path.with_name("a.db-wal")
    raw = log.read_bytes()
    log.write_bytes(raw[:-100])

    opened = database.open_database(path)

    assert opened.set_aside is None
    with opened.db.reading() as connection:
        assert audit.size(connection) == RECORDS_N + 19
    opened.db.close()


def test_a_log_of_another_file_is_not_folded_into_this_one(path, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    db = database.open_database(other / "a.db").db
    for n in range(300):
        meta.put(db, f"k{n}", "v" * 400)
    shutil.copy(other / "a.db-wal", path.with_name("a.db-wal"))
    db.close()
    before = path.read_bytes()

    opened = database.open_database(path)

    assert opened.set_aside.read_bytes() == before
    assert _report(opened.db)["records"]["saved"] >= RECORDS_N - 5
    opened.db.close()


def test_damage_met_while_it_ran_is_salvaged_at_the_next_start_though_the_check_finds_nothing(path):
    soundness.mark(path)

    opened = database.open_database(path)
    assert opened.set_aside is not None
    assert _report(opened.db)["records"] == {"saved": RECORDS_N + 20, "last": RECORDS_N + 20, "missing": []}
    opened.db.close()

    again = database.open_database(path)
    assert again.set_aside is None
    again.db.close()


def test_a_power_cut_between_the_two_renames_is_finished_by_the_next_start(path):
    _fold(path)
    _destroy(path, [1])
    opened = database.open_database(path)
    kept = _report(opened.db)
    opened.db.close()
    # As it lies after the first rename: no database, the new one ready, the damaged one's log still under its name.
    path.rename(path.with_name("a.db.salvaged"))
    path.with_name("a.db-wal").write_bytes(b"the damaged one's log")

    opened = database.open_database(path)

    assert opened.set_aside is None
    assert _report(opened.db) == kept
    assert path.with_name("a.db.corrupt-1-wal").read_bytes() == b"the damaged one's log"
    opened.db.close()


def test_a_silent_change_inside_a_record_is_found_by_the_walk(path):
    import threading

    _fold(path)
    raw = bytearray(path.read_bytes())
    at = raw.index(b'"n":150,')
    raw[at + 5] ^= 1
    path.write_bytes(raw)

    opened = database.open_database(path)
    assert opened.set_aside is None  # pages in order: no check of pages can see it

    found = soundness.walk(path, threading.Event(), pause_s=0)
    assert "record 151 is not what was written" in found
    opened.db.close()


def test_a_ledger_too_large_for_a_start_is_checked_afterwards(path):
    assert soundness.check(path, budget_s=0.0) == ("audit", "past")
    assert soundness.check(path) == ()


_DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.lists(st.integers(0, 10**7), min_size=1, max_size=200)),
    st.tuples(st.just("zero"), st.lists(st.integers(0, 10**4), min_size=1, max_size=6)),
    st.tuples(st.just("noise"), st.lists(st.integers(0, 10**4), min_size=1, max_size=6)),
    st.tuples(st.just("cut"), st.lists(st.integers(1, 10**7), min_size=1, max_size=1)),
    st.tuples(st.just("log"), st.lists(st.integers(0, 10**6), min_size=1, max_size=6)),
)


def _damaged(path, damage):
    how, places = damage
    target = path.with_name("a.db-wal") if how == "log" else path
    raw = bytearray(target.read_bytes())
    for place in places:
        if not raw:
            return
        if how in {"flip", "log"}:
            raw[place % len(raw)] ^= 1 << place % 7
        elif how == "cut":
            del raw[place % len(raw) :]
        else:
            at = place % (len(raw) // 4096 + 1) * 4096
            n = len(raw[at : at + 4096])
            raw[at : at + n] = bytes(n) if how == "zero" else random.Random(place).randbytes(n)
    target.write_bytes(raw)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=st.lists(_DAMAGE, min_size=1, max_size=3))
@example(damages=[("cut", [100])])
@example(damages=[("cut", [16])])  # the header's first words, and not one of its numbers
@example(damages=[("zero", [0])])
@example(damages=[("flip", [17409])])
@example(damages=[("flip", [1013])])
def test_whatever_the_damage_it_starts_and_says_what_was_lost(filled, tmp_path_factory, damages):
    folder = tmp_path_factory.mktemp("d")
    for each in filled.iterdir():
        if each.suffix != ".db-shm":
            shutil.copy(each, folder)
    path = folder / "a.db"
    for damage in damages:
        _damaged(path, damage)
    before = path.read_bytes()

    opened = database.open_database(path)

    db = opened.db
    audit.append(db, AuditRecord(kind="note", moment=MOMENT))
    assert db.row("pragma integrity_check")[0] == "ok"
    if opened.set_aside is not None:
        assert opened.set_aside.read_bytes() == before
        records = _report(db)["records"]
        kept = [
            row["seq"] for row in db.rows("select seq from past where epoch = ? order by seq", (_report(db)["epoch"],))
        ]
        missing = {n for first, last in records["missing"] for n in range(first, last + 1)}
        assert len(kept) == records["saved"]
        # Every number is either saved or said to be lost.
        assert set(kept) | missing == set(range(1, records["last"] + 1))
        assert set(kept) & missing == set()
        assert inbox.queued(db) == []
    db.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("form", ["with leaves", "from before there were leaves"])
def test_a_record_on_a_page_is_read_in_the_form_that_its_file_had(form):
    body = json.dumps({"seq": 7, "kind": "note"})
    leaf = leaf_hash(body.encode())
    behind = (leaf, body, None) if form == "with leaves" else (body, None, "ab" * 32)

    found = remains.record_of(Carved(7, (None, "note", "r1", NOW.isoformat(), *behind)))

    record = remains.checked(found)
    assert (record.seq, record.kind, record.request_id, record.body, record.leaf) == (7, "note", "r1", body, leaf)
