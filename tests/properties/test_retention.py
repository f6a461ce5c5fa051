"""Whatever is held, acknowledged, pruned, erased or cut short: the root stays, and what is left verifies."""

import importlib.util
import json
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.contracts.retaining import HoldRecords, RedactRecords, ReleaseHold
from appliance.contracts.selection import Selection
from appliance.storage import audit, holds, outbox, retention, tree
from appliance.storage.retention import Gone, Limits
from appliance.storage.tree import WIDTH

_SPEC = importlib.util.spec_from_file_location("kept_ledger", Path(__file__).parents[1] / "rigs" / "kept_ledger.py")
_RIG = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RIG)


class PowerCut(Exception):
    """The process dies here."""


class WhatIsLeftVerifies(RuleBasedStateMachine):
    """Fill, sign, acknowledge, hold, release, prune and erase in any order, with the power cut anywhere between."""

    @initialize(enrolled=st.booleans(), personal_days=st.sampled_from((0, 10)))
    def boot(self, enrolled, personal_days):
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = _RIG.KeptLedger(Path(self.folder.name), enrolled=enrolled, personal_days=personal_days)
        self.roots, self.held, self.unacked, self.bodies = {}, {}, 0, {}
        self.remember()

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    def remember(self):
        """Note the root of what there is: it must never change again."""
        size, root = audit.head(self.ledger.db.connection)
        self.roots[size] = root
        self.note = self.ledger.sign()

    @rule(records_n=st.integers(1, 3 * WIDTH))
    def fill(self, records_n):
        self.ledger.fill(records_n, words=f"words {self.ledger.n}")
        self.ledger.clock.passes(days=3)

    @rule()
    def decide(self):
        self.ledger.decide("good night")

    @rule()
    def sign(self):
        self.remember()

    @rule(upto=st.integers(0, 2000))
    def acknowledge(self, upto):
        newest = audit.size(self.ledger.db.connection)
        outbox.sent(self.ledger.db, "audit", newest)
        outbox.acknowledge(self.ledger.db, "audit", min(upto, newest))

    @rule(first=st.integers(1, 2000), length=st.integers(1, 600))
    def hold(self, first, length):
        said = self.ledger.retaining.handle(
            HoldRecords(records=Selection(after=first - 1, before=first + length), reason="inquiry"), "uid:1"
        )
        if said.ok:
            result = said.result
            self.held[result["hold_id"]] = self.what(result["first"], result["last"])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        hold_id = data.draw(st.sampled_from(sorted(self.held)))
        assert self.ledger.retaining.handle(ReleaseHold(hold_id=hold_id, reason="closed"), "uid:1").ok
        del self.held[hold_id]

    @rule(quota_bytes=st.sampled_from((1, 10**6, 10**9)), steps_n=st.integers(1, 4))
    def prune(self, quota_bytes, steps_n):
        limits = self.ledger.retaining.limits()._replace(quota_bytes=quota_bytes)
        for _ in range(steps_n):
            acked = limits.acked
            before = set(self.ledger.seqs)
            found = retention.step(self.ledger.db, limits, moment=self.ledger.clock.moment())
            if not isinstance(found, Gone):
                return
            gone = before - set(self.ledger.seqs)
            assert len(gone) == found.records_n == WIDTH
            assert acked is None or max(gone) <= acked

    @rule(erases=st.booleans())
    def lose_power_before_the_commit(self, erases):
        before = self.ledger.seqs, self.what(1, 10_000)
        try:
            with self.ledger.db.atomic():
                if erases:
                    self.ledger.retaining.handle(RedactRecords(older_than_days=0, reason="cut"), "uid:1")
                else:
                    by_quota = Limits(1, None, None, with_past=True)
                    retention.step(self.ledger.db, by_quota, moment=self.ledger.clock.moment())
                raise PowerCut
        except PowerCut:
            pass
        self.ledger.cut_power()
        assert (self.ledger.seqs, self.what(1, 10_000)) == before

    @rule()
    def erase_what_is_old(self):
        self.ledger.look_on(60)

    @rule()
    def power_cut(self):
        self.ledger.cut_power()
        assert self.ledger.complaint is None

    def what(self, first, last):
        """Return what lies in a run of records, words included."""
        rows = self.ledger.db.rows("select seq, body, personal from audit where seq between ? and ?", (first, last))
        return (first, last), [tuple(row) for row in rows]

    @invariant()
    def what_is_held_is_as_it_was(self):
        for (first, last), kept in self.held.values():
            assert self.what(first, last)[1] == kept

    @invariant()
    def every_root_is_what_it_was(self):
        pruned = retention.gone(self.ledger.db.connection)
        for size, root in self.roots.items():
            try:
                found = tree.root(self.ledger.db.connection, size).hex()
            except LookupError:
                # A size in the middle of a segment that is gone: nothing smaller than its root is left.
                assert pruned is not None
                assert any(first <= size // WIDTH <= last for first, last in pruned.segments)
                continue
            assert found == root

    @invariant()
    def what_is_left_is_anchored(self):
        note = self.ledger.sign()
        found = self.ledger.verdict(note)
        assert found.state == "anchored", found

    @invariant()
    def nothing_that_explains_the_rest_is_gone(self):
        assert self.ledger.seqs[0] == 1
        newest = self.ledger.db.row("select max(seq) as seq from audit")["seq"]
        assert newest == audit.size(self.ledger.db.connection)
        assert [h.hold_id for h in holds.active(self.ledger.db.connection)] == sorted(self.held)

    @invariant()
    def every_erased_value_is_named_by_a_record(self):
        if self.ledger.seqs and len(self.ledger.seqs) < 3000:
            named = set()
            for row in self.ledger.db.rows("select body from audit where kind = 'redacted'"):
                for runs in json.loads(row["body"])["facts"]["records"].values():
                    named |= {seq for first, last in runs for seq in range(first, last + 1)}
            erased = self.ledger.db.rows(
                "select seq from audit where personal is null and json_extract(body, '$.personal') <> '{}'"
            )
            assert {row["seq"] for row in erased} <= named


WhatIsLeftVerifies.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestWhatIsLeftVerifies = WhatIsLeftVerifies.TestCase
