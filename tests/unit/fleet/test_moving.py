"""A controller that outgrew its file takes everything with it."""

import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Batch, Item
from appliance.errors import UsageError
from appliance.fleet import enrolling, ingest, moving, numbering
from appliance.fleet.home import PostgresqlSettings, make, open_home
from appliance.fleet.schema import TABLES

NOW = datetime(2026, 11, 22, tzinfo=UTC)

pytestmark = pytest.mark.system


@pytest.fixture
def file_home(tmp_path):
    home = make(tmp_path / "fleet", site="site")
    home.use_broker(enrolling.broker_at("127.0.0.1:1883"))
    enrolling.enrol_here(home, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    items = tuple(
        Item(seq=n, id=f"a{n}", kind="turn", at=NOW, body={"body": json.dumps({"seq": n, "kind": "turn"})})
        for n in range(1, 601)
    )
    ingest.store_batch(home, Batch(device="lamp", epoch="e", stream="audit", after=0, floor=0, items=items), NOW)
    numbering.next_number(home, "lamp")
    yield home
    home.close()


def rows(home):
    return {
        table: sorted(map(repr, (tuple(row.values()) for row in home.db.rows(f"select * from {table}"))))
        for table in TABLES
    }


def test_every_row_is_there_afterwards_and_the_controller_goes_on_in_postgresql(file_home, server, tmp_path):
    to = PostgresqlSettings(conninfo_file=str(server.database(tmp_path)))
    before = rows(file_home)

    assert moving.move(file_home, to) == 600

    moved = open_home(file_home.path)
    assert moved.db.where.startswith("postgresql")
    assert rows(moved) == before
    assert numbering.next_number(moved, "lamp") == 2
    more = Item(seq=601, id="a", kind="turn", at=NOW, body={"body": json.dumps({"seq": 601, "kind": "turn"})})
    batch = Batch(device="lamp", epoch="e", stream="audit", after=600, floor=0, items=(more,))
    assert ingest.store_batch(moved, batch, NOW).upto == 601
    moved.close()


def test_a_database_with_something_in_it_is_left_alone(file_home, server, tmp_path):
    to = PostgresqlSettings(conninfo_file=str(server.database(tmp_path)))
    other = make(tmp_path / "other", site="site", postgresql=to)
    numbering.next_number(other, "lamp")
    before = rows(other)

    with pytest.raises(UsageError, match="an empty database is wanted"):
        moving.move(file_home, to)

    assert rows(other) == before
    assert file_home.settings.postgresql is None
    other.close()
