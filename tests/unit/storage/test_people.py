"""Enrolled people and wrong PINs, in a real file."""

import sqlite3

import pytest

from appliance.errors import StorageError
from appliance.storage import database, people
from appliance.storage.people import Person

ANA = Person(key="ana", name="Ana", role="admin", pin="scrypt$kept", enrolled_at="2026-11-23T00:00:00+00:00")


@pytest.fixture
def db(tmp_path):
    opened = database.open_database(tmp_path / "a.db").db
    yield opened
    opened.close()


def test_a_person_is_found_by_key_until_removed(db):
    people.save(db, ANA)

    assert people.find(db, "ana") == ANA
    assert people.find(db, "Ana") is None
    people.remove(db, "ana")
    assert people.find(db, "ana") is None


def test_saved_again_a_person_is_changed_and_not_doubled(db):
    people.save(db, ANA)
    people.save(db, ANA.model_copy(update={"role": "viewer"}))

    assert [(p.name, p.role) for p in people.every(db)] == [("Ana", "viewer")]


def test_what_is_kept_of_a_pin_is_in_no_text_of_a_person(db):
    assert "scrypt" not in repr(ANA)
    assert "scrypt" not in str(ANA)


def test_the_file_takes_no_role_that_there_is_not(db):
    with pytest.raises(StorageError):
        db.execute("insert into people values ('x', 'x', 'owner', '', '')")


def test_wrong_pins_stay_counted_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "b.db"
    first = database.open_database(path).db
    people.count(first, "ana", 4)
    people.count(first, "ana", 5)
    people.count(first, "?3", 1)
    people.count(first, "?4", 1)
    people.count(first, "?4", 0)
    first.close()

    again = database.open_database(path).db
    assert people.failures(again) == {"ana": 5, "?3": 1}
    again.close()


def test_a_row_that_was_removed_is_nowhere_in_the_file(tmp_path):
    path = tmp_path / "c.db"
    db = database.open_database(path).db
    people.save(db, ANA.model_copy(update={"pin": "scrypt$" + "c0ffee" * 10}))
    people.remove(db, "ana")
    db.cut_log()
    db.close()

    assert b"c0ffeec0ffee" not in path.read_bytes()
    assert sqlite3.connect(path).execute("select count(*) from people").fetchone() == (0,)
