"""A newer version of a file takes over a run; only where both versions say so, and never halfway."""

from __future__ import annotations

from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.run import RunState


def obstacle(run: RunState, old: Compiled, new: Compiled) -> str:
    """Return why *new* cannot take over *run* now; empty when it can."""
    if new.name != old.name:
        return f"{new.name} is another workflow than {old.name}"
    if new.version <= old.version:
        return f"version {new.version} is not newer than {old.version}"
    if run.stack:
        return "an interrupt is not over yet"
    if run.pending is not None or run.owed or run.flying:
        return "something is still on its way"
    if not old.states[run.state].swap:
        return f"{run.state} is no state in which version {old.version} lets go (`swap: true`)"
    there = new.states.get(run.state)
    if there is None or not there.swap:
        return f"version {new.version} has no state {run.state} with `swap: true`"
    return ""


def swapped(run: RunState, old: Compiled, new: Compiled) -> RunState | None:
    """Return *run* under *new*, in the same state; None where there is an obstacle: it goes on as it is."""
    if obstacle(run, old, new):
        return None
    entered = {level.state: level for level in run.levels}
    levels = tuple(
        entered.get(name, run.levels[-1].model_copy(update={"state": name})) for name in new.states[run.state].levels
    )
    kept = {name: uses for name, uses in run.used.items() if any(law.name == name for law in new.rules)}
    changed = {"version": new.version, "digest": new.digest, "levels": levels, "used": kept, "seq": run.seq + 1}
    return run.model_copy(update=changed)
