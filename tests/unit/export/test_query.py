"""Questions in SQL: only reading, bounded, and a mistake is shown with its place."""

import csv
import io
from pathlib import Path

import pytest

from appliance.cli import querying
from appliance.errors import UsageError
from appliance.ledger import query, saved


def ask(night, sql, parameters=None, seconds=20.0):
    with query.asked(night.db.path, sql, parameters or {}, seconds=seconds) as answer:
        return answer.columns, list(answer.rows)


def test_a_question_gives_its_columns_and_rows(night):
    columns, rows = ask(night, "select request_id, status from decisions where status = :status", {"status": "done"})

    assert (columns, rows) == (("request_id", "status"), [("r1", "done")])


@pytest.mark.parametrize(
    "sql",
    [
        "delete from audit",
        "update audit set body = ''",
        "insert into meta values ('a', 'b')",
        "drop view decisions",
        "create table t (a)",
        "create temp table t (a)",
        "create temp view v as select 1",
        "attach '/tmp/other.db' as other",
        "vacuum into '/tmp/copy.db'",
        "vacuum",
        "pragma journal_mode = delete",
        "pragma query_only = off",
        "pragma writable_schema = on",
        "begin immediate",
        "savepoint a",
        "reindex",
        "analyze",
        "select load_extension('x')",
        "select fts3_tokenizer('simple')",
        "explain delete from audit",
    ],
)
def test_whatever_is_not_reading_is_refused(night, sql):
    before = night.db.connection.execute("select count(*), total(length(body)) from audit").fetchone()[:]

    with pytest.raises(UsageError, match=r"only reads|no such function|not authorized"):
        ask(night, sql)

    assert night.db.connection.execute("select count(*), total(length(body)) from audit").fetchone()[:] == before


def test_a_question_without_an_end_is_stopped(night):
    endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"

    with pytest.raises(UsageError, match=r"stopped after 0\.2 seconds"):
        ask(night, endless, seconds=0.2)


@pytest.mark.parametrize(
    "sql", ["select zeroblob(1000000000)", "select hex(randomblob(900000000))", f"select '{'x' * 200_000}'"]
)
def test_nothing_can_be_made_too_large_to_hold(night, sql):
    with pytest.raises(UsageError, match=r"larger than a query may hold|too big"):
        ask(night, sql)


@pytest.mark.parametrize(
    ("sql", "says", "column"),
    [
        ("select verdct from decisions", "Did you mean 'verdict'?", 8),
        ("select * from decision", "Did you mean 'decisions'?", 15),
        ("select * fro decisions", 'near "fro"', 10),
        ("select 1,\n  from from decisions", 'near "from"', 3),
        ("select 'from' as a, from decisions", 'near "from"', 21),
        ("select words from decisions where", "incomplete input", 34),
        ("select 'a", "unrecognized token", 8),
        ("select nonesuch(1)", "no such function", 8),
    ],
)
def test_a_mistake_is_shown_with_its_place(night, sql, says, column):
    with pytest.raises(UsageError) as refused:
        ask(night, sql)

    lines = str(refused.value).split("\n")
    assert says in str(refused.value)
    assert next(line for line in lines if line.strip() == "^").index("^") - 4 == column - 1, str(refused.value)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select 1; select 2", "one statement at a time"),
        ("", "no statement"),
        ("-- only a comment", "no statement"),
        ("select :day", "--param"),
    ],
)
def test_other_mistakes_say_what_to_do(night, sql, says):
    with pytest.raises(UsageError, match=says):
        ask(night, sql)


@pytest.mark.parametrize("name", list(saved.every(Path("/nowhere"))))
def test_every_saved_question_runs_and_says_what_it_answers(night, name):
    kept = saved.named(night.db.path.parent, name)
    given = {p: "2026-11-22T03:12" for p, what in kept.parameters.items() if what.startswith(saved.NEEDED)}

    columns, _ = ask(night, kept.sql, saved.bound(kept, given))

    assert len(kept.answers) > 20
    assert all(kept.parameters.values())
    assert len(set(columns)) == len(columns)


def answers(night, name, **given):
    kept = saved.named(night.db.path.parent, name)
    columns, rows = ask(night, kept.sql, saved.bound(kept, given))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_saved_questions_find_what_happened_that_night(night):
    assert [row["code"] for row in answers(night, "refused", since="2026-11-22")] == ["unsure"]
    assert answers(night, "refused", since="2026-11-23") == []
    assert [row["confirmed_by"] for row in answers(night, "confirmed")] == ["uid:1001 pid:9"]
    assert [row["request_id"] for row in answers(night, "in-doubt")] == ["r3"]
    assert [row["what"] for row in answers(night, "stops")] == ["released", "stopped"]
    assert {row["tool"] for row in answers(night, "near-threshold")} == {"unlock_door", "add_note", "set_timer"}
    assert answers(night, "near-threshold", within="0.001") == []
    assert [row["bundle"] for row in answers(night, "bundles")] == ["pointer-small/0.1.0"]
    assert len(answers(night, "timeline", day="2026-11-22")) == 13
    assert {row["rule"] for row in answers(night, "why", at="2026-11-22T03:16")} == {"risk", "confidence"}
    assert [row["kind"] for row in answers(night, "request", id="r1")] == ["parked", "decided", "settled"]


def test_own_questions_lie_in_the_home_and_go_before_ours(tmp_path):
    (tmp_path / "mine.sql").write_text("-- Mine.\n-- :x  a thing\nselect :x")
    (tmp_path / "stops.sql").write_text("-- Other stops.\nselect 1")

    known = saved.every(tmp_path)

    assert (known["mine"].answers, known["mine"].parameters, known["mine"].own) == ("Mine.", {"x": "a thing"}, True)
    assert known["stops"].answers == "Other stops."


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("Bad Name.sql", b"select 1", "name it with small letters"),
        ("bad.sql", b"\xff\xfe", "not UTF-8"),
        ("bad.sql", b"x" * 70_000, "larger than"),
    ],
)
def test_an_own_question_that_cannot_be_read_is_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UsageError, match=says):
        saved.every(tmp_path)


def test_a_wrong_name_or_parameter_is_told_with_the_right_ones(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'refused'"):
        saved.named(tmp_path, "refusd")
    with pytest.raises(UsageError, match="it has: since"):
        saved.bound(saved.named(tmp_path, "refused"), {"day": "x"})
    with pytest.raises(UsageError, match="why needs --param at="):
        saved.bound(saved.named(tmp_path, "why"), {})


def test_a_cell_that_a_spreadsheet_would_run_is_marked_and_numbers_stay_numbers():
    target = io.StringIO()
    cells = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain", -1, 2.5, None, b"\x01\xff", 'quo"te, comma\r\nline']

    querying.write_csv([f"c{n}" for n in range(len(cells))], [cells], target)

    (row,) = list(csv.reader(io.StringIO(target.getvalue(), newline="")))[1:]
    assert row == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\t=1",
        "plain",
        "-1",
        "2.5",
        "",
        "01ff",
        'quo"te, comma\r\nline',
    ]
