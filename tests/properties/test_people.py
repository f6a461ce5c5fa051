"""However wrong PINs, waiting, restarts and clocks interleave, guesses stay few, and no admin is lost."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.agent.guesses import FIRST_WAIT_S, FORGOTTEN_AFTER_S, FREE_N, wait_after_s
from appliance.agent.people import Asking, Identified, People
from appliance.contracts.audit import Moment
from appliance.storage import audit, database
from appliance.trust import pin

NAMES = ("ana", "bo", "cy")
ROLES = ("viewer", "operator", "approver", "admin")
PINS = ("482913", "boat-82", "x82-rtq")


class Clock:
    """Every clock, set by hand; the wall clock may jump, the others not."""

    def __init__(self):
        self.at, self.monotonic = datetime(2026, 11, 23, tzinfo=UTC), 50.0

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.monotonic

    def is_trusted(self):
        return False

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.monotonic, boot=1, clock="untrusted")


class GuessesStayFew(RuleBasedStateMachine):
    """Guess, wait, restart the daemon or the machine, set the clock: in any order, on a real file."""

    @initialize()
    def boot(self):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.db = database.open_database(Path(self.folder.name) / "a.db").db
        self.start()
        owner = Asking(1000, "uid:1000 pid:1")
        self.people.enrol("ana", "admin", PINS[0], owner)
        # What the laws of this test know: wrong PINs that were looked at, and the seconds that count since then.
        self.wrong_n, self.passed_s = 0, 0.0

    def teardown(self):
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    def start(self):
        self.looked_n = 0
        self.people = People(
            self.db,
            self.clock,
            owner_uid=1000,
            new_salt=lambda: b"s" * 16,
            cost=pin.Cost(1, 1, 1),
            matches=self.matches,
        )

    def matches(self, given, kept):
        self.looked_n += 1
        return pin.matches(given, kept)

    @rule(wrong_n=st.integers(0, FREE_N + 2), is_right=st.booleans())
    def guesses(self, wrong_n, is_right):
        for _ in range(wrong_n):
            self.guess(is_right=False)
        if is_right:
            self.guess(is_right=True)

    def guess(self, *, is_right):
        before = self.looked_n
        said = self.people.identify("ana", PINS[0] if is_right else "wrong-1", "p")

        may_look = self.passed_s >= wait_after_s(self.wrong_n)
        assert (self.looked_n > before) == may_look
        assert isinstance(said, Identified) == (may_look and is_right)
        if not may_look:
            return
        if is_right:
            self.wrong_n = 0
        else:
            self.wrong_n = 1 if self.passed_s >= FORGOTTEN_AFTER_S else self.wrong_n + 1
            self.passed_s = 0.0

    @rule(seconds=st.sampled_from([1.0, FIRST_WAIT_S / 2, FIRST_WAIT_S, 900.0, FORGOTTEN_AFTER_S]))
    def wait(self, seconds):
        self.clock.monotonic += seconds
        self.clock.at += timedelta(seconds=seconds)
        self.passed_s += seconds

    @rule(days=st.integers(-4000, 4000))
    def set_the_clock(self, days):
        self.clock.at = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(days=days)

    @rule(is_machine=st.booleans())
    def restart(self, is_machine):
        if is_machine:
            self.clock.monotonic = 5.0
        self.start()
        self.passed_s = 0.0

    @invariant()
    def more_than_the_free_ones_are_never_looked_at_without_a_wait(self):
        if hasattr(self, "wrong_n"):
            told = [json.loads(row.body)["facts"] for row in audit.rows(self.db.connection) if row.kind == "people"]
            assert all(
                facts.get("wait_s", 0.0) == wait_after_s(facts["failures"]) for facts in told if "failures" in facts
            )
            assert sum(facts["what"] == "wrong" for facts in told) >= self.wrong_n


class AnAdminStays(RuleBasedStateMachine):
    """Enrol, change and remove, by anybody, in any order."""

    @initialize()
    def boot(self):
        self.folder = tempfile.TemporaryDirectory()
        self.db = database.open_database(Path(self.folder.name) / "a.db").db
        self.people = People(self.db, Clock(), owner_uid=1000, new_salt=lambda: b"s" * 16, cost=pin.Cost(1, 1, 1))

    def teardown(self):
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    def by(self, uid, name):
        known = next((p for p in self.people.every() if p.name == name), None)
        return Asking(uid, "p", Identified(known.name, known.role) if known else None)

    def state(self):
        return {p.name: (p.role, p.pin) for p in self.people.every()}

    @rule(
        uid=st.sampled_from([0, 1000, 1001]), who=st.sampled_from(NAMES), name=st.sampled_from(NAMES),
        role=st.sampled_from(["", *ROLES]), chosen=st.sampled_from(["", *PINS]),
    )  # fmt: skip
    def enrol(self, uid, who, name, role, chosen):
        self.act(uid, who, lambda by: self.people.enrol(name, role, chosen, by))

    @rule(uid=st.sampled_from([0, 1000, 1001]), who=st.sampled_from(NAMES), name=st.sampled_from(NAMES))
    def remove(self, uid, who, name):
        self.act(uid, who, lambda by: self.people.remove(name, by))

    @rule(who=st.sampled_from(NAMES), chosen=st.sampled_from(PINS))
    def change_pin(self, who, chosen):
        before = self.state()
        self.people.change_pin(chosen, self.by(1001, who))
        assert {name for name in before if before[name] != self.state()[name]} <= {who}

    def act(self, uid, who, change):
        before = self.state()
        by = self.by(uid, who)
        change(by)
        if self.state() != before:
            has_admin = any(role == "admin" for role, _ in before.values())
            assert before.get(who, ("", ""))[0] == "admin" if has_admin else uid in (0, 1000)

    @invariant()
    def whenever_somebody_is_enrolled_an_admin_is(self):
        if hasattr(self, "people"):
            roles = [role for role, _ in self.state().values()]
            assert not roles or "admin" in roles

    @invariant()
    def the_ledger_tells_who_is_enrolled(self):
        if not hasattr(self, "people"):
            return
        told = {}
        for row in audit.rows(self.db.connection):
            facts = json.loads(row.body)["facts"]
            if facts["what"] == "removed":
                del told[facts["name"]]
            else:
                told[facts["name"]] = facts["role"]
        assert told == {name: role for name, (role, _) in self.state().items()}


TestGuessesStayFew = GuessesStayFew.TestCase
TestGuessesStayFew.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestAnAdminStays = AnAdminStays.TestCase
TestAnAdminStays.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
