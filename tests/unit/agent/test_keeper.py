"""What the daemon itself has to say is written in order; a stop also if the disk was full when it came."""

import json
from datetime import UTC, datetime

import pytest

from appliance.agent.keeper import UNWRITTEN_N, Keeper
from appliance.contracts.audit import Moment
from appliance.storage import audit, database


class Clock:
    """A clock that counts how often it was asked."""

    def __init__(self):
        self.n = 0

    def moment(self):
        self.n += 1
        return Moment(at=datetime(2026, 11, 22, tzinfo=UTC), monotonic_s=float(self.n), boot=1, clock="trusted")


@pytest.fixture
def kept(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    complaints = []
    yield db, Keeper(db, Clock(), complaints.append), complaints
    db.close()


def fill(db):
    db.execute("create temp trigger full before insert on main.audit begin select raise(abort, 'disk full'); end")


def written(db):
    return [(row.kind, json.loads(row.body)["monotonic_s"]) for row in audit.rows(db.connection)]


def test_records_are_written_in_order(kept):
    db, keeper, complaints = kept

    keeper.append("boot", {})
    keeper.append("note", {"event": "x"}, {"reason": "said"})

    assert [kind for kind, _ in written(db)] == ["boot", "note"]
    assert (complaints, keeper.owes) == ([], False)


def test_a_stop_on_a_full_disk_is_written_before_anything_else_with_its_own_time(kept):
    db, keeper, complaints = kept
    fill(db)
    keeper.append("note", {})
    keeper.append("emergency", {"latched": True})
    keeper.append("emergency", {"latched": False})
    assert (len(complaints), keeper.owes, written(db)) == (3, True, [])

    db.execute("drop trigger full")
    keeper.append("note", {})

    assert written(db) == [("emergency", 2.0), ("emergency", 3.0), ("note", 4.0)]
    assert not keeper.owes


def test_while_the_disk_stays_full_what_waits_is_bounded_and_nothing_is_written_twice(kept):
    db, keeper, _ = kept
    fill(db)
    for _ in range(UNWRITTEN_N + 50):
        keeper.append("emergency", {})

    db.execute("drop trigger full")
    keeper.append("note", {})
    keeper.append("note", {})

    assert len(written(db)) == UNWRITTEN_N + 2
