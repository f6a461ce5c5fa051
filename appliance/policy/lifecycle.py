"""The device's state machine, as a table; the one place that imports `transitions`.

docs/reference/lifecycle.md draws it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from transitions import Machine, MachineError

# With `model_override` transitions warns of each method that it does not inject, which is what we ask of it.
logging.getLogger("transitions.core").setLevel(logging.ERROR)


class State(StrEnum):
    """What the device is doing."""

    BOOTING = "booting"
    IDLE = "idle"
    DECIDING = "deciding"
    ASKING = "asking"
    """A request waits for a missing value; others are heard meanwhile."""

    CONFIRMING = "confirming"
    """A request waits for a yes; others are heard meanwhile."""

    ACTING = "acting"
    DEGRADED = "degraded"
    """Something is missing (model, disk); what does not need it still works."""

    LOCKED = "locked"
    """Emergency stop: outputs are safe and stay so until a local release."""

    STOPPED = "stopped"


class Edge(NamedTuple):
    """One arrow of the diagram."""

    trigger: str
    sources: tuple[State, ...]
    dest: State


_S = State
_RESTING: Final = (_S.IDLE, _S.ASKING, _S.CONFIRMING, _S.DEGRADED)

EDGES: Final = (
    Edge("ready", (_S.BOOTING,), _S.IDLE),
    Edge("hear", _RESTING, _S.DECIDING),
    Edge("ask", (_S.DECIDING,), _S.ASKING),
    Edge("hold", (_S.DECIDING,), _S.CONFIRMING),
    Edge("permit", (_S.DECIDING,), _S.ACTING),
    Edge("refuse", (_S.DECIDING,), _S.IDLE),
    Edge("settle", (_S.ACTING,), _S.IDLE),
    Edge("lapse", (_S.ASKING, _S.CONFIRMING), _S.IDLE),
    Edge("degrade", _RESTING, _S.DEGRADED),
    Edge("recover", (_S.DEGRADED,), _S.IDLE),
    Edge("stop", tuple(s for s in _S if s not in (_S.LOCKED, _S.STOPPED)), _S.LOCKED),
    Edge("release", (_S.LOCKED,), _S.IDLE),
    # Under the emergency stop a request is still heard, refused and recorded, and a turn that was on its way comes to
    # its end; but nothing leads from here to ACTING.
    Edge("hear", (_S.LOCKED,), _S.LOCKED),
    Edge("refuse", (_S.LOCKED,), _S.LOCKED),
    Edge("settle", (_S.LOCKED,), _S.LOCKED),
    Edge("shut", tuple(s for s in _S if s is not _S.STOPPED), _S.STOPPED),
)


class Lifecycle:
    """Typed front of the `transitions` machine; `EDGES` is the specification."""

    state: State

    def __init__(self, on_illegal: Callable[[State, str], None] = lambda _state, _trigger: None) -> None:
        self._on_illegal = on_illegal
        self._lock = threading.RLock()
        # `auto_transitions=False` removes `to_<state>()`, which would be a way round the table;
        # `model_override=True` injects only methods that the class declares, so the type checker sees everything.
        self._machine = Machine(self, states=State, initial=State.BOOTING, auto_transitions=False, model_override=True)
        for edge in EDGES:
            self._machine.add_transition(edge.trigger, list(edge.sources), edge.dest)

    def trigger(self, name: str) -> bool:
        """Fire *name*; `transitions` replaces this body when the machine is built."""
        raise NotImplementedError

    def fire(self, name: str) -> bool:
        """Fire a trigger; one that has no arrow from here changes nothing and is reported, not raised.

        Returns:
            Whether the arrow was taken.
        """
        with self._lock:
            before = self.state
            try:
                return self.trigger(name)
            except (MachineError, AttributeError):
                self._on_illegal(before, name)
                return False


def mermaid() -> str:
    """Draw `EDGES` as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.BOOTING}"]
    lines += [f"    {source} --> {edge.dest}: {edge.trigger}" for edge in EDGES for source in edge.sources]
    return "\n".join(lines)
