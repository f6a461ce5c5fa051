"""Whatever the law, whoever asks, whatever happens: no tool acts outside its state, and nothing goes past the gate.

Random laws over the real path (inbox, worker, turn, laws, ledger, registry) with random calls, events, approvals,
sensors, clocks, stops, locks, newer versions, failing transactions and power cuts at every boundary; `law_oracle` looks
at every act at its moment, and at ledger and runs whenever the device rests.
"""

import importlib.util
import json
import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.agent import turn
from appliance.contracts.request import Answer, Approve, Ask, Confirmed, Event, Maintenance, OriginKind, Undo
from appliance.errors import StorageError
from appliance.policy.workflow.run import RunState
from appliance.replay.again import Replayer
from appliance.replay.differences import compare
from appliance.replay.models import Models
from appliance.replay.recorded import Ledger
from appliance.storage import inbox, runs
from appliance.storage.database import open_reader

pytestmark = pytest.mark.timeout(1200)  # one test is a whole search; on a machine with others to serve it takes minutes


def _rig(name):
    path = Path(__file__).parents[1] / "rigs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


random_laws, governed, law_oracle = (_rig(name) for name in ("random_laws", "governed", "law_oracle"))

PEOPLE = tuple(one for one in random_laws.PEOPLE if one.role not in {"controller", "timer"})
BOUNDARIES = ("taken", "read", "decided", "performed", "stepped", "settled", "parked", "refused", "told", "before-act",
              "after-act", "any")  # fmt: skip
WORDS = (
    "stop pump and open valve",
    "start pump 5 and stop pump",
    "read gauge and start pump 3 and open valve",
    "open valve",
    "start pump 7",
    "start pump",
)

who_asks = st.one_of(
    st.sampled_from(PEOPLE).map(lambda one: {"person": one.person, "role": one.role}),
    st.just({}),
    st.just({"kind": OriginKind.CONTROLLER, "peer": "far"}),
    st.just({"kind": OriginKind.TIMER, "peer": "schedule:1"}),
)
operators = st.one_of(st.sampled_from(PEOPLE).map(lambda one: {"person": one.person, "role": one.role}), st.just({}))


class NoWayRound(RuleBasedStateMachine):
    """One device under one random law."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.oracle = law_oracle.Oracle()
        self.life = self.oracle.life = governed.Life(Path(self.folder.name), self.oracle.on_perform)
        self.version, self.asked = 1, []
        self.life.boot()
        self.life.enrol(PEOPLE)
        turn.SETTLE_RETRY_S = 0.0

    def teardown(self):
        self.life.db.close()
        self.decides_again()
        self.folder.cleanup()
        event(f"acts: {min(self.oracle.allowed_n, 3)}")
        event(f"acts of laws: {min(self.oracle.acts_n, 3)}")
        event(f"acts that people approved: {min(self.oracle.approved_n, 3)}")

    @initialize(law=st.one_of(st.just(random_laws.BUSY), random_laws.laws()))
    def come_into_force(self, law):
        self.law = law
        self.life.load(json.dumps(law))
        self.work()

    def decides_again(self):
        """Every decision about a call is decided again the same way, from nothing but the ledger."""
        with closing(open_reader(self.life.path)) as reader:
            ledger = Ledger(reader)
            replayer = Replayer(ledger, Models((), runtime="auto", threads_n=1))
            for recorded in map(ledger.decision, ledger.decisions()):
                if recorded.facts.asked_as == "ask":
                    continue  # no network is here that would read the words again
                compared = compare(recorded, replayer.again(recorded))
                assert compared.differences == (), (recorded.facts, compared)
                event("replayed")

    def work(self):
        """Let the worker rest; where the power goes meanwhile, come back and go on."""
        for _ in range(5):
            before = self.places()
            try:
                self.life.work()
                return
            except governed.PowerCut:
                event("the power went")
                self.life.power_cut()
                self.same_places(before)
        raise AssertionError("the worker runs in circles")

    def places(self):
        return {row.run_id: row.state for row in runs.live(self.life.db)}

    def same_places(self, before):
        """After a restart every run is where its last record says: `ledger` has the proof, this that none is lost."""
        assert before.keys() <= {row.run_id for row in runs.live(self.life.db)} | self.ended()

    def ended(self):
        return {row["run_id"] for row in self.life.db.rows("select run_id from runs where ended_at is not null")}

    def submit(self, body, origin, **more):
        request_id = self.life.submit(body, **origin, **more)
        self.asked.append(request_id)
        return request_id

    @rule(origin=who_asks, tool=st.sampled_from(tuple(random_laws.SPECS)), minutes=st.integers(1, 9),
          yes=st.booleans(), ends=st.sampled_from(["done", "done", "done", "failed", "indeterminate"]),
          times_n=st.integers(1, 4))  # fmt: skip
    def call(self, origin, tool, minutes, yes, ends, times_n):
        self.life.ends = ends
        arguments = {"minutes": minutes} if tool == "start_pump" else {}
        for _ in range(times_n):
            self.asked.append(self.life.call(tool, arguments, **origin, yes=yes))
        self.work()

    @rule(origin=operators, text=st.sampled_from(WORDS), confidence=st.sampled_from([0.95, 0.95, 0.6, 0.2]),
          yes=st.booleans(), during=st.sampled_from(["", "", "time", "sensor", "stop", "fault"]))  # fmt: skip
    def words(self, origin, text, confidence, yes, during):
        self.life.decoder.confidence = confidence
        happens = {
            "time": lambda: self.time_passes(30.0),
            "sensor": lambda: self.life.sensors.set("level", 1),
            "stop": self.life.stop,
            "fault": lambda: self.life.fail_storage(200),
        }
        self.life.during = happens.get(during)
        self.submit(Ask(text=text), origin, yes=yes)
        self.work()
        self.life.during = None

    @rule(origin=who_asks)
    def undo(self, origin):
        self.submit(Undo(), origin)
        self.work()

    @rule(origin=who_asks, said=st.sampled_from(["e0", "e0", "e1", "e1", "alarm", "nonsense"]))
    def say(self, origin, said):
        self.submit(Event(event=said), origin)
        self.work()

    @rule(origin=who_asks, which=st.integers(0, 3), yes=st.sampled_from([True, True, True, False]))
    def answer_what_waits(self, origin, which, yes):
        waiting = [one.request.request_id for one in inbox.waiting(self.life.db)]
        pending = [
            run.pending.approval_id
            for row in runs.live(self.life.db)
            if (run := RunState.model_validate_json(row.body)).pending
        ]
        known = [*pending, *waiting, *self.asked[-1:], "nothing"]
        of = known[which % len(known)]
        parked = inbox.parked(self.life.db, of)
        waits_for = "approve" if parked is None else parked.waits_for["waits_for"]
        if waits_for == "answer":
            self.submit(Answer(of=of, text="4"), origin)
        elif waits_for == "confirm":
            at_device = origin.get("kind") is None and origin.get("role") != "viewer"
            if yes and at_device:
                self.oracle.said_yes(of)
            self.submit(Confirmed(of=of, yes=yes), origin)
        else:
            person = next((one for one in PEOPLE if one.person == origin.get("person")), None)
            if yes and person is not None:
                self.oracle.approved(of, person)
            self.submit(Approve(of=of, yes=yes), origin)
        self.work()

    @rule(origin=who_asks, arrow=st.booleans(), words=st.lists(
          st.tuples(st.sampled_from(PEOPLE), st.sampled_from([0.0, 0.0, 20.0])), min_size=1, max_size=3))  # fmt: skip
    def ask_people(self, origin, arrow, words):
        """Something that wants approvals, and at once the words of some people."""
        asked = self.submit(Event(event="e1"), origin) if arrow else self.life.call("open_valve", **origin)
        self.work()
        live = [RunState.model_validate_json(row.body) for row in runs.live(self.life.db)]
        of = next((run.pending.approval_id for run in live if run.pending), "nothing") if arrow else asked
        for person, after_s in words:
            self.time_passes(after_s)
            self.oracle.approved(of, person)
            self.submit(Approve(of=of), {"person": person.person, "role": person.role})
            self.work()

    @rule(wall=st.sampled_from([0.0, 0.0, 0.0, 86400.0 * 365, -86400.0 * 365]),
          s=st.sampled_from([0.5, 5.0, 11.0, 25.0, 65.0, 130.0, 3700.0]))  # fmt: skip
    def time_goes_on(self, s, wall):
        self.time_passes(s)
        self.life.clock.skew_s += wall
        self.work()

    def time_passes(self, s):
        self.life.clock.true_s += s

    @rule()
    def trust_changes(self):
        self.life.clock.trusted = not self.life.clock.trusted
        self.work()

    @rule(value=st.sampled_from([0, 3, 5, 7, 11, "high", None]))
    def level_changes(self, value):
        self.life.sensors.set("level", value)
        self.work()

    @rule(value=st.sampled_from([True, False, None, 1]))
    def wet_changes(self, value):
        self.life.sensors.set("wet", value)
        self.work()

    @rule(looks_between=st.booleans(), released=st.booleans())
    def stop(self, looks_between, released):
        safe = self.law["safe"]
        self.life.stop()
        if looks_between:
            self.work()
        if released:
            self.life.release()
        self.work()
        for row in runs.live(self.life.db):
            if row.version == self.version:
                moved = [m for m in self.moves(row.run_id) if m["event"]["kind"] == "emergency"]
                assert moved[-1]["after"].split("/")[0] == safe

    def moves(self, run_id):
        return [
            facts
            for one in self.life.db.rows("select body from audit where kind = 'run'")
            if (facts := json.loads(one["body"])["facts"])["run_id"] == run_id
        ]

    @rule()
    def release(self):
        self.life.release()
        self.work()

    @rule(origin=who_asks, on=st.booleans())
    def lock(self, origin, on):
        request_id = self.submit(Maintenance(on=on, why="new belt"), origin)
        self.work()
        self.oracle.maintenance = bool(self.life.maintenance.text())
        outcome = inbox.outcome(self.life.db, request_id)
        if outcome["status"] == "done" and outcome["code"] == "maintenance":
            assert self.oracle.maintenance == on

    @rule(law=random_laws.laws(), same=st.booleans(), faulty=st.sampled_from([0, 0, 40, 400]))
    def newer_version(self, law, same, faulty):
        law = {**(self.law if same else law), "version": self.version + 1}
        if faulty:
            self.life.fail_storage(faulty)
        try:
            self.life.load(json.dumps(law))
        except StorageError:
            event("a load failed")
            return
        finally:
            self.life.db.connection.set_progress_handler(None, 0)
        self.version, self.law = self.version + 1, law
        self.work()

    @rule(after_n=st.integers(1, 3000))
    def storage_will_fail(self, after_n):
        self.life.fail_storage(after_n)

    @rule(boundary=st.sampled_from(BOUNDARIES), n=st.integers(0, 2))
    def power_will_go(self, boundary, n):
        self.life.cut_at = (boundary, n)

    @rule(off_s=st.sampled_from([1.0, 60.0, 86400.0]), trusted=st.booleans())
    def power_goes(self, off_s, trusted):
        before = self.places()
        self.life.power_cut(off_s, trusted=trusted)
        self.same_places(before)
        self.work()

    @invariant()
    def all_is_lawful(self):
        if hasattr(self, "law"):
            self.life.db.connection.set_progress_handler(None, 0)
            self.work()
            self.oracle.at_rest()


NoWayRound.TestCase.settings = settings(
    max_examples=int(os.environ.get("LAWS_EXAMPLES", "20")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestNoWayRound = NoWayRound.TestCase
