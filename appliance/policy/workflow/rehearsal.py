"""A script played on a simulation: what happened, line by line, and what was expected otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from appliance.contracts.workflow import Step
from appliance.policy.workflow.compiled import Compiled, Way
from appliance.policy.workflow.judge import Judged
from appliance.policy.workflow.people import who
from appliance.policy.workflow.run import Emergency, Said, Who
from appliance.policy.workflow.script import DEEDS, Deed, Read
from appliance.policy.workflow.simulate import Simulation
from appliance.policy.workflow.words import duration


class Unmet(NamedTuple):
    """Something that a script expected and that was otherwise."""

    line: int
    what: str


class Played(NamedTuple):
    """One script, played to its end."""

    name: str
    title: str
    story: tuple[str, ...]
    unmet: tuple[Unmet, ...]
    visited: frozenset[str]
    taken: frozenset[tuple[str, str]]


class Coverage(NamedTuple):
    """How much of a law a set of scripts goes through."""

    states_n: int
    ways_n: int
    missed_states: tuple[str, ...]
    missed_ways: tuple[Way, ...]

    def text(self) -> str:
        """Write it in a line."""
        states = self.states_n - len(self.missed_states)
        ways = self.ways_n - len(self.missed_ways)
        return f"{states} of {self.states_n} states, {ways} of {self.ways_n} arrows"


def play(law: Compiled, read: Read) -> Played:
    """Play a script."""
    script = read.script
    simulation = Simulation(law, dict(script.people), script.start)
    if script.measures:
        simulation.measure(script.measures)
    story, unmet = [f"{_clock(simulation)}  {simulation.run.state}"], []
    for deed, line in zip(script.steps, read.lines, strict=True):
        steps_n, acts_n = len(simulation.steps), len(simulation.acts)
        before = simulation.run.state
        try:
            said, judged = _done(simulation, deed)
        except KeyError as missing:
            unmet.append(Unmet(line, f"there is no {missing.args[0]!r} here"))
            continue
        story.append(_told(simulation, deed, said, judged, before))
        story += [f"            law: {act.tool} {act.arguments or ''} -> {act.result or _why(act.judged)}"
                  for act in simulation.acts[acts_n:] if act.by.startswith("act:")]  # fmt: skip
        reasons = [step.reason for step in simulation.steps[steps_n:]]
        reasons += [_why(act.judged) for act in simulation.acts[acts_n:]]
        unmet += [Unmet(line, what) for what in _unmet(simulation, deed, said, judged, acts_n, reasons)]
    return Played(
        read.name, script.script, tuple(story), tuple(unmet), frozenset(simulation.visited), frozenset(simulation.taken)
    )


def covered(law: Compiled, played: Iterable[Played]) -> Coverage:
    """Return which states and arrows no script has gone through; interrupts count once, not for every state."""
    visited: set[str] = set()
    taken: set[tuple[str, str]] = set()
    for one in played:
        visited |= one.visited
        taken |= one.taken
    interrupts = {key for _, key in taken if key.startswith("interrupts.")}
    ways = {}
    for state in law.states.values():
        for way in (*state.ways, *state.urgent):
            ways[way.key if way.cause == "interrupt" else (way.source, way.key)] = way
    missed = [way for key, way in ways.items() if key not in taken and key not in interrupts]
    return Coverage(len(law.states), len(ways), tuple(s for s in law.states if s not in visited), tuple(missed))


def _done(simulation: Simulation, deed: Deed) -> tuple[Step | None, Judged | None]:
    """Do what people do; the world's own doings are `_happened`."""
    match deed:
        case Deed(say=str(event)):
            return simulation.tell(Said(event=event, who=_who(simulation, deed.by or _first(simulation)))), None
        case Deed(call=str(tool)):
            judged = simulation.ask(
                tool,
                deed.arguments,
                deed.by or _first(simulation),
                confirmed=deed.confirmed,
                confidence=deed.confidence,
                result=deed.result,
            )
            return None, judged
        case Deed(approve=str(by)):
            return simulation.approve(_known(simulation, by), yes=True)
        case Deed(refuse=str(by)):
            return simulation.approve(_known(simulation, by), yes=False)
        case Deed(lock=str(by)):
            simulation.lock(_known(simulation, by))
            return None, None
        case Deed(unlock=str(by)):
            simulation.unlock(_known(simulation, by))
            return None, None
        case Deed(emergency=True):
            simulation.stopped = True
            return simulation.tell(Emergency()), None
        case _:
            _happened(simulation, deed)
            return None, None


def _happened(simulation: Simulation, deed: Deed) -> None:
    match deed:
        case Deed(release=True):
            simulation.stopped = False
        case Deed(wait=float(length_s)):
            simulation.wait(length_s)
        case Deed(measure=dict(values)):
            for name in values:
                if name not in simulation.law.measures:
                    raise KeyError(name)
            simulation.measure(values)
        case Deed(silence=tuple(names)):
            simulation.silence(names)
        case Deed(restart=restart) if restart is not None:
            simulation.restart(restart.after, trusted=restart.clock == "trusted")
        case Deed(clock=str(clock)):
            simulation.trust(clock == "trusted")
        case Deed(results=dict(results)):
            simulation.come_to(results)
        case _:
            simulation.settle()


def _unmet(
    simulation: Simulation, deed: Deed, said: Step | None, judged: Judged | None, acts_n: int, reasons: list[str]
) -> Iterable[str]:
    if deed.state is not None and simulation.run.state != deed.state:
        last = simulation.steps[-1]
        yield f"expected to be in {deed.state}, is in {simulation.run.state} ({last.kind}: {last.cause or last.reason})"
    if deed.step is not None and (said is None or said.kind != deed.step):
        found = "nothing was said" if said is None else f"{said.kind} ({said.reason})"
        yield f"expected {deed.step}, found {found}"
    verdict = None if judged is None else "outside" if judged.verdict is None else judged.verdict.verdict
    if deed.verdict is not None and verdict != deed.verdict:
        yield f"expected {deed.verdict}, found {verdict} ({_why(judged)})"
    if deed.because:
        told = " ".join([*reasons, "" if said is None else said.reason, _why(judged)])
        if deed.because not in told:
            yield f"expected a reason with {deed.because!r}, found {told.strip()!r}"
    if deed.performed is not None:
        acted = tuple(act.tool for act in simulation.acts[acts_n:] if act.result)
        if acted != deed.performed:
            yield f"expected the acts {list(deed.performed)}, found {list(acted)}"


def _told(simulation: Simulation, deed: Deed, said: Step | None, judged: Judged | None, before: str) -> str:
    if deed.say is not None:
        what = f"{deed.by or _first(simulation)} says {deed.say}"
    elif deed.call is not None:
        values = ", ".join(f"{name}: {value}" for name, value in deed.arguments.items())
        what = f"{deed.by or _first(simulation)} asks for {deed.call}" + (f" ({values})" if values else "")
    elif deed.wait is not None:
        what = f"{duration(deed.wait)} pass"
    elif deed.measure is not None:
        what = "measured: " + ", ".join(f"{name} = {value}" for name, value in deed.measure.items())
    else:
        name = next(one for one in DEEDS if getattr(deed, one) is not None)
        what = f"{name} {_plain(getattr(deed, name))}".strip()
    verdict = ""
    if judged is not None:
        verdict = " -> " + ("outside" if judged.verdict is None else judged.verdict.verdict)
        verdict += f": {_why(judged)}" if _why(judged) else ""
    elif said is not None:
        verdict = f" -> {said.kind}" + (f": {said.reason}" if said.reason else "")
    moved = "" if simulation.run.state == before else f"  => {simulation.run.state}"
    return f"{_clock(simulation)}  {what}{verdict}{moved}"


def _plain(value: object) -> str:
    if value is True:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _why(judged: Judged | None) -> str:
    if judged is None or judged.verdict is None:
        return ""
    match judged.verdict.verdict:
        case "deny":
            return f"{judged.verdict.reason} {judged.verdict.remedy}".strip()
        case "confirm" | "approve":
            return judged.verdict.question
        case _:
            return ""


def _who(simulation: Simulation, by: str) -> Who:
    return who(simulation.origin(_known(simulation, by)), by)


def _known(simulation: Simulation, by: str) -> str:
    if by not in simulation.people and by not in {"controller", "timer"}:
        raise KeyError(by)
    return by


def _first(simulation: Simulation) -> str:
    return next(iter(simulation.people))


def _clock(simulation: Simulation) -> str:
    return f"{simulation.now().at.astimezone(simulation.law.zone):%a %H:%M:%S}"
