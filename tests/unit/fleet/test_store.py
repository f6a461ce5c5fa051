"""Two databases, one promise: what the controller may rely on, whichever it has."""

import threading

import pytest

from appliance.errors import SettingsError, StorageError
from appliance.fleet import numbering
from appliance.fleet.home import PostgresqlSettings, open_home, open_store


def put(home, key, value):
    home.db.execute("insert into meta (key, value) values (?, ?)", [key, value])


def values(home):
    return {row["key"]: row["value"] for row in home.db.rows("select key, value from meta")}


def test_what_was_written_is_there_for_whoever_opens_it_next(home):
    put(home, "a", "ä%s?'\"\\")

    again = open_home(home.path)

    assert values(again) == {"a": "ä%s?'\"\\"}
    again.close()


def test_a_block_that_fails_leaves_nothing(home):
    with pytest.raises(RuntimeError), home.writing():
        put(home, "a", "1")
        raise RuntimeError("in the middle")

    assert values(home) == {}


def test_a_block_inside_another_one_can_fail_alone(home):
    with home.writing():
        put(home, "a", "1")
        with pytest.raises(RuntimeError), home.writing():
            put(home, "b", "2")
            raise RuntimeError("in the middle")
        put(home, "c", "3")

    assert values(home) == {"a": "1", "c": "3"}


def test_a_statement_that_is_refused_is_a_fault_and_nothing_of_its_block_stays(home):
    put(home, "a", "1")

    with pytest.raises(StorageError), home.writing():
        put(home, "b", "2")
        put(home, "a", "again")

    assert values(home) == {"a": "1"}


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**63, -(2**70)], ids=["nul", "surrogate", "large", "small"])
def test_a_value_that_no_row_can_hold_is_refused_by_both(home, value):
    with pytest.raises(ValueError, match=r"storable|surrogates"):
        home.db.execute("insert into faults (device, what, text, times) values ('d', 'w', ?, ?)", _both(value))

    assert home.db.rows("select * from faults") == []


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**63], ids=["nul", "surrogate", "large"])
def test_rows_that_no_table_can_hold_are_refused_by_both(home, value):
    rows = [("d", str(n), *_both("fine")) for n in range(3)] + [("d", "last", *_both(value))]

    with pytest.raises(ValueError, match=r"storable|surrogates"), home.writing():
        home.db.add("faults", ("device", "what", "text", "times"), rows)

    assert home.db.rows("select * from faults") == []


def _both(value):
    return [value, 1] if isinstance(value, str) else ["", value]


def test_bytes_and_large_numbers_come_back_as_they_went(home):
    row = ("d", "e", 2**53 - 1, bytes(range(256)), "note", "at", 0)
    columns = ("device", "epoch", "size", "root", "note", "received_at", "checked")

    home.db.add("checkpoints", columns, [row])

    [back] = home.db.rows("select * from checkpoints")
    assert tuple(back[name] for name in columns) == row


def test_keys_are_told_apart_and_sorted_by_their_bytes(home):
    for key in ("b", "B", "a-1", "a1", "ä", "a"):
        put(home, key, "")

    keys = [row["key"] for row in home.db.rows("select key from meta order by key")]

    assert keys == ["B", "a", "a-1", "a1", "b", "ä"]


def test_a_counter_is_given_once_however_many_ask(home):
    given, began = [], threading.Barrier(3)

    def ask(audience):
        mine = open_home(home.path)
        began.wait(30)
        given.extend((audience, numbering.next_number(mine, audience)) for _ in range(20))
        mine.close()

    programs = [threading.Thread(target=ask, args=(who,)) for who in ("lamp", "all", "lamp")]
    for program in programs:
        program.start()
    for program in programs:
        program.join()

    assert sorted(n for audience, n in given if audience == "lamp") == list(range(1, 41))
    assert sorted(n for audience, n in given if audience == "all") == list(range(1, 21))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("host=x password=secret", 0o644, "chmod 600"),
        ("host=x password=secret", 0o640, "chmod 600"),
        ("", 0o600, "empty"),
        ("password secret", 0o600, "one line is wanted"),
        ("host=x nonsense=secret", 0o600, "one line is wanted"),
        ("postgresql://u:secret@[half", 0o600, "one line is wanted"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_no_secret_is_said(tmp_path, text, mode, said):
    file = tmp_path / "conninfo"
    file.write_text(text)
    file.chmod(mode)

    with pytest.raises(SettingsError, match=said) as refused:
        open_store(tmp_path, PostgresqlSettings(conninfo_file=str(file)))

    assert "secret" not in str(refused.value)


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        open_store(tmp_path, PostgresqlSettings(conninfo_file="not-there"))


def test_a_server_that_is_not_there_is_a_fault_that_names_no_password(tmp_path):
    file = tmp_path / "conninfo"
    file.write_text(f"host={tmp_path} dbname=fleet user=fleet password=secret")
    file.chmod(0o600)

    with pytest.raises(StorageError) as refused:
        open_store(tmp_path, PostgresqlSettings(conninfo_file=str(file)))

    assert "secret" not in str(refused.value)
