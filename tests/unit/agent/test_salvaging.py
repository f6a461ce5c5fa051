"""What a salvaged device tells: once, whole, and everything that the controller lacks."""

import json
from datetime import UTC, datetime

from appliance.agent import salvaging
from appliance.contracts.audit import AuditRecord, Moment
from appliance.storage import audit, database, outbox, soundness

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=1.0, boot=1, clock="trusted")


class Clock:
    def moment(self):
        return MOMENT


def _salvaged(path, *, acked):
    db = database.open_database(path).db
    for n in range(200):
        audit.append(db, AuditRecord(kind="note", moment=MOMENT, facts={"n": n, "text": "x" * 400}))
    if acked:
        outbox.sent(db, "audit", 120)
        outbox.acknowledge(db, "audit", acked)
    before = {row.seq: row.body for row in audit.rows(db.connection)}
    db.close()
    soundness.mark(path)
    return database.open_database(path).db, before


def _wrapped(db):
    facts = [json.loads(row.body)["facts"] for row in audit.rows(db.connection) if row.kind == "salvaged"]
    return facts[0], [body for each in facts[1:] for body in each["records"]]


def test_records_that_the_controller_lacks_travel_whole_in_the_new_epoch(tmp_path):
    db, before = _salvaged(tmp_path / "a.db", acked=100)

    report = salvaging.tell(db, Clock(), enrolled=True)

    told, wrapped = _wrapped(db)
    assert told["records"] == report["records"] == {"saved": 200, "last": 200, "missing": []}
    assert wrapped == [before[seq] for seq in range(101, 201)]
    assert salvaging.tell(db, Clock(), enrolled=True) is None
    db.close()


def test_a_device_without_a_controller_repeats_nothing(tmp_path):
    db, _ = _salvaged(tmp_path / "a.db", acked=0)

    salvaging.tell(db, Clock(), enrolled=False)

    assert _wrapped(db)[1] == []
    db.close()


def test_a_power_cut_while_it_tells_neither_repeats_nor_loses_a_record(tmp_path):
    db, before = _salvaged(tmp_path / "a.db", acked=100)

    class Cut(Exception):
        pass

    for after in range(1, 8):
        clock = Clock()
        left = [after % 3 + 1]

        def moment(left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Cut
            return MOMENT

        clock.moment = moment
        try:
            if salvaging.tell(db, clock, enrolled=True) is None:
                break
        except Cut:
            db.close()
            db = database.open_database(tmp_path / "a.db").db

    salvaging.tell(db, Clock(), enrolled=True)
    assert _wrapped(db)[1] == [before[seq] for seq in range(101, 201)]
    db.close()
