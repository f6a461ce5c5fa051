"""What leaves the device, looked at as bytes at a real broker: a whole appliance, enrolled and talked to."""

import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import AskBody, CallBody
from appliance.contracts.packing import unpacked
from appliance.fleet import enrolling
from appliance.storage import outbox

WORDS = ("Zebedee", "Quuxley", "Florimel", "Murgatroyd", "Ixworth", "Yarborough", "Thaumaturge")


@pytest.fixture
def talked_to(fleet, bench):
    """Return everything that a device said to the broker, at one level of sharing, after people talked to it."""

    def talk(share):
        bench.configure(f'[privacy]\nshare = "{share}"\n[ledger]\ncheckpoint_every_s = 0.5\n[uplink]\npoll_s = 0.02\n')
        enrolling.enrol_here(
            fleet.home, bench.home.root, device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
        )
        tap = fleet.tap("edge/v1/site/lamp/#")
        bench.start()
        fleet.collect()
        client = bench.client
        client.say("leave a note: call Zebedee about the divorce", yes=True)
        client.say("what on earth did Quuxley mean by that", request_id="ask-1")
        asked = client.say("set a timer called Florimel")
        if asked.status == "asked":
            client.answer(asked.request_id, "twenty minutes for Murgatroyd")
        parked = client.call("add_note", {"text": "Ixworth"})
        if parked.status == "waiting":
            client.confirm(parked.request_id, edits={"text": "Ixworth again"})
        client.call("no_such_tool", {"of": "Yarborough"})
        client.stop("Thaumaturge in the hall")
        client.release()
        newest = bench.records[-1].seq

        def is_told():
            tap.pump(0.01)
            return outbox.mark(bench.db, "audit").acked >= newest and not outbox.waiting(bench.db, "evt", limit=1)

        fleet.until(is_told, wait_s=20)
        tap.pump(0.5)
        assert len(tap.heard) > 5
        said = "\n".join(_opened(message) for message in tap.heard)
        return said, [json.loads(row["body"]) for row in fleet.records("audit")]

    return talk


def _opened(message):
    """Return a message as text, its signed payload unpacked, and what was packed in that."""
    text = unpacked(message.payload, message.content_type).decode(errors="replace")
    return text.replace('\\\\"', '"').replace('\\"', '"')


def test_by_default_no_word_that_anybody_said_leaves_the_device(talked_to, bench, fleet):
    said, bodies = talked_to("decisions")

    here = bench.home.database.read_bytes() + bench.home.database.with_name("appliance.db-wal").read_bytes()
    assert all(word.encode() in here for word in WORDS)  # the device itself has heard all of them
    assert [word for word in WORDS if word in said] == []
    assert "add_note" in said
    assert all(set(body) == {"body"} for body in bodies)
    assert fleet.home.db.rows("select * from faults") == []


def test_counts_say_that_something_was_decided_and_nothing_else(talked_to, fleet):
    said, bodies = talked_to("counts")

    assert [word for word in WORDS if word in said] == []
    assert "add_note" not in said
    assert "ask-1" not in said
    whole = [json.loads(body["body"])["kind"] for body in bodies if "body" in body]
    assert set(whole) == {"epoch"}
    assert len(bodies) - len(whole) > 10
    reports = [json.loads(row["body"]) for row in fleet.records("evt")]
    assert {name for report in reports for name in report} == {"status", "latency_ms", "bundle_sha256", "software"}
    # The controller grows the same tree from the leaves, and holds the device's checkpoints against it.
    fleet.until(lambda: fleet.home.db.rows("select * from checkpoints where checked = 1"))
    assert fleet.home.db.rows("select * from faults") == []


def test_words_travel_where_the_owner_says_so_with_the_salts_that_prove_them(talked_to, fleet):
    said, bodies = talked_to("words")

    assert [word for word in WORDS if word not in said] == []
    personal = [body["personal"] for body in bodies if "personal" in body]
    assert all(set(entry) == {"salt", "value"} for values in personal for entry in values.values())
    assert fleet.home.db.rows("select * from faults") == []


@pytest.fixture
def commanded(fleet, bench):
    """Return what the device answered to commands of a controller, as bytes at the broker, at one level of sharing."""

    def command(share):
        bench.configure(f'[privacy]\nshare = "{share}"\n[uplink]\npoll_s = 0.02\n')
        enrolling.enrol_here(
            fleet.home, bench.home.root, device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
        )
        bench.start()
        bench.client.call("add_note", {"text": "Florimel"})
        tap = fleet.tap(f"edge/v1/site/lamp/rsp/{fleet.home.key.key_id}")
        sent = [
            fleet.send("lamp", AskBody(text="set a timer called Zebedee for twenty minutes")),
            fleet.send("lamp", CallBody(tool="list_notes", arguments={})),
            fleet.send("lamp", CallBody(tool="add_note", arguments={"text": "Quuxley"})),
            fleet.send("lamp", CallBody(tool="set_timer", arguments={"minutes": 0.25, "name": "Murgatroyd"})),
            fleet.send("lamp", CallBody(tool="read_temperature", arguments={})),
        ]
        fleet.until(lambda: all(one.answers and one.answers[-1].code != "received" for one in sent), wait_s=20)
        tap.pump(0.5)
        said = "\n".join(_opened(message) for message in tap.heard)
        return said, [one.answers[-1] for one in sent]

    return command


def test_an_answer_says_by_default_what_was_done_and_no_word_of_it(commanded):
    said, answers = commanded("decisions")

    assert [word for word in WORDS if word in said] == []
    assert [(answer.code, answer.text) for answer in answers[1:3]] == [
        ("done", "list_notes: done"),
        ("done", "add_note: done"),
    ]
    assert answers[0].result["calls"][0]["arguments"] == {"minutes": 20}
    # A reading is nobody's words, and what was asked for.
    # A whole number of degrees travels without a point, so it may arrive as an int.
    assert isinstance(answers[4].result["calls"][0]["output"]["bedroom temperature"], int | float)


def test_an_answer_at_counts_is_its_status_and_its_code(commanded):
    said, answers = commanded("counts")

    assert [word for word in (*WORDS, "set_timer", "add_note", "list_notes", "minutes") if word in said] == []
    assert [(answer.life, answer.status, answer.code) for answer in answers[1:3]] == [("executed", 200, "done")] * 2
    assert all(answer.result == {} for answer in answers)


def test_an_answer_travels_whole_where_the_owner_says_so(commanded):
    said, answers = commanded("words")

    assert [word for word in ("Zebedee", "Florimel", "Quuxley", "Murgatroyd") if word not in said] == []
    assert "Florimel" in answers[1].text
    assert answers[1].result["calls"][0]["output"]
