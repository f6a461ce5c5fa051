"""A saved question says what its values must be: one that finds nothing because the value is none says nothing."""

import io
import json
import os

import pytest

from appliance.cli import querying
from appliance.errors import StorageError, UsageError
from appliance.ledger import query, saved
from appliance.storage import database


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("why", {"at": "xx"}),
        ("timeline", {"day": "22.11.2026"}),
        ("timeline", {"day": "2026-11-22T03:00"}),
        ("refused", {"since": "foo"}),
        ("refused", {"since": "2026-02-30"}),
        ("refused", {"since": ""}),
        ("near-threshold", {"within": "nan"}),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path, name, given):
    with pytest.raises(UsageError, match="is not a"):
        saved.bound(saved.named(tmp_path, name), given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("why", {"at": "2026-11-22T03:12"}),
        ("timeline", {"day": "2026-11-22"}),
        ("refused", {"since": "2026-11-22 03:12:04.5"}),
        ("near-threshold", {"within": "0.1"}),
        ("request", {"id": "anything"}),
    ],
)
def test_a_value_of_its_type_is_taken(tmp_path, name, given):
    (parameter,) = given
    assert saved.bound(saved.named(tmp_path, name), given)[parameter] == given[parameter]


def test_every_time_of_a_question_that_ships_has_a_type(tmp_path):
    for kept in saved.every(tmp_path).values():
        assert {"since", "at", "day"} & set(kept.parameters) <= set(kept.types), kept.name


def test_a_type_that_is_none_is_named(tmp_path):
    (tmp_path / "mine.sql").write_text("-- Mine.\n-- :x [moment]  when\nselect :x\n")
    with pytest.raises(UsageError, match=r"\[moment\] is no type"):
        saved.every(tmp_path)


def test_json_is_json_and_loses_no_column():
    target = io.StringIO()
    querying._json(("a", "a", "a_2"), [(1, float("inf"), 3)], target)

    said = json.loads(target.getvalue(), parse_constant=pytest.fail)
    assert said == {"a": 1, "a_3": "Infinity", "a_2": 3}


def test_a_table_with_a_quote_in_its_name_does_not_look_like_damage(tmp_path):
    path = tmp_path / "a.db"
    db = database.open_database(path).db
    db.execute('create table "a""b" (x)')
    db.execute("create view gone as select nosuch from audit")
    db.close()

    with (
        pytest.raises(UsageError, match="Did you mean 'words'"),
        query.asked(path, "select wrds from decisions", {}, seconds=5),
    ):
        pass


def test_a_pipe_is_no_database(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="no regular file"):
        database.open_reader(tmp_path / "pipe")
