"""A damaged card must not give back what somebody had erased."""

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.request import Ask, Origin, OriginKind, Request
from appliance.storage import audit, database, forgetting, holds, inbox, meta, notes, redaction

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS_N = 200


def moment(day):
    return Moment(at=BEGAN + timedelta(days=day), monotonic_s=1.0, boot=1, clock="trusted")


@pytest.fixture
def db(tmp_path):
    """One record a day, each with the words of a request, all of it in the file and none in its log."""
    made = database.open_database(tmp_path / "home" / "a.db", epoch="before").db
    with made.atomic():
        audit.append(made, AuditRecord(kind="epoch", moment=moment(0), facts={"epoch": "before"}))
        for n in range(2, RECORDS_N + 1):
            request = Request(
                request_id=f"r{n}",
                received_at=BEGAN,
                origin=Origin(kind=OriginKind.OPERATOR, peer="test"),
                body=Ask(text=f"secret-{n}."),
            )
            inbox.submit(made, request)
            inbox.done(made, f"r{n}", {"status": "done", "request_id": f"r{n}", "reason": f"secret-{n}."})
            personal = {"text": f"secret-{n}.", "reason": f"why-{n}."}
            audit.append(made, AuditRecord(kind="decided", moment=moment(n), request_id=f"r{n}", personal=personal))
        notes.add(made, "secret-20.", BEGAN)
        notes.add(made, "bread", BEGAN)
    assert made.cut_log()
    yield made
    made.close()


def power_cut(db, folder):
    """Return the file and its log as a power cut leaves them, some commits later."""
    for n in range(3):
        notes.add(db, f"later {n}", BEGAN)
    folder.mkdir()
    for path in db.path.parent.glob("a.db*"):
        shutil.copy(path, folder)
    (folder / "a.db-shm").unlink(missing_ok=True)
    return folder / "a.db"


def erase(db, seq, *, fields=(), why="person"):
    rows = redaction.of_number(db, seq)
    redaction.erase(db, rows, fields=fields, by="test", why=why, reason="", moment=moment(RECORDS_N))


def tear_the_log(path):
    """Make the first frame one that SQLite does not believe: for it, the log ends there."""
    with path.with_name("a.db-wal").open("r+b") as log:
        log.seek(32 + 16)
        log.write(b"\x55" * 8)


def tear_the_header(path):
    """Leave SQLite nothing to begin with: every row comes from a page alone."""
    with path.open("r+b") as file:
        file.write(b"\x00" * 100)


def salvage(path):
    opened = database.open_database(path)
    assert opened.set_aside is not None
    kept = {row["seq"]: row["personal"] for row in opened.db.rows("select seq, personal from past")}
    opened.db.close()
    raw = b"".join(file.read_bytes() for file in path.parent.glob("a.db*") if ".corrupt-" not in file.name)
    return kept, raw


def test_without_an_erasure_a_damaged_log_costs_no_words(db, tmp_path):
    audit.append(db, AuditRecord(kind="note", moment=moment(RECORDS_N)))
    path = power_cut(db, tmp_path / "cut")
    tear_the_log(path)

    kept, raw = salvage(path)

    assert all(kept[seq] is not None for seq in range(2, RECORDS_N + 1))
    assert b"secret-20." in raw


def test_what_a_person_erased_just_before_the_log_was_damaged_does_not_come_back(db, tmp_path):
    erase(db, 20)
    erase(db, 30, fields=("text",))
    path = power_cut(db, tmp_path / "cut")
    tear_the_log(path)
    assert b"secret-20." in path.read_bytes()  # the old page still lies in the file

    kept, raw = salvage(path)

    assert kept[20] is None
    assert "why-30." in kept[30]
    for gone in (b"secret-20.", b"why-20.", b"secret-30."):
        assert gone not in raw
    for other in (b"secret-21.", b"why-30.", b"bread"):
        assert other in raw


def test_what_age_erased_just_before_the_log_was_damaged_does_not_come_back_nor_what_is_older(db, tmp_path):
    holds.place(db, "before", 40, 41, reason="inquiry", by="test", moment=moment(RECORDS_N))
    assert db.cut_log()
    erase(db, 50, why="age")
    path = power_cut(db, tmp_path / "cut")
    tear_the_log(path)

    kept, raw = salvage(path)

    # Of 2 to 49 the records that say so may be among what was lost; a hold keeps what age would have erased.
    assert {seq for seq in range(2, 51) if kept[seq] is not None} == {40, 41}
    assert all(kept[seq] is not None for seq in range(51, RECORDS_N + 1))
    assert b"secret-49." not in raw
    assert b"secret-51." in raw


def test_of_rows_that_only_their_page_has_those_before_the_horizon_come_without_words(db, tmp_path):
    meta.put(db, forgetting.HORIZON, moment(100).at.isoformat())
    assert db.cut_log()
    path = power_cut(db, tmp_path / "cut")
    tear_the_header(path)

    kept, raw = salvage(path)

    assert len(kept) == RECORDS_N
    assert {seq for seq in range(2, RECORDS_N + 1) if kept[seq] is not None} == set(range(101, RECORDS_N + 1))
    assert b"secret-100." not in raw


def test_what_sqlite_reaches_in_a_file_that_lost_no_commit_is_left_as_it_was(db, tmp_path):
    meta.put(db, forgetting.HORIZON, moment(100).at.isoformat())
    assert db.cut_log()
    path = power_cut(db, tmp_path / "cut")
    reader = sqlite3.connect(path)
    pages = [row[0] for row in reader.execute("select pageno from dbstat where name = 'notes' and pagetype = 'leaf'")]
    reader.close()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * database.PAGE_BYTES)
            file.write(b"\xa5" * database.PAGE_BYTES)

    kept, _ = salvage(path)

    assert all(kept[seq] is not None for seq in range(2, RECORDS_N + 1))


@pytest.mark.parametrize("facts", [{}, {"records": 1}, {"why": "age", "fields": 3, "records": {"before": [[1]]}}])
def test_a_record_of_an_erasure_in_no_known_form_stops_no_start(db, tmp_path, facts):
    audit.append(db, AuditRecord(kind="redacted", moment=moment(RECORDS_N), facts=facts))
    path = power_cut(db, tmp_path / "cut")
    tear_the_log(path)

    kept, _ = salvage(path)

    assert kept[20] is not None
