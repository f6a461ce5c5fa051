"""Locks and motor gates: locking is easy to take back, opening is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did, Entities
from appliance.tools.outputs import Outputs
from appliance.tools.pins import Board, Channel
from appliance.tools.sampler import Stands
from appliance.tools.site import Door, Site

FAMILY: Final = "doors_and_locks"
WORDS: Final[Mapping[str, tuple[str, str]]] = {"lock": ("unlocked", "locked"), "gate": ("open", "closed")}
"""How a door stands with current, and without."""

LockName = Annotated[str, Entities("locks")]
GateName = Annotated[str, Entities("gates")]


def channels(site: Site, board: Board) -> dict[str, Channel]:
    """Open one output for each door; without current it is locked or closed."""
    return {output_of(d.name): board.channel(d.pin, active_high=d.active_high) for d in site.doors}


def output_of(door: str) -> str:
    """Return the name of a door's output."""
    return f"door/{door}"


class Doors:
    """The doors of a site, as far as they are driven."""

    def __init__(self, site: Site, outputs: Outputs) -> None:
        self._doors = {d.name.casefold(): d for d in site.doors}
        self._outputs = outputs

    def state(self) -> JsonObject:
        """Return how each door is driven."""
        return {door.name: self._stands(door).word for door in self._doors.values()}

    def standing(self, device: str) -> Stands | None:
        """Return `locked`, `unlocked`, `closed` or `open`, as the output of the door says."""
        door = self._find(device)
        return None if door is None else self._stands(door)

    def _stands(self, door: Door) -> Stands:
        powered = self._outputs.read(output_of(door.name)) > 0
        return Stands(WORDS[door.kind][0 if powered else 1], powered)

    def _find(self, name: str) -> Door | None:
        return self._doors.get(name.casefold())

    def _is_locked(self, did: Did, door: str) -> bool:
        return self._is(door, "locked")

    def _is_unlocked(self, did: Did, door: str) -> bool:
        return self._is(door, "unlocked")

    def _is_open(self, did: Did, gate: str) -> bool:
        return self._is(gate, "open")

    def _is_closed(self, did: Did, gate: str) -> bool:
        return self._is(gate, "closed")

    def _lock_as_before(self, door: str) -> ToolCall | None:
        found = self._find(door)
        if found is None:
            return None
        before = Doors.lock_door if self._is(door, "locked") else Doors.unlock_door
        return declare.call(before, door=found.name)

    def _gate_as_before(self, gate: str) -> ToolCall | None:
        found = self._find(gate)
        if found is None:
            return None
        before = Doors.close_gate if self._is(gate, "closed") else Doors.open_gate
        return declare.call(before, gate=found.name)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_locked, undo=_lock_as_before)
    def lock_door(self, door: LockName) -> Did | CannotDo:
        """Lock a door.

        Args:
            door: door to lock
        """
        return self._drive(door, "lock", powered=False)

    @declare.tool(risk=Risk.HIGH, family=FAMILY, check=_is_unlocked, undo=_lock_as_before)
    def unlock_door(self, door: LockName) -> Did | CannotDo:
        """Unlock a door.

        Args:
            door: door to unlock
        """
        return self._drive(door, "lock", powered=True)

    @declare.tool(risk=Risk.HIGH, family=FAMILY, check=_is_open, undo=_gate_as_before)
    def open_gate(self, gate: GateName) -> Did | CannotDo:
        """Open a gate or the garage.

        Args:
            gate: gate or garage to open
        """
        return self._drive(gate, "gate", powered=True)

    @declare.tool(risk=Risk.HIGH, family=FAMILY, check=_is_closed, undo=_gate_as_before)
    def close_gate(self, gate: GateName) -> Did | CannotDo:
        """Close or shut a gate or the garage.

        Args:
            gate: gate or garage to close
        """
        return self._drive(gate, "gate", powered=False)

    def _drive(self, name: str, kind: str, *, powered: bool) -> Did | CannotDo:
        door = self._find(name)
        if door is None or door.kind != kind:
            return CannotDo(f"There is no {kind} called {name}.")
        if powered:
            self._outputs.energise(output_of(door.name), 1.0)
        else:
            self._outputs.settle(output_of(door.name))
        stands = self._stands(door).word
        return Did(f"{door.name.capitalize()}: {stands}.", stands)

    def _is(self, name: str, word: str) -> bool:
        stands = self.standing(name)
        return stands is not None and stands.word == word
