"""A write-ahead log whose last transaction was torn is not damage, whatever the torn part says."""

import shutil
import sqlite3
import struct

from appliance.storage import carving, soundness

PAGE = 1024
FRAME = 24 + PAGE
RUBBISH_PAGE = 3_999_999_999


def make_log(tmp_path, transactions):
    """A database as a power cut leaves it: the file, and a log of so many transactions of several pages."""
    live, cut = tmp_path / "live.db", tmp_path / "cut.db"
    db = sqlite3.connect(live, isolation_level=None)
    db.execute(f"pragma page_size = {PAGE}")
    db.execute("pragma journal_mode = wal")
    db.execute("create table audit (seq integer primary key, body text, leaf blob)")
    for seq in range(transactions):
        db.execute("insert into audit values (?, ?, x'00')", (seq, "words " * 400))
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{live}{suffix}", f"{cut}{suffix}")
    db.close()
    return cut


def frames(log):
    """Return where the transactions of the log begin, and where it ends."""
    raw = log.read_bytes()
    return [32, *(at + FRAME for at in range(32, len(raw), FRAME) if raw[at + 4 : at + 8] != bytes(4))]


def tear(log, at):
    """Put rubbish into the page and commit numbers of the frame at *at*; its salt has arrived, its page has not."""
    with log.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(">II", RUBBISH_PAGE, 7))
        file.seek(at + 24)
        file.write(bytes(PAGE))


def test_rubbish_in_the_last_transaction_is_not_taken_for_damage(tmp_path):
    path = make_log(tmp_path, 3)
    log = tmp_path / "cut.db-wal"
    tear(log, frames(log)[-2])

    assert not soundness.log_is_cut(path)


def test_damage_before_a_whole_transaction_is_seen(tmp_path):
    path = make_log(tmp_path, 3)
    log = tmp_path / "cut.db-wal"
    tear(log, frames(log)[-3])

    assert soundness.log_is_cut(path)


def test_carving_does_not_count_up_to_a_page_number_that_is_rubbish(tmp_path):
    path = make_log(tmp_path, 3)
    log = tmp_path / "cut.db-wal"
    tear(log, frames(log)[-2])

    bodies = {row.values[1] for row in carving.rows(path) if len(row.values) == 3}

    assert "words " * 400 in bodies
