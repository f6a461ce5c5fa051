"""A grounded call to its result: the act, within its time, and a look at whether it worked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Protocol, runtime_checkable

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import GroundedCall, ToolResult
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import ApplianceError, ToolSchemaError
from appliance.tools import orders
from appliance.tools.declare import INTERNAL, CannotDo, Tool
from appliance.tools.orders import Change, Permit
from appliance.tools.outputs import MadeSafe, Outputs
from appliance.tools.sampler import Sampler, Stands


@runtime_checkable
class Ticking(Protocol):
    """A family that has something to do between calls."""

    def tick(self, permit: Permit) -> tuple[Change, ...]:
        """Do it; called about every second.

        Args:
            permit: asked for every order that still has an effect; what it is against goes to the safe side.

        Returns:
            Orders that were held back, or that go on, since the last time.
        """


@runtime_checkable
class Standing(Protocol):
    """A family whose devices stand in one of two ways."""

    def standing(self, device: str) -> Stands | None:
        """Return how *device* stands, read back from its output; None where it is none of this family's."""


@runtime_checkable
class Stateful(Protocol):
    """A family that can say what its devices do now."""

    def state(self) -> JsonObject:
        """Return what they do, read back."""


class Registry:
    """The tools of one site, by name."""

    def __init__(
        self,
        tools: Iterable[Tool],
        outputs: Outputs,
        families: Mapping[str, object] | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        """Keep what is needed to act.

        Args:
            sampler: reads what the families measure; it ends with them.
        """
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.spec.name in self._tools:
                raise ToolSchemaError(f"two tools are called {tool.spec.name!r}; rename one")
            self._tools[tool.spec.name] = tool
        self._outputs = outputs
        self._families = dict(families or {})
        self._sampler = sampler
        self._hanging: dict[str, threading.Thread] = {}

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools that a proposer is offered, in the order of the families."""
        return tuple(spec for spec in self.every_spec() if INTERNAL not in spec.tags)

    def every_spec(self) -> tuple[ToolSpec, ...]:
        """Return every tool; also those that only timers and undo call."""
        return tuple(tool.spec for tool in self._tools.values())

    def spec(self, name: str) -> ToolSpec | None:
        """Return the declaration of *name*, internal or not."""
        tool = self._tools.get(name)
        return None if tool is None else tool.spec

    def times_s(self) -> dict[str, float]:
        """Return how long a call of each tool may take before it counts as hanging."""
        return {name: tool.timeout_s for name, tool in self._tools.items()}

    def perform(self, call: GroundedCall) -> ToolResult:
        """Do what *call* says and look at the effect; a failure is a result, never an exception.

        The caller must not hold a transaction: tools that remember things write from a thread of their own.
        """
        tool = self._tools.get(call.tool)
        if tool is None:
            return ToolResult(status="failed", message=f"There is no tool called {call.tool}.")
        hanging = self._hanging.get(call.tool)
        if hanging is not None and hanging.is_alive():
            return ToolResult(status="failed", message=f"{call.tool} still hangs from an earlier call.")
        return self._within_time(tool, lambda: _performed(tool, call))

    def tick(self, permit: Permit = orders.anything) -> tuple[Change, ...]:
        """Let families do what is due between calls (the thermostat); call it about every second.

        Args:
            permit: what the laws say of an order that still has an effect.

        Returns:
            Orders that were held back, or that go on, since the last time: each is told once.
        """
        ticking = (family for family in self._families.values() if isinstance(family, Ticking))
        return tuple(change for family in ticking for change in family.tick(permit))

    def standing(self, device: str) -> Stands | None:
        """Return how a lamp, a machine or a door stands now, read back; None where there is no such device."""
        families = (family for family in self._families.values() if isinstance(family, Standing))
        return next((found for family in families if (found := family.standing(device)) is not None), None)

    def state(self) -> JsonObject:
        """Return what each device is doing now, read back."""
        found: JsonObject = {"stopped": self._outputs.latched}
        for name, family in self._families.items():
            if isinstance(family, Stateful):
                found[name] = family.state()
        return found

    def safe(self, reason: str = "emergency stop") -> MadeSafe:
        """Latch the emergency stop; callable from any thread at any time."""
        return self._outputs.make_safe(reason)

    def release(self) -> None:
        """Let go of the emergency stop's latch."""
        self._outputs.release()

    def close(self) -> None:
        """Make the outputs safe and give the pins back."""
        if self._sampler is not None:
            self._sampler.stop()
        self._outputs.close()

    def _within_time(self, tool: Tool, work: Callable[[], ToolResult]) -> ToolResult:
        answers: SimpleQueue[ToolResult] = SimpleQueue()
        # A daemon thread: one that hangs for ever must not keep the process from ending.
        worker = threading.Thread(target=lambda: answers.put(work()), name=f"tool-{tool.spec.name}", daemon=True)
        worker.start()
        try:
            return answers.get(timeout=tool.timeout_s)
        except Empty:
            self._outputs.bar(worker)
            self._hanging[tool.spec.name] = worker
            return ToolResult(
                status="indeterminate",
                message=f"{tool.spec.name} gave no answer within {tool.timeout_s:g} s; its effect is not known.",
            )


def _performed(tool: Tool, call: GroundedCall) -> ToolResult:
    try:
        arguments = tool.typed(call.arguments)
        back = None if tool.undo is None else tool.undo(**arguments)
        did = tool.run(**arguments)
        if isinstance(did, CannotDo):
            return ToolResult(status="failed", message=did.message)
        if tool.check is None:
            return ToolResult(status="done", message=did.message, output=did.output, undo=did.undo or back)
        if not tool.check(did, **arguments):
            return ToolResult(
                status="failed",
                message=f"Tried, but a look afterwards does not bear it out: {did.message}",
                output=did.output,
                postcondition="failed",
            )
        return ToolResult(
            status="done", message=did.message, output=did.output, postcondition="held", undo=did.undo or back
        )
    except ApplianceError as error:
        return ToolResult(status="failed", message=f"{call.tool}: {error}")
    except Exception as error:  # noqa: BLE001 -- a tool is others' code: whatever it raises is its failure, not the daemon's
        return ToolResult(status="failed", message=f"{call.tool} failed: {type(error).__name__}: {error}")
