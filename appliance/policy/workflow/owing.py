"""The acts that a law owes when a state is entered or left; the gate lets through exactly these, each once."""

from __future__ import annotations

from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.run import Effect, Given, Owed, Perform, RunState, Tell


def entered(
    law: Compiled, run: RunState, state: str, given: tuple[Given, ...]
) -> tuple[tuple[Owed, ...], tuple[Effect, ...]]:
    """Return what entering *state* makes the run owe, carried by the approvals *given* for the way there."""
    acts = tuple(
        Owed(
            act_id=f"{run.run_id}:{run.seq}:enter:{n}",
            state=state,
            visit=run.visit,
            kind="enter",
            tool=act.call,
            arguments=act.arguments,
            approved=given,
        )
        for n, act in enumerate(law.states[state].enter)
    )
    return acts, (*_performed(acts), Tell(state=state, instructions=law.states[state].instructions))


def left(law: Compiled, run: RunState, state: str) -> tuple[tuple[Owed, ...], tuple[Effect, ...]]:
    """Return what leaving *state* makes the run owe."""
    acts = tuple(
        Owed(
            act_id=f"{run.run_id}:{run.seq + 1}:exit:{n}",
            state=state,
            visit=run.visit,
            kind="exit",
            tool=act.call,
            arguments=act.arguments,
        )
        for n, act in enumerate(law.states[state].exit)
    )
    return acts, _performed(acts)


def _performed(acts: tuple[Owed, ...]) -> tuple[Effect, ...]:
    return tuple(Perform(act_id=act.act_id, tool=act.tool, arguments=act.arguments) for act in acts)
