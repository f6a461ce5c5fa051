"""How to get from a state to where a call is allowed: the shortest way, as a person would go it.

A state whose grant fits the call's arguments comes before one that only allows its tool; a guard there is told, not
asked: it may hold by the time one comes there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow.allowing import bounded
from appliance.policy.workflow.compiled import Allowed, Compiled, Route, StateLaw, Way
from appliance.policy.workflow.selecting import matches_arguments, matches_tool
from appliance.policy.workflow.words import RETURN, Wanted

# What a person can do at once comes before what one must wait for.
_EFFORT: Final = {"event": 1, "tool": 2, "measured": 3, "after": 4, "at": 5, "cap": 8, "deadline": 9}


def to_state(
    law: Compiled, start: str, wanted: Callable[[StateLaw], bool], *, again: bool = False
) -> tuple[Way, ...] | None:
    """Return the arrows from *start* to the nearest state that is *wanted*; None where no way leads there.

    Args:
        again: *start* itself is one to get to, by leaving it.
    """
    best: dict[str, int] = {start: 0}
    came: dict[str, Way] = {}
    waiting = [(0, start)]
    while waiting:
        effort, state = heapq.heappop(waiting)
        if effort > best[state]:
            continue
        if state in came and wanted(law.states[state]):
            return tuple(_back(came, start, state))
        if again and effort == 0:
            del best[start]
        for way in ways_out(law.states[state]):
            further = effort + _EFFORT[way.cause] + (3 if way.approve else 0)
            if further < best.get(way.to, 1 << 30):
                best[way.to] = further
                came[way.to] = way
                heapq.heappush(waiting, (further, way.to))
    return None


def ways_out(state: StateLaw) -> Iterator[Way]:
    """Yield the arrows and deadlines out of *state*; interrupts are no way that one goes on purpose."""
    for way in (*state.ways, *state.urgent):
        if way.cause != "interrupt" and way.to != RETURN:
            yield way


def to_tool(law: Compiled, start: str, call: GroundedCall) -> str:
    """Tell how to get to where *call* is allowed, or at least its tool."""
    found = _found(law, start, call, fitting=True) or _found(law, start, call, fitting=False)
    if found is None:
        return f"No state of {law.name} that leads on from here allows {call.tool}."
    return f"To get there: {told(found)}"


def elsewhere(law: Compiled, start: str, call: GroundedCall) -> str:
    """Tell how to get to another state, which allows exactly *call*; empty where none does."""
    found = _found(law, start, call, fitting=True)
    return "" if found is None else f"Or elsewhere: {told(found)}"


def again(law: Compiled, start: str, call: GroundedCall) -> str:
    """Tell how to get out of *start* and to where *call* is allowed, be it here once more."""
    found = _found(law, start, call, fitting=True, again=True) or _found(law, start, call, fitting=False, again=True)
    if found is None:
        return f"No way out of {start} leads to where {law.name} allows {call.tool}."
    back = " and come again" if found.ways[-1].to == start else ""
    return f"Leave the state{back}: {told(found)}"


def told(route: Route) -> str:
    """Write a way as a person goes it."""
    steps = []
    for way in route.ways:
        approval = f" (approved by {way.approve.people} in the role {way.approve.role})" if way.approve else ""
        steps.append(f"{way.says()}{approval} -> {way.to}")
    return "; then ".join(steps) + "." + (f" There {route.there}." if route.there else "")


def _found(law: Compiled, start: str, call: GroundedCall, *, fitting: bool, again: bool = False) -> Route | None:
    """Find the way once for all calls of a tool that the law does not tell apart."""
    alike = tuple(matches_arguments(where, call.arguments) for where in _bounds(law, call.tool)) if fitting else ()
    key = (start, call.tool, alike, fitting, again)
    if key not in law.routes:
        law.routes[key] = _route(law, start, call, fitting=fitting, again=again)
    return law.routes[key]


def _route(law: Compiled, start: str, call: GroundedCall, *, fitting: bool, again: bool) -> Route | None:
    spec = law.tools.get(call.tool)
    if spec is None:
        return None

    def grants(state: StateLaw) -> list[Allowed]:
        return [
            one
            for one in state.allowed
            if matches_tool(one.selection.tool, spec)
            and (not fitting or matches_arguments(one.selection.where, call.arguments))
        ]

    ways = to_state(law, start, lambda state: bool(grants(state)), again=again)
    return None if ways is None else Route(ways, _asked(call.tool, grants(law.states[ways[-1].to]), fitting=fitting))


def _asked(tool: str, grants: list[Allowed], *, fitting: bool) -> str:
    """Write what a state asks besides being there; empty where one of its grants asks nothing."""
    asked = []
    for one in grants:
        bounds = "" if fitting else f"as {bounded(tool, one.selection.where)}"
        guard = "" if one.guard is None else f"when `{one.guard.text}`"
        asked.append(" ".join(part for part in (bounds, guard) if part))
    return f"only {' or '.join(dict.fromkeys(asked))}" if all(asked) else ""


def _bounds(law: Compiled, tool: str) -> tuple[Mapping[str, Wanted], ...]:
    if tool not in law.bounds:
        spec = law.tools.get(tool)
        granted = (one.selection for state in law.states.values() for one in state.allowed if one.selection.where)
        wheres = {repr(one.where): one.where for one in granted if spec is not None and matches_tool(one.tool, spec)}
        law.bounds[tool] = tuple(wheres.values())
    return law.bounds[tool]


def _back(came: dict[str, Way], start: str, state: str) -> list[Way]:
    found = [came[state]]
    while found[-1].source != start:
        found.append(came[found[-1].source])
    return found[::-1]
