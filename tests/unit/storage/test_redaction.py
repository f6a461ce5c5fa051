"""Words are erased everywhere on the device, and the ledger still verifies against a checkpoint kept elsewhere."""

import json
from datetime import timedelta

import pytest

from appliance.contracts.retaining import HoldRecords, RedactRecords, ReleaseHold
from appliance.contracts.selection import Selection
from appliance.contracts.toolcall import ToolCall
from appliance.storage import inbox, notes, past, redaction, replies, undo
from appliance.storage.database import open_reader
from appliance.storage.past import Cited

SECRET = "tell Zebedee Quux about the divorce"


def redact(ledger, **where):
    return ledger.retaining.handle(RedactRecords(reason="asked for", **where), "uid:1000 pid:7")


def personal(ledger, seq):
    text = ledger.db.row("select personal from audit where seq = ?", (seq,))["personal"]
    return None if text is None else sorted(json.loads(text))


def test_the_words_of_a_request_are_nowhere_in_the_raw_files_afterwards(kept_ledger):
    ledger = kept_ledger()
    for n in range(300):
        ledger.decide(f"good night {n}")
    request_id = ledger.decide(SECRET)
    undo.push(ledger.db, request_id, ToolCall(tool="set", literals={"text": SECRET}))
    notes.add(ledger.db, SECRET, ledger.clock.now())
    replies.open_for(
        ledger.db, request_id, topic="t", correlation="00", digest="d", not_before=None,
        response={"text": SECRET, "result": {"calls": [SECRET]}}, final=True,
    )  # fmt: skip
    for n in range(300):
        ledger.decide(f"good morning {n}")
    assert ledger.raw().count(b"Zebedee") > 5

    said = redact(ledger, request_id=request_id)

    assert said.ok
    assert said.result["values_n"] == 2
    assert said.result["log_is_cut"] is True
    assert b"Zebedee" not in ledger.raw()
    assert b"good night 299" in ledger.raw()


@pytest.mark.parametrize("seed", range(3))
def test_words_of_many_lengths_leave_nothing_behind_in_free_pages(kept_ledger, seed):
    ledger = kept_ledger(personal_days=1)
    for n in range(400):
        ledger.decide(f"Zebedee {n} " + "z" * ((n * (seed + 7) * 131) % 3000))
        if n % 50 == 0:
            ledger.clock.passes(hours=12)
            ledger.look_on(20)
    ledger.sign()
    ledger.clock.passes(days=60)
    ledger.look_on(200)

    assert b"Zebedee" not in ledger.raw()
    assert ledger.verdict(ledger.sign()).state == "anchored"


def test_a_redacted_ledger_is_still_anchored_by_the_checkpoint_from_before(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET)
    note = ledger.sign()

    redact(ledger, request_id=request_id)

    assert ledger.verdict(note).state == "anchored"
    body = ledger.db.row("select body from audit where request_id = ?", (request_id,))["body"]
    assert len(json.loads(body)["personal"]["text"]) == 64


def test_the_redaction_is_in_the_ledger_with_who_and_which_and_why_and_no_word(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET)
    redact(ledger, request_id=request_id)

    row = ledger.db.row("select body, personal from audit where kind = 'redacted'")
    facts = json.loads(row["body"])["facts"]
    (epoch,) = facts["records"]
    assert facts["records"][epoch] == [[2, 3]]
    assert (facts["by"], facts["why"], facts["fields"], facts["values_n"]) == (
        "uid:1000 pid:7", "person", ["reason", "text"], 2,
    )  # fmt: skip
    assert json.loads(row["personal"])["reason"]["value"] == "asked for"


def test_one_field_alone_can_be_erased(kept_ledger):
    ledger = kept_ledger()
    ledger.decide(SECRET)

    redact(ledger, seq=3, fields=("text",))
    assert personal(ledger, 3) == ["reason"]
    assert redact(ledger, seq=3, fields=("reason",)).result["values_n"] == 1
    assert personal(ledger, 3) is None
    assert "nothing left" in redact(ledger, seq=3).message


def test_the_answer_to_its_question_goes_with_a_request(kept_ledger):
    ledger = kept_ledger()
    asked = ledger.decide("leave a note")
    with ledger.db.atomic():
        ledger.db.execute("update inbox set status = 'parked' where request_id = ?", (asked,))
    ledger.write("note", "r-answer", {"of": asked}, text=SECRET)
    ledger.write("settled", asked, reason="done")
    ledger.db.execute("update inbox set status = 'done' where request_id = ?", (asked,))

    redact(ledger, request_id=asked)
    assert b"Zebedee" not in ledger.raw()


def test_a_request_under_way_is_not_redacted(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET, settled=False)

    assert "still under way" in redact(ledger, request_id=request_id).message
    assert "still under way" in redact(ledger, seq=2).message
    assert personal(ledger, 2) == ["text"]


def test_held_words_stay_until_the_hold_is_released(kept_ledger):
    ledger = kept_ledger(personal_days=10)
    request_id = ledger.decide(SECRET)
    other = ledger.decide("good night")
    held = ledger.retaining.handle(HoldRecords(records=Selection(request_id=request_id), reason="inquiry 7"), "uid:1")

    said = redact(ledger, request_id=request_id)
    assert (said.ok, "inquiry 7" in said.message) == (False, True)
    ledger.clock.passes(days=30)
    ledger.look_on(200)
    assert personal(ledger, 2) == ["text"]
    assert redaction.of_request(ledger.db, other)[0].personal == {}

    ledger.retaining.handle(ReleaseHold(hold_id=held.result["hold_id"], reason="closed"), "uid:1")
    ledger.look_on(200)
    assert b"Zebedee" not in ledger.raw()


def test_words_grow_old_by_themselves_and_newer_ones_stay(kept_ledger):
    ledger = kept_ledger(personal_days=30)
    for n in range(200):
        ledger.decide(f"old {n}")
    ledger.clock.passes(days=20)
    ledger.decide("newer words")
    ledger.clock.passes(days=11)
    ledger.look_on(300)

    assert personal(ledger, 3) is None
    assert personal(ledger, 402) == ["text"]
    kinds = [
        json.loads(r["body"])["facts"]["why"] for r in ledger.db.rows("select body from audit where kind='redacted'")
    ]
    assert set(kinds) == {"age"}
    assert ledger.verdict(ledger.sign()).state == "anchored"


def test_no_age_erases_anything_while_nobody_vouches_for_the_clock(kept_ledger):
    ledger = kept_ledger(personal_days=1)
    ledger.decide(SECRET)
    ledger.clock.passes(days=400)
    ledger.clock.trusted = False
    ledger.look_on(300)

    assert personal(ledger, 2) == ["text"]
    assert "clock" in redact(ledger, older_than_days=1).message


def test_a_person_can_erase_everything_that_is_older_than_so_many_days(kept_ledger):
    ledger = kept_ledger()
    for n in range(200):
        ledger.decide(f"Zebedee {n}")
    ledger.clock.passes(days=3)
    ledger.decide("kept")

    said = redact(ledger, older_than_days=2)

    assert (said.result["records_n"], said.result["values_n"]) == (400, 400)
    assert b"Zebedee" not in ledger.raw()
    assert b"kept" in ledger.raw()


def test_words_of_an_earlier_epoch_are_erased_too(kept_ledger):
    ledger = kept_ledger(personal_days=5)
    request_id = ledger.decide(SECRET)
    ledger.decide("Quentin Zorro")
    past.end_epoch(ledger.db, ledger.clock.now(), Cited("restored", None))
    ledger.cut_power()

    redact(ledger, request_id=request_id)
    assert b"Zebedee" not in ledger.raw()
    ledger.clock.passes(days=10)
    ledger.write("note")
    ledger.look_on(300)
    assert b"Quentin" not in ledger.raw()


def test_the_answer_to_a_repeated_id_loses_its_words_after_a_day_and_still_acts_once(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET)
    ledger.clock.passes(hours=25)
    later = ledger.decide("good night")
    ledger.look_on(100)

    said = inbox.outcome(ledger.db, request_id)
    assert (said["status"], said["reason"]) == ("done", redaction.ERASED)
    assert inbox.find(ledger.db, request_id).body.text == ""
    assert inbox.find(ledger.db, later).body.text == "good night"
    assert personal(ledger, 2) == ["text"]  # the ledger keeps its own for longer


def test_an_act_in_doubt_keeps_its_words_until_a_person_has_looked(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET)
    inbox.done(ledger.db, request_id, {"request_id": request_id, "status": "indeterminate", "text": SECRET})
    ledger.clock.passes(days=2)
    ledger.look_on(100)
    assert inbox.find(ledger.db, request_id).body.text == SECRET

    inbox.done(ledger.db, request_id, {"request_id": request_id, "status": "failed", "text": SECRET})
    ledger.look_on(200)
    assert inbox.find(ledger.db, request_id).body.text == ""


def test_a_reader_in_the_middle_of_something_is_said_and_the_log_is_cut_when_it_has_gone(kept_ledger):
    ledger = kept_ledger()
    request_id = ledger.decide(SECRET)
    reader = open_reader(ledger.path)
    reader.execute("begin")
    reader.execute("select * from audit").fetchone()

    said = redact(ledger, request_id=request_id)
    assert (said.result["log_is_cut"], "reads the database" in said.message) == (False, True)

    reader.close()
    ledger.look_on(200)
    assert b"Zebedee" not in ledger.raw()


def test_files_that_were_set_aside_are_named(kept_ledger, tmp_path):
    ledger = kept_ledger()
    (tmp_path / "appliance.db.corrupt-1").write_text("Zebedee")

    said = redact(ledger, request_id=ledger.decide(SECRET))
    assert "appliance.db.corrupt-1" in said.message


def test_why_something_was_held_or_erased_does_not_grow_old(kept_ledger):
    ledger = kept_ledger(personal_days=1)
    redact(ledger, request_id=ledger.decide(SECRET))
    ledger.clock.passes(days=30)
    ledger.decide("now")
    ledger.look_on(300)

    row = ledger.db.row("select personal from audit where kind = 'redacted' order by seq limit 1")
    assert json.loads(row["personal"])["reason"]["value"] == "asked for"


@pytest.mark.parametrize(
    "where", [{}, {"seq": 2, "request_id": "r1"}, {"seq": 999}, {"request_id": "nobody"}]
)  # fmt: skip
def test_what_cannot_be_found_is_said(kept_ledger, where):
    ledger = kept_ledger()
    ledger.decide("hello")

    assert redact(ledger, **where).ok is False


def test_a_hold_of_what_is_not_there_is_refused(kept_ledger):
    ledger = kept_ledger()
    ledger.decide("hello")

    for records in (
        Selection(request_id="nobody"),
        Selection(after=900),
        Selection(since=ledger.clock.now() + timedelta(days=1)),
        Selection(after=1, request_id="r1"),
        Selection(epoch="other", after=0),
    ):
        assert ledger.retaining.handle(HoldRecords(records=records, reason="x"), "uid:1").ok is False


def test_records_can_be_held_by_time(kept_ledger):
    ledger = kept_ledger()
    ledger.decide("one")
    ledger.clock.passes(hours=1)
    ledger.decide("two")
    ledger.clock.passes(hours=1)
    ledger.decide("three")
    at = ledger.clock.now() - timedelta(hours=1)

    said = ledger.retaining.handle(
        HoldRecords(records=Selection(since=at - timedelta(minutes=1), until=at + timedelta(minutes=1)), reason="x"),
        "u",
    )
    assert (said.result["first"], said.result["last"]) == (4, 5)
