"""Findings about where the arrows of a law lead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from appliance.contracts.toolspec import Risk
from appliance.policy.workflow import satisfy, selecting
from appliance.policy.workflow.compiled import Allowed, Compiled, StateLaw, Way
from appliance.policy.workflow.complaint import Complaint
from appliance.policy.workflow.language import State
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.words import RETURN
from appliance.policy.workflow.world import World

MAX_CYCLES_N = 500
_MAX_CIRCLE_N = 12
_FAILURES = frozenset({"blocked", "failed", "failure", "error", "refused", "aborted", "cancelled", "timeout"})
_SUCCESSES = frozenset({"done", "ok", "success", "finished", "complete", "completed"})


def unreachable_state(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """States that no run ever enters."""
    law = loaded.compiled
    reached = _reached(law, [law.initial, law.safe])
    for state in law.states.values():
        if state.name not in reached:
            what = f"no run ever enters {state.name}"
            yield Complaint(state.place, what, "draw an arrow to it, or delete it", "unreachable-state")


def dead_end(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """States that nothing leaves."""
    law = loaded.compiled
    for state in law.states.values():
        if any(way.cause != "interrupt" and way.to != state.name for way in (*state.ways, *state.urgent)):
            continue
        if state.name == law.safe:
            if len(law.states) > 1:
                what = f"after an emergency nothing leaves {state.name} any more"
                remedy = "add an arrow out of it, for whoever starts again"
                yield Complaint(state.place, what, remedy, "dead-end", "warning")
        else:
            what = f"nothing leaves {state.name}"
            yield Complaint(state.place, what, "add an arrow out of it, or a deadline", "dead-end")


def no_path_to_safe(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """States from which no arrow leads to the safe state."""
    law = loaded.compiled
    back: dict[str, set[str]] = {name: set() for name in (*law.states, RETURN)}
    for state in law.states.values():
        for way in (*state.ways, *state.urgent):
            if way.cause == "interrupt":
                back[state.name].add(RETURN)  # what breaks in here can lead back to here
            else:
                back[way.to].add(state.name)
    reached, waiting = {law.safe}, [law.safe]
    while waiting:
        for before in back[waiting.pop()] - reached:
            reached.add(before)
            waiting.append(before)
    for state in law.states.values():
        if state.name not in reached:
            what = f"from {state.name} no arrow leads to the safe state, {law.safe}"
            remedy = f"add an arrow or a deadline that leads on to {law.safe}"
            yield Complaint(state.place, what, remedy, "no-path-to-safe")


def approval_bypass(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Ways round an approval: to a state, or to a tool."""
    law = loaded.compiled
    free = _reached(law, [law.initial, law.safe], follow=lambda way: way.approve is None)
    first: dict[str, Way] = {}
    for way in _every_way(law):
        if way.approve is None and way.source in free:
            first.setdefault(way.to, way)
    for way in _every_way(law):
        if way.approve is None or way.to == RETURN or way.to not in free or way.to == law.initial:
            continue
        if not _acts(law, law.states[way.to]):
            continue
        other = first[way.to]
        what = f"{way.to} is behind an approval here, and line {other.place.line} ({other.source}: {other.says()})"
        yield Complaint(way.place, f"{what} leads there without", "ask for the approval there too", "approval-bypass")
    yield from _bypassed(law, free)


def _bypassed(law: Compiled, free: set[str]) -> Iterator[Complaint]:
    asked: dict[str, Allowed] = {}
    for state in law.states.values():
        for allowed in state.allowed:
            for spec in law.meant(allowed.selection.tool) if allowed.approve is not None else ():
                if spec.risk is not Risk.READ:
                    asked.setdefault(spec.name, allowed)
    for state in law.states.values():
        for allowed in state.allowed if asked and state.name in free else ():
            for spec in law.meant(allowed.selection.tool) if allowed.approve is None else ():
                if spec.name in asked:
                    line = asked[spec.name].place.line
                    what = f"{spec.name} needs an approval in line {line} and none in {state.name}"
                    yield Complaint(allowed.place, what, "ask for the approval here too", "approval-bypass")


def stray_return(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Arrows to `return` in states that no interrupt leads to."""
    law = loaded.compiled
    targets = {way.to for way in _every_way(law) if way.cause == "interrupt"}
    inside = _reached(law, targets)
    for way in _every_way(law):
        if way.to == RETURN and way.source not in inside:
            what = f"`return` in {way.source}, which no interrupt leads to: there is nothing to return to"
            yield Complaint(way.place, what, "name a state", "stray-return")


def blocked_is_success(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Parts whose failure leads to where their success leads."""
    for path, state in _written_states(loaded):
        good = {target for outcome, target in state.outcomes.items() if outcome in _SUCCESSES}
        for outcome, target in state.outcomes.items():
            if outcome in _FAILURES and target in good:
                what = f"{outcome} leads to {target}, as success does"
                place = loaded.tree.place(*path, "outcomes", outcome)
                yield Complaint(place, what, "give it a state of its own", "blocked-is-success", "warning")


def unbounded_loop(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Circles of arrows that need no person and no time."""
    law = loaded.compiled
    by_source: dict[str, list[Way]] = {}
    for way in _every_way(law):
        if way.to != RETURN and _is_automatic(law, way):
            by_source.setdefault(way.source, []).append(way)
    seen: set[frozenset[str]] = set()
    tried: dict[frozenset[str], satisfy.Values | None] = {}
    for circle in _circles(_going_round(by_source)):
        key = frozenset(way.source for way in circle)
        if key in seen:
            continue
        guards = {way.guard.text: way.guard.node for way in circle if way.guard is not None}
        texts = frozenset(guards)
        if texts not in tried:
            tried[texts] = satisfy.example(guards.values(), law.measures) if guards else {}
        values = tried[texts]
        if values is None:
            continue
        seen.add(key)
        names = " -> ".join([*(way.source for way in circle), circle[0].source])
        when = f" while {_shown(values)}" if values else ""
        what = f"{names} goes round for ever{when}, with nobody asking and no time passing"
        yield Complaint(
            circle[0].place, what, "let one of the arrows wait (`after`) or be said (`event`)", "unbounded-loop"
        )


def _is_automatic(law: Compiled, way: Way) -> bool:
    if way.cause == "measured":
        return True
    if way.cause != "tool" or way.tool is None:
        return False
    specs = [spec for act in law.states[way.source].enter if (spec := law.tools.get(act.call))]
    return any(selecting.matches_tool(way.tool.tool, spec) for spec in specs)


def _going_round(by_source: dict[str, list[Way]]) -> dict[str, list[Way]]:
    """Leave out arrows that are on no circle because what they lead to ends somewhere."""
    left_n = {source: len(ways) for source, ways in by_source.items()}
    back: dict[str, list[str]] = {}
    for way in itertools.chain.from_iterable(by_source.values()):
        back.setdefault(way.to, []).append(way.source)
    ends = [name for name in back if name not in by_source]
    while ends:
        for source in back.get(ends.pop(), ()):
            left_n[source] -= 1
            if left_n[source] == 0:
                ends.append(source)
    kept = {source for source, n in left_n.items() if n}
    return {source: [way for way in by_source[source] if way.to in kept] for source in kept}


def _circles(by_source: dict[str, list[Way]]) -> Iterator[list[Way]]:
    """Yield simple circles, but no more than anybody would mend at once."""
    found = 0
    back: dict[str, list[str]] = {}
    for way in itertools.chain.from_iterable(by_source.values()):
        back.setdefault(way.to, []).append(way.source)
    for start in sorted(by_source):
        if found >= MAX_CYCLES_N:
            return
        home_n = _arrows_home(back, start)
        waiting: list[list[Way]] = [[way] for way in by_source[start] if way.to in home_n]
        while waiting and found < MAX_CYCLES_N:
            path = waiting.pop()
            end = path[-1].to
            if end == start:
                found += 1
                yield path
            elif all(way.source != end for way in path):
                room_n = _MAX_CIRCLE_N - len(path) - 1
                waiting += [[*path, way] for way in by_source[end] if home_n.get(way.to, room_n + 1) <= room_n]


def _arrows_home(back: dict[str, list[str]], start: str) -> dict[str, int]:
    """Return by state how many arrows lead from it to *start* at least, past later names only; none too far away."""
    home_n, edge = {start: 0}, {start}
    for n in range(1, _MAX_CIRCLE_N):
        edge = {s for name in edge for s in back.get(name, ()) if s > start and s not in home_n}
        home_n |= dict.fromkeys(edge, n)
    return home_n


def _acts(law: Compiled, state: StateLaw) -> bool:
    """Return whether *state* allows a tool with an effect."""
    return any(spec.risk is not Risk.READ for allowed in state.allowed for spec in law.meant(allowed.selection.tool))


def _every_way(law: Compiled) -> Iterator[Way]:
    for state in law.states.values():
        yield from state.ways
        yield from state.urgent


def _reached(law: Compiled, start: Iterable[str], follow: Callable[[Way], bool] = lambda _way: True) -> set[str]:
    reached = set(start)
    waiting = list(reached)
    while waiting:
        state = law.states[waiting.pop()]
        for way in (*state.ways, *state.urgent):
            if way.to != RETURN and follow(way) and way.to not in reached:
                reached.add(way.to)
                waiting.append(way.to)
    return reached


def _written_states(loaded: Loaded) -> Iterator[tuple[tuple[str, ...], State]]:
    for name, state in loaded.law.states.items():
        yield ("states", name), state
    for part, held in loaded.law.parts.items():
        for name, state in held.states.items():
            yield ("parts", part, "states", name), state


def _shown(values: satisfy.Values) -> str:
    return ", ".join(f"{name} is {'unknown' if value is None else value}" for name, value in values.items())
