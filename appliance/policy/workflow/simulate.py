"""What would happen: a workflow under a virtual clock, with no actuator; the same gate and steps as the device.

Covers: everything that `step` and `judge` decide, the emergency stop and the maintenance lock.
Does not cover: what a tool would do; the script says what each call comes to. The device's other rules, which need the
owner's settings and a model.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import ToolSpec
from appliance.contracts.verdict import Verdict
from appliance.contracts.workflow import Step
from appliance.policy import rules
from appliance.policy.rules import PolicySettings, Situation
from appliance.policy.workflow import step
from appliance.policy.workflow.compiled import Compiled, Way
from appliance.policy.workflow.due import next_look_s
from appliance.policy.workflow.judge import Judged, judge, subject
from appliance.policy.workflow.people import outranks, who
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Ended,
    Event,
    Given,
    Looked,
    Perform,
    Reading,
    Resumed,
    RunState,
    Stepped,
)
from appliance.policy.workflow.script import Measured, Result
from appliance.policy.workflow.words import Role

MAX_LOOKS_N: Final = 10_000
"""In one wait; a law that moves so often has no rest."""

_SETTLE_N: Final = 32


class Act(NamedTuple):
    """A call that somebody, or the law, asked for."""

    by: str
    tool: str
    arguments: JsonObject
    judged: Judged
    result: str
    """What it came to; empty when it was not made."""


class Waiting(NamedTuple):
    """A call that waits for approvals."""

    call: GroundedCall
    call_id: str
    by: str
    subject: str
    given: tuple[Given, ...]


class Simulation:
    """One run of one workflow, and the world that it believes in."""

    def __init__(self, law: Compiled, people: dict[str, Role], start: datetime) -> None:
        self.law = law
        self.people = people
        self._at = start.replace(tzinfo=start.tzinfo or law.zone).astimezone(UTC)
        self._up_s = 1000.0
        self._boot = 1
        self._trusted = True
        self._values: dict[str, Reading] = {}
        self._silent: set[str] = set()
        self._results: dict[str, Result] = {}
        self.stopped = False
        """The emergency stop is latched."""

        self.maintenance = ""
        """Who has locked the device."""

        self._version = 0
        self._calls_n = 0
        self.steps: list[Step] = []
        self.acts: list[Act] = []
        self.told: list[str] = []
        self.waiting: Waiting | None = None
        self.visited: set[str] = set()
        self.taken: set[tuple[str, str]] = set()
        begun = step.start(law, "run-1", self.now())
        self.run: RunState = begun.run
        self._keep(begun)
        self._perform(begun)

    def now(self) -> Moment:
        """Return the virtual time on every clock."""
        clock = "trusted" if self._trusted else "untrusted"
        return Moment.model_validate({"at": self._at, "monotonic_s": self._up_s, "boot": self._boot, "clock": clock})

    def context(self) -> Context:
        """Return what the sensors say now; one that is silent says what it said last."""
        now = self.now()
        for name, reading in self._values.items():
            if name not in self._silent:
                self._values[name] = Reading(reading.value, now)
        return Context(self._version, dict(self._values), self.stopped)

    def measure(self, values: dict[str, Measured]) -> None:
        """Let sensors show *values* from now on."""
        self._version += 1
        for name, value in values.items():
            self._silent.discard(name)
            self._values[name] = Reading(value, self.now())
        self.settle()

    def silence(self, names: tuple[str, ...]) -> None:
        """Let sensors fall silent; what they measured last goes stale."""
        self._silent |= set(names)

    def trust(self, trusted: bool) -> None:  # noqa: FBT001 -- the clock is trusted or not
        """Let the wall clock be known, or not."""
        self._trusted = trusted
        self.settle()

    def lock(self, by: str) -> None:
        """Lock the device for maintenance."""
        self.maintenance = self.maintenance or by

    def unlock(self, by: str) -> None:
        """Release the maintenance lock; whoever set it or an admin does."""
        if by == self.maintenance or outranks(who(self.origin(by), by).role, "admin"):
            self.maintenance = ""

    def come_to(self, results: dict[str, Result]) -> None:
        """Say what calls of a tool come to from now on."""
        self._results |= results

    def tell(self, event: Event) -> Step:
        """Let *event* happen, and then what follows from it."""
        said = self._step(event)
        self.settle()
        return said

    def wait(self, length_s: float) -> None:
        """Let time pass, looking whenever something is due."""
        left = length_s
        for _ in range(MAX_LOOKS_N):
            due = [s for s in (next_look_s(self.law, self.run, self.now()), *self._going_stale_s()) if s is not None]
            # A millisecond at least: what is left of a duration after floating-point arithmetic is no time.
            hop = min(left, max(0.001, min((d for d in due if d > 0), default=left)))
            self._pass(hop)
            left -= hop
            self.settle()
            if left <= 0:
                return
        raise RuntimeError(f"{self.law.name} moves more than {MAX_LOOKS_N} times in one wait")

    def restart(self, off_s: float, *, trusted: bool) -> None:
        """Cut the power and start again."""
        self._at += timedelta(seconds=off_s)
        self._boot += 1
        self._up_s = 20.0
        self._trusted = trusted
        for call in self.run.flying:
            self._step(Ended(call_id=call.call_id, tool=call.tool, arguments=call.arguments, result="indeterminate"))
        self._step(Resumed())
        self.settle()

    def ask(
        self, tool: str, arguments: JsonObject, by: str, *, confirmed: bool, confidence: float, result: Result = "done"
    ) -> Judged:
        """Let somebody ask for a call."""
        self.settle()
        self._calls_n += 1
        call = GroundedCall(tool=tool, arguments=arguments, confidence=confidence)
        return self._called(call, f"call-{self._calls_n}", by, (), confirmed=confirmed, result=result)

    def approve(self, by: str, *, yes: bool) -> tuple[Step | None, Judged | None]:
        """Let a person approve what waits: an arrow, or the call that was asked for last."""
        approver = who(self.origin(by), by)
        pending = self.run.pending
        if pending is not None or self.waiting is None:
            of = "" if pending is None else pending.approval_id
            return self.tell(Approved(of=of, who=approver, yes=yes)), None
        waits = self.waiting
        if not yes:
            self.waiting = None
            return None, None
        given = (*waits.given, Given(of=waits.subject, who=approver, at=self.now()))
        return None, self._called(waits.call, waits.call_id, waits.by, given, confirmed=False, result="done")

    def settle(self) -> None:
        """Look until nothing moves any more."""
        for _ in range(_SETTLE_N):
            if self._step(Looked()).kind not in {"moved", "returned"}:
                return

    def ways(self) -> tuple[Way, ...]:
        """Return the arrows out of the present state."""
        state = self.law.states[self.run.state]
        return (*state.urgent, *state.ways)

    def _called(
        self, call: GroundedCall, call_id: str, by: str, given: tuple[Given, ...], *, confirmed: bool, result: Result
    ) -> Judged:
        spec = self.law.tools.get(call.tool)
        if spec is None:
            raise KeyError(call.tool)
        origin = self.origin(by)
        now, context = self.now(), self.context()
        judged = judge(
            self.law, self.run, call, spec, origin, now, context,
            call_id=call_id, person=by, confirmed=confirmed, given=given,
        )  # fmt: skip
        self.waiting = None
        stopped = self._stopped(call, spec, origin)
        if stopped is not None:
            judged = judged._replace(verdict=stopped)
        verdict = judged.verdict
        came_to = self._results.get(call.tool, result)
        if verdict is not None and verdict.verdict == "approve":
            self.waiting = Waiting(call, call_id, by, subject(self.run, call, call_id), given)
        if verdict is not None and verdict.verdict != "allow":
            self.acts.append(Act(by, call.tool, call.arguments, judged, ""))
            if origin.kind is OriginKind.SYSTEM:
                self._step(Ended(call_id=origin.peer, tool=call.tool, arguments=call.arguments, result="denied"))
            return judged
        acted = call_id if origin.kind is not OriginKind.SYSTEM else origin.peer
        self.acts.append(Act(by, call.tool, call.arguments, judged, came_to))
        self._step(Began(call_id=acted, tool=call.tool, arguments=call.arguments, who=who(origin, by)))
        self._step(Ended(call_id=acted, tool=call.tool, arguments=call.arguments, result=came_to))
        self.settle()
        return judged

    def _stopped(self, call: GroundedCall, spec: ToolSpec, origin: Origin) -> Verdict | None:
        """Ask the device's own rules that hold whatever a law says."""
        now = Situation(
            locked=self.stopped,
            maintenance=self.maintenance,
            recordable=True,
            confirmed=True,
            by_model=False,
            doubtful=False,
            act_at=0.0,
            refuse_below=0.0,
            tools=(),
        )
        asked = (rule(call, spec, origin, now, PolicySettings()) for rule in (rules.emergency_stop, rules.maintenance))
        return next((looked.verdict for looked in asked if looked.verdict is not None), None)

    def origin(self, by: str) -> Origin:
        """Return who *by* is: a person of the script, the controller, a timer, or an act of the law."""
        role = self.people.get(by, by)
        kinds = {"controller": OriginKind.CONTROLLER, "timer": OriginKind.TIMER}
        if by.startswith("act:"):
            return Origin(kind=OriginKind.SYSTEM, peer=by.removeprefix("act:"))
        return Origin(kind=kinds.get(role, OriginKind.OPERATOR), peer=by, role=role)

    def _step(self, event: Event) -> Step:
        stepped = step.apply(self.law, self.run, event, self.now(), self.context())
        self.run = stepped.run
        self._keep(stepped)
        self._perform(stepped)
        return stepped.record

    def _keep(self, stepped: Stepped) -> None:
        record = stepped.record
        if record.kind != "noted":
            self.steps.append(record)
        self.visited.add(record.after)
        if record.kind in {"moved", "returned"}:
            self.taken.add((record.before, record.way))
            self.told += [effect.instructions for effect in stepped.effects if effect.effect == "tell"]

    def _perform(self, stepped: Stepped) -> None:
        for effect in stepped.effects:
            if isinstance(effect, Perform):
                call = GroundedCall(tool=effect.tool, arguments=effect.arguments)
                self._called(call, effect.act_id, f"act:{effect.act_id}", (), confirmed=False, result="done")

    def _pass(self, length_s: float) -> None:
        self._at += timedelta(seconds=length_s)
        self._up_s += length_s

    def _going_stale_s(self) -> list[float]:
        # A millisecond beyond: a measurement is fresh up to and with its limit.
        return [
            self.law.measures[name].stale_after + 0.001 - (self._up_s - reading.at.monotonic_s)
            for name, reading in self._values.items()
            if name in self._silent and name in self.law.measures and reading.at.boot == self._boot
        ]
