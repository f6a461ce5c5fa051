"""What moves through the machine for one step: it is asked which arrow can be taken, and keeps every answer."""

from __future__ import annotations

from typing import assert_never

from appliance.contracts.audit import Moment
from appliance.contracts.workflow import Weighed
from appliance.policy.workflow import selecting
from appliance.policy.workflow.compiled import Compiled, Way
from appliance.policy.workflow.measuring import looking, said, weighed
from appliance.policy.workflow.run import Context, Ended, Event, RunState
from appliance.policy.workflow.timing import elapsed_s, has_struck
from appliance.policy.workflow.words import duration


class Walker:
    """What moves through the machine for one step; `transitions` asks it and sets its state."""

    def __init__(self, law: Compiled, run: RunState, event: Event, now: Moment, context: Context) -> None:
        self.law = law
        self.run = run
        self.state = run.state
        self.before = run.state
        self.event = event
        self.now = now
        self.context = context
        self.look = looking(law.measures, context, now)
        self.weighed: list[Weighed] = []
        self.taken: Way | None = None

    def takes(self, way: Way) -> bool:
        """Return whether *way* can be taken now; every guard that is asked is kept."""
        if not self._caused(way):
            return False
        if way.guard is not None:
            found, answer = weighed(way.key, way.guard, self.look)
            self.weighed.append(answer)
            if found is not True:
                return False
        self.taken = way
        return True

    def _caused(self, way: Way) -> bool:
        match way.cause:
            case "interrupt":
                return self._breaks_in(way)
            case "deadline":
                return self._is_due(way, when_unknown=True)
            case "after":
                return self._is_due(way, when_unknown=False)
            case "cap":
                cap_n = self.law.states[self.state].cap_n
                # A call that is on its way is awaited: how it ends may be an arrow of its own.
                return cap_n is not None and self.run.calls_n >= cap_n and not self._flies()
            case "tool":
                return isinstance(self.event, Ended) and _fits(self.law, way, self.event)
            case "at":
                return self._has_struck(way)
            case "event" | "measured" | "emergency":
                return True
            case _ as never:
                assert_never(never)

    def _breaks_in(self, way: Way) -> bool:
        """An interrupt breaks in on what is less urgent, and never on itself."""
        urgency = self.law.interrupts.index(way.key)
        return all(urgency < self.law.interrupts.index(frame.interrupt) for frame in self.run.stack)

    def _is_due(self, way: Way, *, when_unknown: bool) -> bool:
        passed = elapsed_s(self._entered(way.level), self.now)
        due = when_unknown if passed is None else passed >= way.after_s
        shown = None if passed is None else round(passed, 3)
        text = f"{duration(way.after_s)} in {way.level}"
        why = "how long the device was off is not known" if passed is None else ""
        self.weighed.append(Weighed(what=way.key, said=said(due), text=text, values={"elapsed_s": shown}, why=why))
        return due

    def _has_struck(self, way: Way) -> bool:
        struck = has_struck(way.at, self._entered(self.state), self.now, self.law.zone)
        why = "" if self.now.clock == "trusted" else "the clock is not trusted"
        clock = f"{self.now.at.astimezone(self.law.zone):%Y-%m-%dT%H:%M:%S}"
        self.weighed.append(
            Weighed(what=way.key, said=said(struck), text=f"at {way.at}", values={"clock": clock}, why=why)
        )
        return struck is True

    def _flies(self) -> bool:
        return any(call.visit == self.run.visit for call in self.run.flying)

    def _entered(self, name: str) -> Moment:
        return next((lvl.entered for lvl in self.run.levels if lvl.state == name), self.run.levels[-1].entered)


def _fits(law: Compiled, way: Way, event: Ended) -> bool:
    spec = law.tools.get(event.tool)
    if spec is None or way.tool is None or not selecting.matches(way.tool, spec, event.arguments):
        return False
    return way.result in {"any", event.result}
