"""Machines on relays: they run for a while and stop by themselves, earlier if the laws turn against it.

A machine that was stopped so does not start again by itself, whatever becomes of the reason: somebody asks for it.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did, Entities, Unit
from appliance.tools.orders import Change, Permit
from appliance.tools.outputs import Outputs
from appliance.tools.pins import Board, Channel
from appliance.tools.sampler import Stands
from appliance.tools.site import Machine, Site

FAMILY: Final = "relays"
WORDS: Final = ("running", "stopped")
MachineName = Annotated[str, Entities("machines")]


def channels(site: Site, board: Board) -> dict[str, Channel]:
    """Open one output for each machine."""
    return {output_of(m.name): board.channel(m.pin, active_high=m.active_high) for m in site.machines}


def output_of(machine: str) -> str:
    """Return the name of a machine's output."""
    return f"machine/{machine}"


def stands(outputs: Outputs, machine: str) -> Stands:
    """Return how a machine stands, read back from its output."""
    runs = outputs.read(output_of(machine)) > 0
    return Stands(WORDS[0 if runs else 1], runs)


class Relays:
    """The machines of a site."""

    def __init__(self, site: Site, outputs: Outputs) -> None:
        self._machines = {m.name.casefold(): m for m in site.runnable()}
        self._outputs = outputs
        self._orders: dict[str, ToolCall] = {}
        """By machine: the call that set it going."""

        self._held: dict[str, str] = {}
        """By machine: why the laws have stopped it."""

    def state(self) -> JsonObject:
        """Return which machines run, for how much longer, and which the laws have stopped."""
        return {machine.name: self._shown(machine) for machine in self._machines.values()}

    def standing(self, device: str) -> Stands | None:
        """Return whether a machine runs."""
        machine = self._machine(device)
        return None if machine is None else stands(self._outputs, machine.name)

    def tick(self, permit: Permit) -> tuple[Change, ...]:
        """Stop what the laws do not permit any more."""
        changes = []
        for name, order in tuple(self._orders.items()):
            if not self._outputs.read(output_of(name)):
                del self._orders[name]
                continue
            held = permit(order)
            if held:
                self._outputs.settle(output_of(name))
                del self._orders[name]
                self._held[name] = held
                changes.append(Change(order, held))
        return tuple(changes)

    def _shown(self, machine: Machine) -> JsonObject:
        left_s = self._outputs.left_s(output_of(machine.name))
        shown: JsonObject = {"running": self._runs(machine), "left_s": None if left_s is None else round(left_s)}
        held = self._held.get(machine.name)
        return shown | ({"held": held} if held else {})

    def _is_running(self, did: Did, machine: str, minutes: float | None) -> bool:
        found = self._machine(machine)
        return found is not None and self._runs(found) and self._outputs.left_s(output_of(found.name)) is not None

    def _is_stopped(self, did: Did, machine: str) -> bool:
        found = self._machine(machine)
        return found is not None and not self._runs(found)

    def _as_before(self, machine: str, **_: object) -> ToolCall | None:
        """Stop what stood still; start what ran, for the time that it still had."""
        found = self._machine(machine)
        if found is None:
            return None
        left_s = self._outputs.left_s(output_of(found.name))
        if not self._runs(found) or not left_s:
            return declare.call(Relays.stop_machine, machine=found.name)
        return declare.call(Relays.start_machine, machine=found.name, minutes=max(round(left_s / 60, 2), 0.01))

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_running, undo=_as_before)
    def start_machine(
        self, machine: MachineName, minutes: Annotated[float | None, Field(gt=0, le=10080), Unit("min")] = None
    ) -> Did | CannotDo:
        """Start or run a machine such as a fan, a pump or an extractor, for some minutes.

        Args:
            machine: machine to run
            minutes: how long it runs, in minutes
        """
        found = self._machine(machine)
        if found is None:
            return CannotDo(f"There is no machine called {machine}.")
        run_s = found.max_run_s if minutes is None else minutes * 60
        if run_s > found.max_run_s:
            return CannotDo(f"The {found.name} may run for {_spoken(found.max_run_s)} at most.")
        given = {"machine": found.name} if minutes is None else {"machine": found.name, "minutes": minutes}
        # Known before it runs, so that nothing ever runs of which the laws are not asked.
        self._orders[found.name] = declare.call(Relays.start_machine, **given)
        self._held.pop(found.name, None)
        self._outputs.energise(output_of(found.name), 1.0, for_s=run_s)
        return Did(f"The {found.name} runs and stops by itself in {_spoken(run_s)}.", {"run_s": run_s})

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_stopped, undo=_as_before)
    def stop_machine(self, machine: MachineName) -> Did | CannotDo:
        """Stop a machine such as a fan, a pump or an extractor.

        Args:
            machine: machine to stop
        """
        found = self._machine(machine)
        if found is None:
            return CannotDo(f"There is no machine called {machine}.")
        self._outputs.settle(output_of(found.name))
        self._held.pop(found.name, None)
        return Did(f"The {found.name} is stopped.")

    def _machine(self, name: str) -> Machine | None:
        return self._machines.get(name.casefold())

    def _runs(self, machine: Machine) -> bool:
        return self._outputs.read(output_of(machine.name)) > 0


def _spoken(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} seconds"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60, 1):g} minutes"
    return f"{round(seconds / 3600, 1):g} hours"
