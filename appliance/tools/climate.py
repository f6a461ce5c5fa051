"""The heating: a target temperature, and the heater that follows it.

The target is an order that stands for weeks, so the laws are asked about it again and again: an interlock holds while
its condition does, not only in the moment of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import Field

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.tools import declare, relays
from appliance.tools.declare import CannotDo, Did, Unit
from appliance.tools.orders import Change, Permit
from appliance.tools.outputs import Outputs, OutputsLatched
from appliance.tools.sampler import Stands
from appliance.tools.site import HIGHEST_TARGET_C, LOWEST_TARGET_C, Thermostat

FAMILY: Final = "climate"
DEAD_MAN_S: Final = 60.0
"""The heater goes off by itself when nobody has regulated it for this long: a daemon that hangs overheats no house, and
no law is broken for longer."""


class Climate:
    """A thermostat: compares a sensor with the target and switches the heater."""

    def __init__(self, thermostat: Thermostat, outputs: Outputs, measure_c: Callable[[], float | None]) -> None:
        """Keep what is needed to regulate.

        Args:
            measure_c: the thermostat's sensor; None while it cannot be read.
        """
        self._thermostat = thermostat
        self._outputs = outputs
        self._measure_c = measure_c
        self._output = relays.output_of(thermostat.heater)
        self._target_c = thermostat.start_c
        self._stops_n = outputs.stops_n
        """When the target was set: an emergency stop ends it."""

        self._held = ""
        """Why the laws hold the heater back."""

    def state(self) -> JsonObject:
        """Return the target, the measured temperature, whether the heater is on, and why it is held back."""
        measured_c = self._measure_c()
        shown: JsonObject = {
            "target_c": self._target_c,
            "measured_c": None if measured_c is None else round(measured_c, 2),
            "heating": self._outputs.read(self._output) > 0,
        }
        return shown | ({"held": self._held} if self._held else {})

    def tick(self, permit: Permit) -> tuple[Change, ...]:
        """Switch the heater by what is measured; without a measurement, or against the laws, it is off."""
        if self._outputs.stops_n != self._stops_n:
            self._target_c, self._held = None, ""
        if self._target_c is None:
            return ()
        order = declare.call(Climate.set_temperature, temperature_c=self._target_c)
        before, self._held = self._held, permit(order)
        if self._held:
            self._outputs.settle(self._output)
        else:
            self._regulate(self._target_c)
        return (Change(order, self._held),) if bool(before) != bool(self._held) else ()

    def standing(self, device: str) -> Stands | None:
        """Return whether the heater runs; nobody starts it by hand, so the machines do not know it."""
        if device.casefold() != self._thermostat.heater.casefold():
            return None
        return relays.stands(self._outputs, self._thermostat.heater)

    def _regulate(self, target_c: float) -> None:
        measured_c = self._measure_c()
        if measured_c is None or measured_c >= target_c:
            self._outputs.settle(self._output)
            return
        heating = self._outputs.read(self._output) > 0
        if heating and (self._outputs.left_s(self._output) or 0) > DEAD_MAN_S / 2:
            return
        if heating or measured_c <= target_c - self._thermostat.band_c:
            try:
                self._outputs.energise(self._output, 1.0, for_s=DEAD_MAN_S)
            except OutputsLatched:
                return  # stopped in between; the stop wins

    def _target_is(self, did: Did, temperature_c: float) -> bool:
        return self._target_c == round(temperature_c, 1)

    def _is_off(self, did: Did) -> bool:
        return self._target_c is None and self._outputs.read(self._output) == 0

    def _as_before(self, **_: object) -> ToolCall | None:
        if self._target_c is None:
            return declare.call(Climate.turn_heating_off)
        return declare.call(Climate.set_temperature, temperature_c=self._target_c)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_target_is, undo=_as_before)
    def set_temperature(
        self, temperature_c: Annotated[float, Field(ge=LOWEST_TARGET_C, le=HIGHEST_TARGET_C), Unit("°C")]
    ) -> Did | CannotDo:
        """Set the heating to a temperature: make it warmer or cooler.

        Args:
            temperature_c: target temperature in degrees Celsius
        """
        limits = self._thermostat
        if not limits.min_c <= temperature_c <= limits.max_c:
            return CannotDo(f"The heating can be set from {limits.min_c:g} to {limits.max_c:g} °C.")
        if self._outputs.latched is not None:
            return CannotDo(f"Stopped ({self._outputs.latched}); release the emergency stop first.")
        # The laws have just allowed exactly this; the next tick asks them again.
        self._target_c, self._stops_n, self._held = round(temperature_c, 1), self._outputs.stops_n, ""
        self._regulate(self._target_c)
        measured_c = self._measure_c()
        now = "its sensor cannot be read, so it stays off" if measured_c is None else f"it is {measured_c:.1f} °C now"
        return Did(f"The heating is set to {self._target_c:g} °C; {now}.", self._target_c)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_off, undo=_as_before)
    def turn_heating_off(self) -> Did | CannotDo:
        """Switch off the heating."""
        self._target_c, self._held = None, ""
        self._outputs.settle(self._output)
        return Did("The heating is off.")
