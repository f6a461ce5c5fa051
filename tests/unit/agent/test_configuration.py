"""A configuration is in the ledger before the first decision that cites it, and never far from the last."""

import json
from datetime import UTC, datetime

import pytest

from appliance.agent.configuration import AGAIN_AFTER_N, InForce
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.decision import Configuration
from appliance.contracts.manifest import Thresholds
from appliance.storage import audit, database

MOMENT = Moment(at=datetime(2026, 11, 23, tzinfo=UTC), monotonic_s=1.0, boot=1, clock="trusted")


@pytest.fixture
def db(tmp_path):
    opened = database.open_database(tmp_path / "a.db").db
    yield opened
    opened.close()


def in_force(software="0.1.0"):
    return InForce(
        Configuration(
            agent_id="dev",
            software=software,
            machine="x86_64",
            thresholds=Thresholds(act=0.7, confirm=0.3, abstain=0.6),
            zone=None,
            policy={},
            tools=(),
        )
    )


def cited(db, configuration):
    with db.atomic():
        return configuration.cite(db, MOMENT)


def configured(db):
    return [json.loads(r.body)["facts"] for r in audit.rows(db.connection) if r.kind == "configured"]


def test_it_is_written_once_and_found_again_by_the_next_run(db):
    one = in_force()

    assert cited(db, one) == cited(db, one) == cited(db, in_force())
    assert [facts["digest"] for facts in configured(db)] == [cited(db, one)]


def test_another_one_is_written_when_something_changed(db):
    first, second = cited(db, in_force()), cited(db, in_force("0.2.0"))

    assert first != second
    assert cited(db, in_force()) == first
    assert [facts["digest"] for facts in configured(db)] == [first, second, first]


def test_it_is_written_again_before_it_lies_too_far_back(db):
    one = in_force()
    cited(db, one)
    with db.atomic():
        for _ in range(AGAIN_AFTER_N - 1):
            audit.append(db, AuditRecord(kind="note", moment=MOMENT))
    cited(db, one)
    assert len(configured(db)) == 1
    with db.atomic():
        audit.append(db, AuditRecord(kind="note", moment=MOMENT))

    cited(db, one)

    assert len(configured(db)) == 2


def test_a_decision_that_was_rolled_back_takes_its_configuration_with_it(db):
    one = in_force()
    with pytest.raises(RuntimeError), db.atomic():
        one.cite(db, MOMENT)
        raise RuntimeError
    assert configured(db) == []

    cited(db, one)

    assert len(configured(db)) == 1
