"""What the console makes of outcomes, statuses and rows, whole and broken."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts.audit import AuditRecord, Moment
from appliance.errors import StorageError, WireError
from appliance.storage import audit, database
from appliance.tui import glyphs
from appliance.tui.examples import examples
from appliance.tui.glance import Glance, Link, Mark
from appliance.tui.queries import History
from appliance.tui.understanding import understand
from appliance.tui.widgets.glance_bar import ago, link_line

AT = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)


def record(kind, request_id=None, **kept):
    return AuditRecord(
        kind=kind,
        moment=Moment(at=AT, monotonic_s=1.0, boot=1, clock="trusted"),
        request_id=request_id,
        facts=kept.get("facts", {}),
        personal=kept.get("personal", {}),
    )


@pytest.fixture
def ledger(tmp_path):
    """A database to write, and a history that reads it."""
    db = database.open_database(tmp_path / "appliance.db").db
    history = History(tmp_path / "appliance.db")
    yield db, history
    history.close()
    db.close()


def test_words_shared_by_two_arguments_carry_both_letters():
    text = "turn the kitchen lights on and dim them to 30 percent"
    calls = [
        {"name": "turn_light_on", "arguments": {"room": "kitchen"}, "spans": {"room": [[9, 16]]}},
        {"name": "set", "arguments": {"room": "kitchen", "level_pct": 30}, "spans": {"room": [[9, 16]]}},
    ]

    found = understand(text, calls)

    assert [(p.text, p.letters, p.closing) for p in found.pieces if p.letters] == [("kitchen", "ab", "ab")]
    assert "".join(p.text for p in found.pieces) == text
    assert [(a.letter, a.name, a.value) for a in found.calls[1].arguments] == [
        ("b", "room", "kitchen"),
        ("", "level", "30 %"),
    ]


@given(
    text=st.text(max_size=40),
    spans=st.lists(st.lists(st.integers(-5, 60) | st.none() | st.text(max_size=2), max_size=3), max_size=6),
    value=st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
)
def test_any_spans_and_values_leave_the_words_whole(text, spans, value):
    calls = [{"name": "t", "arguments": {"x": value}, "spans": {"x": spans}}, {"arguments": 3, "spans": None}]

    assert "".join(piece.text for piece in understand(text, calls).pieces) == text


def test_a_status_of_a_newer_daemon_is_shown_and_a_broken_one_is_refused():
    assert Glance.parse({"state": "idle", "moon": "full", "link": {"enrolled": True, "colour": 1}}).link.enrolled

    with pytest.raises(WireError, match="boot"):
        Glance.parse({"boot": "many"})


def test_the_history_reads_only_what_is_new_and_notices_it(ledger):
    db, history = ledger
    audit.append(db, record("decided", "r1", personal={"text": "lights on"}))
    assert [(e.text, e.status) for e in history.entries()] == [("lights on", "acting")]
    history.has_changed()
    assert not history.has_changed()

    audit.append(db, record("settled", "r1", facts={"status": "done"}, personal={"reason": "They are on."}))
    audit.append(db, record("emergency", facts={"latched": True}))

    assert history.has_changed()
    newest = history.entries()
    assert [e.text for e in newest] == ["EMERGENCY STOP", "lights on"]
    assert (newest[1].status, newest[1].reason) == ("done", "They are on.")


def test_erased_words_leave_the_rest_of_the_story(ledger):
    db, history = ledger
    facts = {
        "status": "done",
        "calls": [{"gen_ai.tool.name": "set_light_level", "gen_ai.tool.call.arguments": {"room": "hall"}}],
    }
    audit.append(db, record("settled", "r1", facts=facts, personal={"text": "hall lights on"}))
    db.execute("update audit set personal = null")

    assert history.entries()[0].text == "set light level hall"
    assert history.story("r1")[0].personal is None


def test_an_answer_belongs_to_the_story_of_its_question(ledger):
    db, history = ledger
    audit.append(db, record("parked", "r1", facts={"status": "asked"}, personal={"text": "dim the lights"}))
    audit.append(db, record("note", "r2", facts={"of": "r1"}, personal={"text": "30 percent"}))
    audit.append(db, record("settled", "r1", facts={"status": "done"}))

    assert [e.key for e in history.entries()] == ["r1"]
    assert [row.kind for row in history.story("r1")] == ["parked", "note", "settled"]


def test_a_ledger_that_cannot_be_read_is_said_not_crashed_on(tmp_path):
    path = tmp_path / "appliance.db"
    path.write_bytes(b"not a database at all, but long enough to look at" * 40)
    history = History(path)

    assert not history.has_changed()
    with pytest.raises(StorageError, match=r"appliance\.db"):
        history.entries()
    history.close()


def test_the_console_cannot_write(ledger):
    _, history = ledger
    history.entries()

    with pytest.raises(sqlite3.OperationalError):
        history._open().execute("delete from audit")


@pytest.mark.parametrize(("age", "said"), [(5, "5 s"), (300, "5 min"), (7200, "2 h"), (3 * 86400, "3 d"), (-60, "0 s")])
def test_ages_are_said_in_one_unit(age, said):
    assert ago(AT, AT - timedelta(seconds=age)) == said


def test_the_link_says_what_has_not_left_the_device():
    link = Link(enrolled=True, audit=Mark(acked=1, newest=4), evt=Mark(newest=2), oldest_unsent_at=AT)

    assert link_line(link, AT + timedelta(hours=2)).plain == "fleet offline, 5 unsent (2 h)"
    assert link_line(Link(), AT).plain == "standalone"


def test_examples_are_made_of_what_is_here():
    devices = json.loads('{"lights": {"lamp": {"room": "barn", "level_pct": 0}}, "doors": {"stable door": "locked"}}')

    assert examples(devices)[:2] == ("dim the barn lights to 30 percent", "unlock the stable door")
    assert len(examples({})) == 3


@pytest.mark.parametrize(
    ("environ", "plain", "colour"),
    [
        ({"TERM": "linux"}, True, True),
        ({"TERM": "vt100"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False, False),
    ],
)
def test_the_terminal_gets_what_it_can_draw(environ, plain, colour):
    assert (glyphs.is_plain(environ, "UTF-8"), glyphs.has_colour(environ)) == (plain, colour)
    assert glyphs.is_plain(environ, "ISO-8859-1")
