"""Every step that a law can take: a small model checker over the same `step` and `judge` that the device runs.

Time goes from one due moment to the next, measurements from one group of values that guards tell apart to another,
people are one of each role and two approvers; from every run found so, everything that can be said, asked, approved,
measured and broken is tried, and `promises` are asked each time.

Covers: every state, arrow, approval, cap and deadline of the law, power cuts with and without a clock, emergencies.
Does not cover: more than MAX_RUNS_N different runs (it says so); what rules remember of earlier calls; two moments
between the same times of day of the law are taken for one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import explored_world, promises, satisfy, selecting, step
from appliance.policy.workflow.due import next_look_s
from appliance.policy.workflow.judge import judge, subject
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.promises import Moved
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Emergency,
    Ended,
    Event,
    Given,
    Looked,
    Reading,
    Resumed,
    RunState,
    Said,
    Stepped,
    Who,
)
from appliance.policy.workflow.words import Role

MAX_RUNS_N: Final = 20_000
_ASKERS: Final = ("otto", "anna", "far away")
"""Who asks for calls: an operator, an approver, the controller."""

_PEOPLE: Final[tuple[Who, ...]] = (
    Who(person="vera", role="viewer"),
    Who(person="otto", role="operator"),
    Who(person="anna", role="approver"),
    Who(person="ben", role="approver"),
    Who(person="dora", role="admin"),
    Who(person="far away", role="controller"),
)


class Explored(NamedTuple):
    """What was found."""

    runs_n: int
    steps_n: int
    calls_n: int
    complete: bool
    broken: tuple[str, ...]
    """Promises that were broken, each with the event that broke it."""

    states: frozenset[str]
    ways: frozenset[tuple[str, str]]
    stuck: tuple[str, ...]
    """States from which the safe state cannot be reached without an emergency."""


class _Node(NamedTuple):
    run: RunState
    now: Moment


class _Explorer:
    def __init__(self, loaded: Loaded, most_n: int) -> None:
        self.loaded = loaded
        self.law = loaded.compiled
        self.most_n = most_n
        self.worlds = tuple(explored_world.worlds(loaded))
        self.steps_n = 0
        self.calls_n = 0
        self.broken: dict[str, None] = {}
        self.states: set[str] = set()
        self.ways: set[tuple[str, str]] = set()
        self.edges: dict[str, set[str]] = {}
        self.seen: set[object] = set()
        self.waiting: deque[_Node] = deque()
        calls = [GroundedCall(tool=tool, arguments=arguments) for tool, arguments in explored_world.calls(loaded)]
        governed = [c for c in calls if selecting.any_matches(self.law.governs, self.law.tools[c.tool], c.arguments)]
        # What the law does not govern is answered the same everywhere; two of them show it.
        self.calls = (*governed, *[call for call in calls if call not in governed][:2])
        approves = any(grant.approve for state in self.law.states.values() for grant in state.allowed)
        self.givens_n = 2 if approves else 1
        self.key = explored_world.Key(self.law)

    def explore(self) -> Explored:
        now = Moment(at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC), monotonic_s=1000.0, boot=1, clock="trusted")
        begun = step.start(self.law, "run", now)
        self._note(begun, now)
        while self.waiting and len(self.seen) < self.most_n:
            node = self.waiting.popleft()
            for n, values in enumerate(self.worlds):
                self._from(node, values)
                if n == 0:
                    self._restarted(node, values)
        complete = not self.waiting
        safe = {name for name in self.states if name.split("/")[0] == self.loaded.law.safe}
        return Explored(
            len(self.seen), self.steps_n, self.calls_n, complete, tuple(self.broken), frozenset(self.states),
            frozenset(self.ways), tuple(sorted(self.states - _leading_to(self.edges, safe))) if complete else (),
        )  # fmt: skip

    def _from(self, node: _Node, values: satisfy.Values) -> None:
        run, now = node
        context = _context(values, now)
        for who in _PEOPLE:
            for name in self.law.events:
                self._apply(node, Said(event=name, who=who), context)
            if run.pending is not None:
                for yes in (True, False):
                    self._apply(node, Approved(of=run.pending.approval_id, who=who, yes=yes), context)
        for event in (Looked(), Emergency()):
            self._apply(node, event, context)
        due_s = next_look_s(self.law, run, now)
        if due_s is not None:
            later = _later(now, due_s + 0.001)
            self._apply(_Node(run, later), Looked(), _context(values, later))
        self._asked(node, context)
        self._owed(node, context)

    def _restarted(self, node: _Node, values: satisfy.Values) -> None:
        run, now = node
        for clock in ("trusted", "untrusted"):
            reborn = Moment.model_validate(
                {"at": now.at + timedelta(hours=1), "monotonic_s": 5.0, "boot": now.boot + 1, "clock": clock}
            )
            self._apply(_Node(run, reborn), Resumed(), _context(values, reborn))

    def _asked(self, node: _Node, context: Context) -> None:
        """Let everybody ask for every call; one that is allowed is made, and comes to each end."""
        run, now = node
        for call in self.calls:
            spec = self.law.tools[call.tool]
            made = False
            of = subject(run, call, "call")
            for who in (one for one in _PEOPLE if one.person in _ASKERS):
                for given in ((), tuple(Given(of=of, who=one, at=now) for one in _PEOPLE))[: self.givens_n]:
                    judged = judge(
                        self.law, run, call, spec, _origin(who), now, context,
                        call_id="call", person=who.person, given=given,
                    )  # fmt: skip
                    self.calls_n += 1
                    self._promise(
                        promises.lawful(
                            self.loaded, run, call, spec, who, now, context, judged, given=given, subject=of
                        ),
                        f"{who.role} asks for {call.tool}",
                    )
                    if judged.verdict is not None and judged.verdict.verdict == "allow" and not made:
                        made = True
                        self._made(node, "call", call, who, context)

    def _owed(self, node: _Node, context: Context) -> None:
        run, now = node
        for act in run.owed:
            call, spec = GroundedCall(tool=act.tool, arguments=act.arguments), self.law.tools.get(act.tool)
            who = Who(person=act.act_id, role="system")
            if spec is None:
                continue
            origin = Origin(kind=OriginKind.SYSTEM, peer=act.act_id)
            judged = judge(self.law, run, call, spec, origin, now, context, call_id=act.act_id)
            self.calls_n += 1
            self._promise(
                promises.lawful(
                    self.loaded, run, call, spec, who, now, context, judged, given=(), subject="", act=True
                ),
                f"the law's act {act.tool}",
            )
            if judged.verdict is None or judged.verdict.verdict == "allow":
                self._made(node, act.act_id, call, who, context)
            else:
                ended = Ended(call_id=act.act_id, tool=act.tool, arguments=act.arguments, result="denied")
                self._apply(node, ended, context)

    def _made(self, node: _Node, call_id: str, call: GroundedCall, who: Who, context: Context) -> None:
        began = Began(call_id=call_id, tool=call.tool, arguments=call.arguments, who=who)
        begun = self._apply(node, began, context, keep=False)
        told_apart = any(way.cause == "tool" for way in self.law.states[node.run.state].ways)
        for result in ("done", "failed", "indeterminate") if told_apart else ("done",):
            ended = Ended.model_validate(
                {"call_id": call_id, "tool": call.tool, "arguments": call.arguments, "result": result}
            )
            self._apply(_Node(begun.run, node.now), ended, context)

    def _apply(self, node: _Node, event: Event, context: Context, *, keep: bool = True) -> Stepped:
        stepped = step.apply(self.law, node.run, event, node.now, context)
        self.steps_n += 1
        self._promise(
            promises.kept(self.loaded, Moved(node.run, event, node.now, context, stepped)),
            f"{event.kind} in {node.run.state}",
        )
        if stepped.record.kind in {"moved", "returned"}:
            self.ways.add((node.run.state, stepped.record.way))
            if stepped.record.way != "safe":
                self.edges.setdefault(node.run.state, set()).add(stepped.run.state)
        if keep:
            self._note(stepped, node.now)
        return stepped

    def _note(self, stepped: Stepped, now: Moment) -> None:
        run = stepped.run
        self.states.add(run.state)
        key = self.key.of(run, now)
        if key not in self.seen and len(self.seen) < self.most_n:
            self.seen.add(key)
            self.waiting.append(_Node(run, now))

    def _promise(self, found: Iterator[str], during: str) -> None:
        for one in found:
            self.broken.setdefault(f"{during}: {one}")


def explore(loaded: Loaded, most_n: int = MAX_RUNS_N) -> Explored:
    """Try everything from every run that can be reached."""
    return _Explorer(loaded, most_n).explore()


def _context(values: satisfy.Values, now: Moment) -> Context:
    return Context(1, {name: Reading(value, now) for name, value in values.items()})


def _later(now: Moment, by_s: float) -> Moment:
    return now.model_copy(update={"at": now.at + timedelta(seconds=by_s), "monotonic_s": now.monotonic_s + by_s})


def _origin(who: Who) -> Origin:
    role: Role = who.role
    kind = OriginKind.CONTROLLER if role == "controller" else OriginKind.OPERATOR
    return Origin(kind=kind, peer=who.person, role=role)


def _leading_to(edges: dict[str, set[str]], goals: set[str]) -> set[str]:
    back: dict[str, set[str]] = {}
    for source, targets in edges.items():
        for target in targets:
            back.setdefault(target, set()).add(source)
    found, waiting = set(goals), list(goals)
    while waiting:
        for before in back.get(waiting.pop(), set()) - found:
            found.add(before)
            waiting.append(before)
    return found
