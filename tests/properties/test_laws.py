"""Random laws under random events: whatever the law says and whatever happens, no promise of the gate is broken."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import load, promises, step, written_law
from appliance.policy.workflow.judge import judge, subject
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.promises import Moved
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Emergency,
    Ended,
    Given,
    Looked,
    Reading,
    Resumed,
    RunState,
    Said,
    Who,
)
from appliance.policy.workflow.timing import elapsed_s


def _rig(name):
    path = Path(__file__).parents[1] / "rigs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_laws = _rig("random_laws")
SPECS, PEOPLE = random_laws.SPECS, random_laws.PEOPLE

happening = st.tuples(
    st.sampled_from([0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12]),
    st.integers(0, 6),
    st.integers(0, 3),
    st.integers(0, 5),
)


class World:
    """One run, and everything that can happen to it."""

    def __init__(self, loaded: Loaded):
        self.loaded, self.law = loaded, loaded.compiled
        self.at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.up_s, self.boot, self.trusted = 100.0, 1, True
        self.readings: dict[str, Reading] = {}
        self.given: list[Given] = []
        self.began: list[tuple[Moment, str]] = []
        self.calls_n = 0
        self.run: RunState = step.start(self.law, "run", self.now()).run

    def now(self) -> Moment:
        clock = "trusted" if self.trusted else "untrusted"
        return Moment(at=self.at, monotonic_s=self.up_s, boot=self.boot, clock=clock)

    def apply(self, happened):
        before, now, context = self.run, self.now(), Context(1, dict(self.readings))
        stepped = step.apply(self.law, before, happened, now, context)
        assert list(promises.kept(self.loaded, Moved(before, happened, now, context, stepped))) == []
        self.run = stepped.run
        return stepped

    def ask(self, who: Who, tool: str, minutes: int, *, act_id: str = "", result: str = "done"):
        spec, now, context = SPECS[tool], self.now(), Context(1, dict(self.readings))
        call = GroundedCall(tool=tool, arguments={"minutes": minutes} if tool == "start_pump" else {})
        self.calls_n += 1
        call_id = act_id or f"call{self.calls_n}"
        of = subject(self.run, call, call_id)
        given = tuple(one.model_copy(update={"of": of}) for one in self.given)
        kind = {"controller": OriginKind.CONTROLLER, "timer": OriginKind.TIMER}.get(who.role, OriginKind.OPERATOR)
        origin = Origin(kind=OriginKind.SYSTEM if act_id else kind, peer=act_id or who.person, role=who.role)
        asker = Who(person=act_id, role="system") if act_id else who
        judged = judge(
            self.law, self.run, call, spec, origin, now, context,
            call_id=call_id, person="" if act_id else who.person, given=given,
        )  # fmt: skip
        found = promises.lawful(
            self.loaded, self.run, call, spec, asker, now, context, judged, given=given, subject=of, act=bool(act_id)
        )
        assert list(found) == []
        if judged.verdict is None or judged.verdict.verdict != "allow":
            if act_id:
                self.apply(Ended(call_id=act_id, tool=tool, arguments=call.arguments, result="denied"))
            return
        event("a call was allowed")
        self.began.append((now, tool))
        self.limits_hold(now)
        self.apply(Began(call_id=call_id, tool=tool, arguments=call.arguments, who=asker))
        self.apply(Ended(call_id=call_id, tool=tool, arguments=call.arguments, result=result))

    def limits_hold(self, now: Moment):
        for name, one in self.loaded.law.rules.items():
            if one.limit is not None and self.boot == 1:
                meant = [
                    t for t in SPECS if any(written_law.means(s, SPECS[t], GroundedCall(tool=t)) for s in one.tools)
                ]
                recent = [at for at, tool in self.began if tool in meant and elapsed_s(at, now) < one.limit.per]
                assert len(recent) <= one.limit.calls, name

    def happens(self, kind: int, who_n: int, what_n: int, size: int):
        who = PEOPLE[who_n]
        match kind:
            case 0 | 1:
                self.apply(Said(event=("e0", "e1", "alarm", "nonsense")[what_n], who=who))
            case 2 | 3:
                if size == 5:  # asked late, before anything has looked at the clock
                    self.at, self.up_s = self.at + timedelta(seconds=130), self.up_s + 130
                self.ask(who, tuple(SPECS)[what_n], size, result=("done", "failed", "indeterminate")[size % 3])
            case 4:
                hop_s = (0.5, 10, 20, 60, 3600, 400 * 86400)[size]
                self.at, self.up_s = self.at + timedelta(seconds=hop_s), self.up_s + hop_s
                if what_n:  # else something else comes before the next look
                    self.apply(Looked())
            case 5:
                self.readings["level"] = Reading((0, 3, 5, 7, 11, "high")[size], self.now())
                self.apply(Looked())
            case 6:
                self.readings["wet"] = Reading((True, False, None, 1, "yes", True)[size], self.now())
                self.apply(Looked())
            case 7 | 8:
                pending = self.run.pending
                of = pending.approval_id if pending is not None and size else "nothing"
                self.apply(Approved(of=of, who=who, yes=what_n > 0))
            case 9:
                self.given.append(Given(of="", who=who, at=self.now()))
            case 10 if self.run.owed:
                act = self.run.owed[size % len(self.run.owed)]
                self.ask(who, act.tool, int(act.arguments.get("minutes", 5)), act_id=act.act_id)
            case 10:
                self.ask(who, "open_valve", 1, act_id="forged:1")
            case 11:
                # The wall clock jumps a year, either way; the power may fail with it.
                self.at += timedelta(days=(-365, 365)[size % 2])
                if what_n == 0:
                    self.boot, self.up_s, self.trusted = self.boot + 1, 3.0, size > 2
                    self.apply(Resumed())
            case _:
                self.apply(Emergency() if size == 0 else Looked())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(random_laws.laws(), st.lists(happening, min_size=20, max_size=60))
def test_no_promise_is_broken_whatever_the_law_and_whatever_happens(law, happenings):
    loaded = load.parse(json.dumps(law).encode(), "random.json", random_laws.TOOLS)
    assert isinstance(loaded, Loaded), loaded.text()
    world = World(loaded)

    for one in happenings:
        world.happens(*one)
        # The power may fail after any step: what was written goes on as if nothing had been.
        world.run = RunState.model_validate_json(world.run.model_dump_json())
