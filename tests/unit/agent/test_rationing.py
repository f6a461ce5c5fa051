"""Events give way when too many wait, the ledger says which, and the ledger itself never does."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.rationing import Limits, Ration
from appliance.contracts.audit import AuditRecord, Moment
from appliance.storage import audit, database, outbox

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NONE = Limits(10**9, 10**12, 0)


class Clock:
    def __init__(self):
        self.at, self.seconds, self.trusted = NOW, 0.0, True

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.seconds

    def is_trusted(self):
        return self.trusted

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.seconds, boot=1, clock="trusted" if self.trusted else "untrusted")


class Bench:
    def __init__(self, db):
        self.db = db
        self.clock = Clock()
        self.reported = 0

    def ration(self, events=NONE, ledger=NONE):
        return Ration(self.db, self.clock, events=events, ledger=ledger)

    def events(self, n, body=None, at=NOW):
        first, self.reported = self.reported + 1, self.reported + n
        text = json.dumps(body or {"n": first})
        rows = ((f"e{k}", at.isoformat(), text) for k in range(first, self.reported + 1))
        with self.db.atomic() as connection:
            connection.executemany("insert into outbox (envelope_id, kind, at, body) values (?, 'turn', ?, ?)", rows)

    def seqs(self):
        return [row.seq for row in outbox.waiting(self.db, "evt", limit=10**6)]

    def gaps(self):
        return [json.loads(row.body)["facts"] for row in audit.rows(self.db.connection) if row.kind == "gap"]


@pytest.fixture
def bench(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    yield Bench(db)
    db.close()


def test_within_its_limits_nothing_is_dropped(bench):
    bench.events(100)

    assert bench.ration(Limits(100, 10**6, 0)).look() is None
    assert len(bench.seqs()) == 100
    assert bench.gaps() == []


def test_the_oldest_rows_go_and_the_ledger_says_which(bench):
    bench.events(250)

    bench.ration(Limits(100, 10**6, 0)).look()

    kept = bench.seqs()
    assert 90 <= len(kept) <= 100
    assert kept == list(range(kept[0], 251))
    gaps = bench.gaps()
    assert gaps[0]["first"] == 1
    assert gaps[-1]["last"] == kept[0] - 1
    assert all(b["first"] == a["last"] + 1 for a, b in itertools.pairwise(gaps))
    assert sum(gap["events_n"] for gap in gaps) == 250 - len(kept)
    assert {gap["why"] for gap in gaps} == {"rows"}


def test_the_bytes_of_long_events_count(bench):
    bench.events(200, {"text": "x" * 1000})

    bench.ration(Limits(1000, 50_000, 0)).look()

    assert 0 < len(bench.seqs()) <= 50
    assert {gap["why"] for gap in bench.gaps()} == {"bytes"}


def test_the_newest_event_stays_so_that_no_number_is_used_twice(bench):
    bench.events(10, {"text": "x" * 10_000})

    bench.ration(Limits(100, 1, 0)).look()
    bench.events(1)

    assert bench.seqs()[-1] == 11


def test_what_is_acknowledged_makes_room(bench):
    ration = bench.ration(Limits(100, 10**6, 0))
    bench.events(100)
    ration.look()
    outbox.sent(bench.db, "evt", 90)
    outbox.acknowledge(bench.db, "evt", 90)
    bench.events(80)

    ration.look()

    assert bench.seqs() == list(range(91, 181))
    assert bench.gaps() == []


def test_a_gap_says_how_much_of_it_may_have_arrived(bench):
    bench.events(200)
    outbox.sent(bench.db, "evt", 30)

    bench.ration(Limits(100, 10**6, 0)).look()

    assert bench.gaps()[0]["handed_over"] == min(30, bench.gaps()[0]["last"])
    assert bench.gaps()[-1]["handed_over"] in (0, 30)


def test_old_events_go_while_the_clock_is_trusted(bench):
    bench.events(1000, at=NOW - timedelta(days=40))
    bench.events(1000, at=NOW - timedelta(days=1))

    bench.ration(Limits(10**6, 10**9, 30)).look()

    assert bench.seqs()[0] == 1001
    assert {gap["why"] for gap in bench.gaps()} == {"age"}


def test_age_counts_for_nothing_while_the_clock_is_not(bench):
    bench.clock.trusted = False
    bench.events(1000, at=NOW - timedelta(days=40))
    bench.events(10)

    bench.ration(Limits(10**6, 10**9, 30)).look()

    assert len(bench.seqs()) == 1010


def test_an_event_of_1970_is_not_old_but_undated(bench):
    bench.events(1000, at=datetime(1970, 1, 2, tzinfo=UTC))
    bench.events(10)

    bench.ration(Limits(10**6, 10**9, 30)).look()

    assert len(bench.seqs()) == 1010


@pytest.mark.parametrize(
    ("limits", "words"),
    [(Limits(100, 10**9, 0), "more than 100 records"), (Limits(10**6, 2**20, 0), "more than 1 MB")],
)
def test_a_ledger_that_nobody_takes_is_told_and_never_dropped(bench, limits, words):
    with bench.db.atomic():
        for _ in range(300):
            facts = {"event": "x" * 5000}
            audit.append(bench.db, AuditRecord(kind="note", moment=bench.clock.moment(), facts=facts))
    before = outbox.mark(bench.db, "audit").newest

    said = bench.ration(ledger=limits).look()

    assert words in said
    assert len(outbox.waiting(bench.db, "audit", limit=1000, bytes_n=10**9)) == before


def test_a_ledger_that_nobody_takes_for_a_month_is_told(bench):
    audit.append(bench.db, AuditRecord(kind="note", moment=bench.clock.moment(), facts={}))
    bench.clock.at = NOW + timedelta(days=31)

    assert "for 31 days" in bench.ration(ledger=Limits(10**6, 10**9, 30)).look()


def test_a_large_backlog_is_weighed_a_piece_at_a_time(bench):
    bench.events(23_000)
    ration = bench.ration(Limits(21_000, 10**9, 0))

    ration.look()
    first = ration._events.rows_n
    ration.look()

    assert first == 20_000
    assert 20_000 <= len(bench.seqs()) <= 21_000
    assert len(ration._events._pieces) <= 21
