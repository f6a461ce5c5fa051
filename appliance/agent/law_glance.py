"""Laws and their runs as a person sees them: what `status` shows of each, and what a drawing of one needs."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.contracts.audit import Moment
from appliance.contracts.people import PersonRole
from appliance.contracts.record import JsonObject
from appliance.policy.workflow.compiled import Compiled, Way
from appliance.policy.workflow.due import next_move_s
from appliance.policy.workflow.language import Approval
from appliance.policy.workflow.people import fallen
from appliance.policy.workflow.run import RunState
from appliance.policy.workflow.selecting import matches_tool
from appliance.policy.workflow.swap import obstacle
from appliance.policy.workflow.timing import elapsed_s

PATH_N = 8
"""Moves that a console shows of the way here."""


def shown(
    law: Compiled,
    run: RunState,
    newest: Compiled | None,
    path: list[JsonObject],
    now: Moment,
    enrolled: Mapping[str, PersonRole],
) -> JsonObject:
    """Return where *run* is, and what it waits for.

    Args:
        enrolled: everybody's role, by the key of the name; who is not there any more has approved nothing.
    """
    state = law.states[run.state]
    due_s = next_move_s(law, run, now)
    return {
        "workflow": law.name,
        "title": law.title,
        "version": law.version,
        "digest": law.digest,
        "danger": law.danger,
        "run_id": run.run_id,
        "state": run.state,
        "about": state.about,
        "instructions": state.instructions,
        "since": run.levels[-1].entered.at.isoformat(),
        "due_s": None if due_s is None else round(due_s, 1),
        "calls": None if state.cap_n is None else [run.calls_n, state.cap_n],
        "pending": _pending(law, run, now, enrolled),
        "stack": [frame.levels[-1].state for frame in run.stack],
        "owed": [{"tool": act.tool, "arguments": act.arguments} for act in run.owed],
        "events": [
            {"event": name, "about": law.events[name].about, "by": list(law.events[name].by)}
            for name in _sayable(law, run)
        ],
        "allowed": _allowed(law, run),  # type: ignore[dict-item]
        "path": path,  # type: ignore[dict-item]
        "swap": _swap(law, run, newest),
    }


def described(law: Compiled) -> JsonObject:
    """Return the states and arrows of *law*, for a drawing."""
    ways = [way for state in law.states.values() for way in (*state.urgent, *state.ways)]
    return {
        "workflow": law.name,
        "title": law.title,
        "version": law.version,
        "digest": law.digest,
        "initial": law.initial,
        "safe": law.safe,
        "states": [
            {
                "name": state.name,
                "about": state.about,
                "instructions": state.instructions,
                "allowed": [allowed.selection.tool for allowed in state.allowed],
                "calls": state.cap_n,
                "deadline_s": next((way.after_s for way in state.urgent if way.cause == "deadline"), None),
                "swap": state.swap,
            }
            for state in law.states.values()
        ],
        "ways": [_way(way) for way in ways],
    }


def _way(way: Way) -> JsonObject:
    return {
        "source": way.source,
        "to": way.to,
        "says": way.says(),
        "cause": way.cause,
        "key": way.key,
        "approve": "" if way.approve is None else _people(way.approve),
    }


def _people(need: Approval) -> str:
    return f"{need.people} {need.role}{'s' if need.people > 1 else ''}"


def _pending(law: Compiled, run: RunState, now: Moment, enrolled: Mapping[str, PersonRole]) -> JsonObject | None:
    waits = run.pending
    way = None if waits is None else law.way(waits.way, run.state)
    if waits is None or way is None or way.approve is None:
        return None
    passed = elapsed_s(waits.at, now)
    void = fallen(waits.given, enrolled, way.approve.role)
    return {
        "approval_id": waits.approval_id,
        "question": f"{way.says()}, to {way.to}?",
        "by": waits.by.person,
        "role": way.approve.role,
        "people_n": way.approve.people,
        "given": [given.who.person for given in waits.given if given.who.person not in void],
        "expires_s": None if passed is None else round(max(0.0, way.approve.within - passed), 1),
    }


def _sayable(law: Compiled, run: RunState) -> list[str]:
    state = law.states[run.state]
    causes = {way.event for way in (*state.urgent, *state.ways) if way.event}
    return [name for name in law.events if name in causes]


def _allowed(law: Compiled, run: RunState) -> list[str]:
    granted = law.states[run.state].allowed
    return [name for name, spec in law.tools.items() if any(matches_tool(one.selection.tool, spec) for one in granted)]


def _swap(law: Compiled, run: RunState, newest: Compiled | None) -> str | None:
    if newest is None:
        return "withdrawn; it ends as soon as its state lets go"
    if newest.digest == law.digest:
        return None
    return f"version {newest.version} waits: {obstacle(run, law, newest) or 'it takes over in a moment'}"
