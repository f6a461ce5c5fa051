"""The verifier finds every kind of tampering and names the first bad row."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.audit import GENESIS, AuditRecord, Moment
from appliance.ledger.verify import Anchor, verify
from appliance.storage import audit, database

MOMENT = Moment(at=datetime(2026, 11, 22, tzinfo=UTC), monotonic_s=1.0, boot=1, clock="trusted")


@pytest.fixture
def ledger(tmp_path):
    db = database.open_database(tmp_path / "a.db", epoch="e1").db
    for n in range(20):
        record = AuditRecord(
            kind="note", moment=MOMENT, request_id=f"r{n}", facts={"n": n}, personal={"text": f"words {n}"}
        )
        audit.append(db, record)
    yield db
    db.close()


def check(db, anchor=None):
    return verify(audit.rows(db.connection), "e1", anchor)


def anchor(db, **changes):
    seq, head = audit.head(db.connection)
    return Anchor(**{"device": "d", "epoch": "e1", "seq": seq, "hash": head, **changes})


def test_an_untouched_ledger_is_consistent_and_says_what_that_does_not_prove(ledger):
    found = check(ledger)

    assert (found.state, found.rows_n, found.bad_seq) == ("consistent-unanchored", 20, None)
    assert "does not prove" in found.reason


def test_with_a_checkpoint_it_is_anchored_also_after_it_has_grown(ledger):
    signed = anchor(ledger)
    audit.append(ledger, AuditRecord(kind="note", moment=MOMENT))

    assert check(ledger, signed).state == "anchored"


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("update audit set body = replace(body, '\"n\":7', '\"n\":8') where seq = 8", 8),
        ("delete from audit where seq = 5", 5),
        ("update audit set seq = 100 where seq = 9", 9),
        ("update audit set kind = 'boot' where seq = 3", 3),
        ("update audit set request_id = 'other' where seq = 4", 4),
        ("update audit set hash = lower(hex(randomblob(32))) where seq = 11", 11),
        ("update audit set personal = replace(personal, 'words 5', 'other 5') where seq = 6", 6),
        ("update audit set body = body || ' ' where seq = 2", 2),
        ("update audit set body = 'not json' where seq = 12", 12),
        (
            "update audit set seq = -seq where seq in (14, 15); update audit set seq = 29 + seq where seq < 0",
            14,
        ),
    ],
)  # fmt: skip
def test_tampering_is_found_at_its_first_row(ledger, sql, bad):
    ledger.connection.executescript(sql)

    found = check(ledger)

    assert (found.state, found.bad_seq) == ("broken", bad)
    assert found.reason


def test_erasing_personal_words_leaves_the_ledger_whole(ledger):
    ledger.execute("update audit set personal = null")

    assert check(ledger).state == "consistent-unanchored"


def test_a_cut_tail_is_found_only_with_a_checkpoint(ledger):
    signed = anchor(ledger)
    ledger.execute("delete from audit where seq > 15")

    assert check(ledger).state == "consistent-unanchored"
    found = check(ledger, signed)
    assert (found.state, found.bad_seq) == ("broken", 16)


def test_a_ledger_written_anew_is_found_with_a_checkpoint(ledger):
    signed = anchor(ledger)
    previous = GENESIS
    for row in list(audit.rows(ledger.connection)):
        body = json.loads(row.body) | {"facts": {"n": -1}}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(bytes.fromhex(previous) + text.encode()).hexdigest()
        ledger.execute("update audit set body = ?, hash = ? where seq = ?", (text, previous, row.seq))

    assert check(ledger).state == "consistent-unanchored"
    assert (check(ledger, signed).state, check(ledger, signed).bad_seq) == ("broken", 20)


def test_another_database_is_not_the_one_that_was_signed(ledger):
    found = check(ledger, anchor(ledger, epoch="e2"))

    assert found.state == "broken"
    assert "epoch" in found.reason
