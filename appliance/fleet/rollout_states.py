"""A rollout's state machine, as a table; docs/explanation/rollouts.md draws it.

The state lies in the database. A machine is made for each decision and says whether there is such an arrow.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final, NamedTuple

from transitions import Machine, MachineError

# With `model_override` transitions warns of each method that it does not inject, which is what we ask of it.
logging.getLogger("transitions.core").setLevel(logging.ERROR)


class State(StrEnum):
    """How far a rollout is."""

    ASKING = "asking"
    """The devices of a ring are told, and answer."""

    SOAKING = "soaking"
    """All of them have ended; what they report is watched."""

    PAUSED = "paused"
    HALTED = "halted"
    """Something was worse than was declared; nobody else is told until a person says so."""

    RETURNING = "returning"
    """Those that did it are told to take it back."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    RETURNED = "returned"


class Edge(NamedTuple):
    """One arrow of the diagram."""

    trigger: str
    sources: tuple[State, ...]
    dest: State


_S = State
_GOING: Final = (_S.ASKING, _S.SOAKING)
_OPEN: Final = (*_GOING, _S.PAUSED, _S.HALTED)

EDGES: Final = (
    Edge("settle", (_S.ASKING,), _S.SOAKING),
    Edge("advance", (_S.SOAKING,), _S.ASKING),
    Edge("complete", (_S.SOAKING,), _S.COMPLETED),
    Edge("pause", _GOING, _S.PAUSED),
    Edge("halt", _GOING, _S.HALTED),
    # Also from a soak: the next look finds that every device has ended, and the soak goes on where it was.
    Edge("resume", (_S.PAUSED, _S.HALTED), _S.ASKING),
    Edge("abort", _OPEN, _S.ABORTED),
    Edge("go_back", _OPEN, _S.RETURNING),
    Edge("arrive", (_S.RETURNING,), _S.RETURNED),
)


class Machinery:
    """Typed front of the `transitions` machine; `EDGES` is the specification."""

    state: State

    def __init__(self, state: State) -> None:
        # `auto_transitions=False` removes `to_<state>()`, which would be a way round the table;
        # `model_override=True` injects only methods that the class declares, so the type checker sees everything.
        self._machine = Machine(self, states=State, initial=state, auto_transitions=False, model_override=True)
        for edge in EDGES:
            self._machine.add_transition(edge.trigger, list(edge.sources), edge.dest)

    def trigger(self, name: str) -> bool:
        """Fire *name*; `transitions` replaces this body when the machine is built."""
        raise NotImplementedError


def after(state: State, trigger: str) -> State | None:
    """Return where *trigger* leads from *state*; None where there is no such arrow."""
    machinery = Machinery(state)
    try:
        machinery.trigger(trigger)
    except (MachineError, AttributeError):
        return None
    return machinery.state


def mermaid() -> str:
    """Draw `EDGES` as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.ASKING}"]
    lines += [f"    {source} --> {edge.dest}: {edge.trigger}" for edge in EDGES for source in edge.sources]
    return "\n".join(lines)
