"""What must hold of a life under laws, asked of the ledger, of the runs' rows and of what was performed.

Nothing here asks the gate. What a law wants is read from the law as its author wrote it (`promises`), who said what and
when is the rig's own memory, and time is the rig's true time.
"""

import json
from collections import Counter

from appliance.contracts import forms
from appliance.contracts.decision import Decided
from appliance.contracts.decision import Step as NextCall
from appliance.contracts.request import OriginKind
from appliance.contracts.toolspec import Risk
from appliance.contracts.verdict import Allow
from appliance.policy.rules import PolicySettings
from appliance.policy.workflow import promises, written_law
from appliance.policy.workflow.judge import Judged
from appliance.policy.workflow.people import outranks, who
from appliance.policy.workflow.run import Context, Given, RunState
from appliance.storage import audit, inbox, runs

STAYS = {"illegal", "denied", "held", "lapsed", "parked", "approved", "noted", "ended"}
"""Kinds of steps by which no state changes."""

FINAL = ("settled", "indeterminate")


class Oracle:
    """Watches one life."""

    def __init__(self):
        self.life = None
        self.maintenance = False
        self.performed = Counter()
        self.acts = Counter()
        self.log = []
        """(boot, true second, tool, arguments, run id, visit)"""

        self.calls = Counter()
        self.yes = set()
        """Requests that a person who may act has said yes to."""

        self.approvals = []
        """(of, who, moment, boot, true second, visit)"""

        self._upto, self._states, self._steps = 0, {}, Counter()
        self._ended, self._decided = set(), set()
        self._waits = {}
        self.allowed_n = self.approved_n = self.acts_n = 0

    # -- what happened, as the rig knows it ---------------------------------------------------------------------------

    def said_yes(self, of):
        """Take a yes into account; one that comes after its time, by the true time of one start, is none."""
        clock, since = self.life.clock, self._waits.get(of)
        if since is None or since[0] != clock.boot or clock.true_s - since[1] < PolicySettings().confirm_expires_s:
            self.yes.add(of)

    def approved(self, of, person):
        live = runs.live(self.life.db)
        visit = RunState.model_validate_json(live[0].body).visit if live else 0
        clock = self.life.clock
        self.approvals.append((of, person, clock.moment(), clock.boot, clock.true_s, visit))

    # -- at the moment of an act --------------------------------------------------------------------------------------

    def on_perform(self, call):
        life = self.life
        db, spec = life.db, life.registry.spec(call.tool)
        taken = inbox.taken(db)
        assert len(taken) == 1, f"{len(taken)} requests act at once"
        request = taken[0]
        decided, n = _intent(db, request.request_id)
        assert decided is not None, f"{call.tool} acts without a decision"
        assert decided.comes_to == "act"
        assert (decided.calls[n].tool, decided.calls[n].arguments) == (call.tool, call.arguments), "another call"
        key = (request.request_id, n)
        self.performed[key] += 1
        assert self.performed[key] == 1, f"{key} acts twice"
        if request.origin.kind is OriginKind.SYSTEM:
            self.acts[request.origin.peer] += 1
            assert self.acts[request.origin.peer] == 1, f"the act {request.origin.peer} acts twice"
        if spec.risk is not Risk.READ:
            assert not life.stopped, f"{call.tool} acts under the emergency stop"
            assert not self.maintenance, f"{call.tool} acts under maintenance"
            assert who(request.origin, request.origin.person).role != "viewer", "a viewer acts"
        carried = False
        for row in runs.live(db):
            carried |= self._by_law(life, request, decided, n, call, spec, RunState.model_validate_json(row.body))
        yes = request.request_id in self.yes or (request.assume_yes and request.origin.kind is OriginKind.OPERATOR)
        assert spec.risk is not Risk.HIGH or yes or carried, f"{call.tool} is risky and nobody said yes"
        self.allowed_n += 1

    def _by_law(self, life, request, decided, n, call, spec, run):
        loaded = life.loaded[run.digest]
        law = loaded.law
        if law.governs is not None and not any(written_law.means(one, spec, call) for one in law.governs):
            return False
        asker, now = who(request.origin, request.origin.person), life.clock.moment()
        context = Context(life.sensors.version, dict(life.sensors.now))
        is_act = request.origin.kind is OriginKind.SYSTEM
        owed = None
        if is_act:
            asked = next(one for one in decided.workflows if one.name == run.workflow)
            before = RunState.model_validate_json(json.dumps(asked.run))
            owed = next((act for act in before.owed if act.act_id == request.origin.peer), None)
            assert owed is not None, f"an act that {run.workflow} does not owe"
            assert (owed.tool, owed.arguments) == (call.tool, call.arguments), "another act than the law owes"
            self.acts_n += 1
        own = owed is None or owed.visit == run.visit
        before = run.model_copy(update={"calls_n": run.calls_n - own})
        if owed is not None:
            before = before.model_copy(update={"owed": (owed,)})
        given = tuple(
            Given(of="it", who=person, at=at)
            for of, person, at, boot, _, visit in self.approvals
            if of == request.request_id and visit == run.visit
        )
        self._time_held(law, run, now, life) if owed is None else None
        judged = Judged(Allow(), (), run.state)
        wrong = list(
            promises.lawful(
                loaded, before, call, spec, asker, now, context, judged, given=given, subject="it", act=is_act
            )
        )
        assert wrong == [], wrong
        visit = (run.run_id, run.visit)
        state = written_law.state(loaded, run.state)
        if owed is None and state.calls is not None:
            assert self.calls[visit] < state.calls.max, f"call {self.calls[visit] + 1} in one visit of {run.state}"
        self.calls[visit] += own
        grants = written_law.state(loaded, run.state if owed is None else owed.state).tools
        holding = next(
            g for g in grants if written_law.means(g, spec, call)
            and (g.when is None or written_law.truth(loaded, g.when, now, context) is True)
        )  # fmt: skip
        by_people = bool(given) and holding.approve is not None
        self.approved_n += by_people
        yes = request.request_id in self.yes or (request.assume_yes and request.origin.kind is OriginKind.OPERATOR)
        approved_act = owed is not None and bool(owed.approved)
        assert not holding.confirm or yes or by_people or approved_act, f"{call.tool} wants a yes, and nobody gave it"
        for name, rule in law.rules.items():
            self._rule(name, rule, call, spec, yes=yes or by_people or approved_act)
        self.log.append((life.clock.boot, life.clock.true_s, call, spec, run.run_id))
        return by_people or is_act

    def _rule(self, name, rule, call, spec, *, yes):
        clock = self.life.clock
        mine = any(written_law.means(one, spec, call) for one in rule.tools)
        same_start = [one for one in self.log if one[0] == clock.boot]
        if rule.limit is not None and mine:
            recent = [
                one for one in same_start
                if clock.true_s - one[1] < rule.limit.per
                and any(written_law.means(s, one[3], one[2]) for s in rule.tools)
            ]  # fmt: skip
            assert len(recent) < rule.limit.calls, f"rule {name}: {len(recent) + 1} calls"
        if rule.exclusive is not None:
            other = any(written_law.means(one, spec, call) for one in rule.exclusive.against)
            sides = [*(rule.exclusive.against if mine else ()), *(rule.tools if other else ())]
            for _, at_s, before, its, _ in same_start:
                near = clock.true_s - at_s < rule.exclusive.within and any(
                    written_law.means(s, its, before) for s in sides
                )
                assert not near or (mine and other and before.tool == call.tool), f"rule {name}: too near"
        if rule.confirm is not None and mine and spec.risk is not Risk.READ:
            below = rule.confirm.below
            assert yes or not (below is None or call.confidence < below), f"rule {name}: nobody said yes"

    def _time_held(self, law, run, now, life):
        """A deadline is over by the true time, whatever the wall clock shows; within one start nobody can be wrong."""
        for level in run.levels:
            deadline = written_law.state(life.loaded[run.digest], level.state).deadline
            if deadline is not None and level.entered.boot == now.boot:
                true_s = now.monotonic_s - level.entered.monotonic_s
                assert true_s < deadline.after, f"a call {true_s} s after {level.state} was entered"

    # -- between two acts ---------------------------------------------------------------------------------------------

    def at_rest(self):
        """Everything that was asked has come to its end or waits for a person; ledger and runs agree."""
        life = self.life
        assert life.broken == [], life.broken
        assert inbox.queued(life.db) == [], "left in the queue"
        assert inbox.taken(life.db) == [], "begun and not ended"
        assert life.lifecycle.state.value in {"idle", "asking", "confirming", "degraded", "locked"}, (
            life.lifecycle.state
        )
        parked = {one.request.request_id for one in inbox.waiting(life.db)}
        for name in parked:
            self._waits.setdefault(name, (life.clock.boot, life.clock.true_s))
        for row in runs.live(life.db):
            run = RunState.model_validate_json(row.body)
            assert (run.run_id, run.seq, run.state) == (row.run_id, row.seq, row.state)
            assert run.flying == (), f"{run.flying} never ended"
            for act in run.owed:
                assert f"law-{act.act_id.replace(':', '-')}" in parked, f"{act} is owed and not on its way"
        self.ledger()

    def ledger(self):
        """Every step of a run is in the ledger, in order; the rows are what the records come to."""
        db = self.life.db
        for row in db.rows("select seq, kind, request_id, body from audit where seq > ? order by seq", (self._upto,)):
            self._upto = row["seq"]
            facts = json.loads(row["body"])["facts"]
            if row["kind"] == "run":
                follow(facts, self._states)
                if facts["kind"] == "moved":
                    self._arrow(facts)
                self._steps[facts["run_id"]] += 1
            elif row["kind"] in FINAL:
                assert row["request_id"] not in self._ended, f"{row['request_id']} ended more than once"
                self._ended.add(row["request_id"])
            elif row["kind"] == "decided":
                assert row["request_id"] not in self._decided, f"{row['request_id']} was decided twice"
                self._decided.add(row["request_id"])
        assert self._decided <= self._ended, "decided, and no end"
        rows = {row.run_id: row for row in runs.live(db)}
        live = {name: state for name, (state, over) in self._states.items() if not over}
        assert live == {name: row.state for name, row in rows.items()}, (live, rows)
        for name, row in rows.items():
            assert row.seq + 1 >= self._steps[name], f"{name}: {self._steps[name]} records of {row.seq} steps"

    def _arrow(self, facts):
        """An arrow behind approvals was taken only with enough people, each of whom said so in time."""
        event = facts["event"]
        if event.get("kind") != "approved":
            return
        digest = next(d for d, one in self.life.loaded.items() if one.law.version == facts["version"])
        drawn = written_law.at(self.life.loaded[digest].law, facts["way"])
        need = getattr(drawn, "approve", None)
        if need is None:
            return  # something more urgent went first
        people = {
            person.person for of, person, *_ in self.approvals if of == event["of"] and outranks(person.role, need.role)
        }
        assert len(people) >= need.people, f"{people} approved {facts['way']}, and {need.people} are needed"


def follow(facts, states):
    """Take one step of a run from the ledger: by run id, where it is now and whether it is over."""
    name, kind = facts["run_id"], facts["kind"]
    if kind == "started":
        assert name not in states, f"{name} started twice"
        states[name] = (facts["after"], False)
        return
    assert name in states, f"{name} was never started"
    state, over = states[name]
    assert not over, f"{name} goes on after its end"
    assert facts["before"] == state, f"{name} was in {state}, step {facts['seq']} says {facts['before']}"
    if kind in STAYS:
        assert facts["after"] == state, f"{kind}, and the state changed"
    states[name] = (facts["after"], kind == "ended")


def _intent(db, request_id):
    """Return the decision of a request and the call that it is about to make, as committed."""
    decided, n = None, 0
    for row in audit.of_request(db, request_id):
        facts = forms.read(row.kind, json.loads(row.body)["facts"])
        if isinstance(facts, Decided):
            decided, n = facts, 0
        elif isinstance(facts, NextCall):
            n = facts.next_call
    return decided, n
