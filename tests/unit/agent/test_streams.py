"""A stream leaves in order, waits for its controller, and never believes more than was sent."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.streams import Drain
from appliance.contracts import receipts
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Ack
from appliance.storage import audit, database, outbox

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Bench:
    def __init__(self, db):
        self.db = db
        self.now_s = 0.0
        self.foreign = []
        self.again()

    def again(self):
        self.drain = Drain(
            self.db,
            "evt",
            device="lamp",
            epoch="e",
            batch_n=10,
            window_n=30,
            ack_timeout_s=30.0,
            monotonic_s=lambda: self.now_s,
            foreign=self.foreign.append,
        )

    def events(self, first, last, body=None):
        for n in range(first, last + 1):
            outbox.enqueue(self.db, envelope_id=f"e{n}", kind="turn", at=NOW, body=body or {"n": n})

    def send(self, limit_bytes=100_000):
        batch = self.drain.next_batch(limit_bytes)
        if batch is None:
            return None
        self.drain.mark_sent(batch)
        self.drain.handed_over(batch)
        return [item.seq for item in batch.items]

    def ack(self, upto, *, resume=False, of=""):
        self.drain.acknowledged(
            Ack(audience="lamp", issuer="0" * 16, stream="evt", epoch="e", upto=upto, resume=resume, of=of)
        )


@pytest.fixture
def bench(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    yield Bench(db)
    db.close()


def test_batches_leave_in_order_until_the_window_is_full(bench):
    bench.events(1, 50)

    assert [bench.send()[0] for _ in range(3)] == [1, 11, 21]
    assert bench.send() is None
    bench.ack(10)
    assert bench.send()[0] == 31


def test_each_batch_says_what_lies_before_it(bench):
    bench.events(1, 15)
    bench.send()

    batch = bench.drain.next_batch(100_000)

    assert (batch.after, batch.floor) == (10, 0)


def test_without_an_answer_it_is_all_sent_again_ever_more_seldom(bench):
    bench.events(1, 5)
    assert bench.send() == [1, 2, 3, 4, 5]

    resent = []
    for second in range(1000):
        bench.now_s = float(second)
        if bench.send():
            resent.append(second)

    assert len(resent) == 5
    pauses = [b - a for a, b in itertools.pairwise(resent)]
    assert pauses == sorted(pauses)


def test_a_mark_beyond_what_was_sent_is_not_believed(bench):
    bench.events(1, 20)
    bench.send()

    bench.ack(20)

    assert outbox.mark(bench.db, "evt").acked == 10
    assert [row.seq for row in outbox.waiting(bench.db, "evt", limit=99)] == list(range(11, 21))


@pytest.mark.parametrize("name", ["e7", "evt-7"], ids=["as it is", "as a site that shares counts only calls it"])
def test_an_acknowledgement_that_names_the_record_at_its_mark_is_believed(bench, name):
    bench.events(1, 20)
    bench.send()

    bench.ack(7, of=receipts.of_event(7, name, "turn", NOW))

    assert outbox.mark(bench.db, "evt").acked == 7
    assert bench.foreign == []


@pytest.mark.parametrize(
    "of",
    [
        receipts.of_event(7, "another", "turn", NOW),
        receipts.of_event(7, "e7", "turn", NOW + timedelta(microseconds=1)),
        receipts.of_event(8, "e8", "turn", NOW),
    ],
    ids=["another event", "another moment", "another number"],
)
def test_an_acknowledgement_of_another_history_frees_nothing_and_is_told_once(bench, of):
    bench.events(1, 20)
    bench.send()
    bench.send()

    bench.ack(7, of=of)
    bench.ack(7, of=of, resume=True)

    assert outbox.mark(bench.db, "evt").acked == 0
    assert len(outbox.waiting(bench.db, "evt", limit=99)) == 20
    assert [facts["upto"] for facts in bench.foreign] == [7]
    assert bench.send() is None  # nor is anything sent again because of it


def test_an_acknowledgement_ahead_of_a_device_that_was_put_back_is_not_taken_up_to_where_it_is(bench):
    bench.events(1, 20)
    bench.send()

    bench.ack(15, of=receipts.of_event(15, "e15", "turn", NOW))

    assert outbox.mark(bench.db, "evt").acked == 0


def test_an_event_that_was_dropped_before_it_was_acknowledged_is_not_missed(bench):
    bench.events(1, 20)
    bench.send()
    moment = Moment(at=NOW, monotonic_s=0.0, boot=1, clock="trusted")
    outbox.drop_oldest(bench.db, limit=8, why="rows", moment=moment)

    bench.ack(7, of="ab" * 32)

    assert outbox.mark(bench.db, "evt").acked == 7
    assert [row.seq for row in outbox.waiting(bench.db, "evt", limit=99)] == list(range(9, 21))


def test_a_record_of_the_ledger_is_named_by_its_leaf(bench):
    for n in range(5):
        facts = {"n": n}
        audit.append(
            bench.db,
            AuditRecord(kind="note", moment=Moment(at=NOW, monotonic_s=0.0, boot=1, clock="trusted"), facts=facts),
        )
    outbox.sent(bench.db, "audit", 5)
    leaf = bytes(bench.db.row("select leaf from audit where seq = 3")["leaf"])

    assert outbox.acknowledge(bench.db, "audit", 3, "cd" * 32) is None
    assert outbox.acknowledge(bench.db, "audit", 3, receipts.of_record(leaf)) == 3


def test_a_controller_that_missed_something_gets_it_again(bench):
    bench.events(1, 20)
    bench.send()
    bench.send()

    bench.ack(5, resume=True)

    assert bench.send()[0] == 6


def test_after_a_restart_it_goes_on_after_the_mark(bench):
    bench.events(1, 20)
    bench.send()
    bench.ack(7)
    bench.again()

    assert bench.send()[0] == 8


def test_what_the_broker_did_not_take_is_sent_again(bench):
    bench.events(1, 5)
    bench.send()

    bench.drain.rewind()

    assert bench.send() == [1, 2, 3, 4, 5]


def test_a_batch_is_never_longer_than_the_limit(bench):
    bench.events(1, 10, {"text": "x" * 900})

    batch = bench.drain.next_batch(4000)

    assert 1 <= len(batch.items) < 10
    assert len(canonical(batch.model_dump(mode="json"))) < 4000


def test_an_event_too_long_for_any_message_keeps_its_place(bench):
    bench.events(1, 1, {"text": "x" * 9000})
    bench.events(2, 2)

    batch = bench.drain.next_batch(4000)
    bench.drain.handed_over(batch)

    assert [item.seq for item in batch.items] == [1]
    assert batch.items[0].body["oversized_bytes"] > 9000
    assert bench.send(4000) == [2]
