"""Whatever the history, nothing accepted is lost and nothing is counted twice."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.request import Ask, Origin, OriginKind, Request
from appliance.ledger.verify import verify
from appliance.storage import audit, database, inbox, outbox

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=1.0, boot=1, clock="trusted")


class NothingIsLost(RuleBasedStateMachine):
    """Enqueue, send, acknowledge, submit, settle and power cuts in any order."""

    @initialize()
    def boot(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "a.db"
        self.db = database.open_database(self.path).db
        self.events, self.n, self.sent_upto = [], 0, 0
        self.asked, self.asked_n, self.audited = [], 0, 0

    def teardown(self):
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    @rule()
    def enqueue_twice(self):
        self.n += 1
        for _ in range(2):  # a retry is not a second event
            outbox.enqueue(self.db, envelope_id=f"e{self.n}", kind="turn", at=NOW, body={"n": self.n})
        self.events.append(self.n)

    @rule(k=st.integers(1, 5))
    def send(self, k):
        rows = outbox.waiting(self.db, "evt", limit=k)
        if rows:
            outbox.sent(self.db, "evt", rows[-1].seq)
            self.sent_upto = max(self.sent_upto, rows[-1].seq)

    @rule(upto=st.integers(-5, 50))
    def acknowledge(self, upto):
        before = {row.body["n"]: row.seq for row in outbox.waiting(self.db, "evt", limit=1000)}
        acked = outbox.acknowledge(self.db, "evt", upto)
        assert acked <= self.sent_upto
        self.events = [n for n in self.events if before[n] > acked]

    @rule(twice=st.booleans())
    def submit(self, twice):
        request = Request(
            request_id=f"r{self.asked_n}",
            received_at=NOW,
            origin=Origin(kind=OriginKind.OPERATOR, peer="test"),
            body=Ask(text="hello"),
        )
        assert inbox.submit(self.db, request) is True
        if twice:
            assert inbox.submit(self.db, request) is False
        self.asked.append(request.request_id)
        self.asked_n += 1

    @rule()
    def settle_oldest(self):
        request = inbox.next_queued(self.db)
        if request is not None:
            with self.db.atomic():
                audit.append(self.db, AuditRecord(kind="settled", moment=MOMENT, request_id=request.request_id))
                inbox.done(self.db, request.request_id, {"status": "done"})
            self.asked.remove(request.request_id)
            self.audited += 1

    @rule()
    def fail_midway(self):
        try:
            with self.db.atomic():
                audit.append(self.db, AuditRecord(kind="note", moment=MOMENT))
                outbox.enqueue(self.db, envelope_id="never", kind="turn", at=NOW, body={"n": -1})
                raise KeyError
        except KeyError:
            pass

    @rule()
    def power_cut(self):
        # Without a close: what a process that was killed leaves behind.
        self.db = database.open_database(self.path).db

    @invariant()
    def what_is_unacknowledged_is_there_in_order(self):
        assert [row.body["n"] for row in outbox.waiting(self.db, "evt", limit=1000)] == self.events

    @invariant()
    def what_was_asked_is_there_in_order(self):
        assert [r.request_id for r in inbox.queued(self.db)] == self.asked

    @invariant()
    def the_ledger_is_whole(self):
        found = verify(self.path)
        assert (found.state, found.rows_n) == ("consistent-unanchored", self.audited)


NothingIsLost.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestNothingIsLost = NothingIsLost.TestCase
