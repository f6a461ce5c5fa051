"""The heating: a target temperature, and the heater that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import Field

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.tools import declare, relays
from appliance.tools.declare import CannotDo, Did, Unit
from appliance.tools.outputs import Outputs, OutputsLatched
from appliance.tools.site import HIGHEST_TARGET_C, LOWEST_TARGET_C, Thermostat

FAMILY: Final = "climate"
DEAD_MAN_S: Final = 300.0
"""The heater goes off by itself when nobody has regulated it for this long: a daemon that hangs overheats no house."""


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

    def state(self) -> JsonObject:
        """Return the target, the measured temperature, and whether the heater is on."""
        measured_c = self._measure_c()
        return {
            "target_c": self._target_c,
            "measured_c": None if measured_c is None else round(measured_c, 2),
            "heating": self._outputs.read(self._output) > 0,
        }

    def tick(self) -> None:
        """Switch the heater by what is measured; without a measurement it is off."""
        if self._target_c is None or self._outputs.latched is not None:
            return
        measured_c = self._measure_c()
        if measured_c is None or measured_c >= self._target_c:
            self._outputs.settle(self._output)
            return
        heating = self._outputs.read(self._output) > 0
        if heating and (self._outputs.left_s(self._output) or 0) > DEAD_MAN_S / 2:
            return
        if heating or measured_c <= self._target_c - self._thermostat.band_c:
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
        self._target_c = round(temperature_c, 1)
        self.tick()
        measured_c = self._measure_c()
        now = "its sensor cannot be read, so it stays off" if measured_c is None else f"it is {measured_c:.1f} °C now"
        return Did(f"The heating is set to {self._target_c:g} °C; {now}.", self._target_c)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_off, undo=_as_before)
    def turn_heating_off(self) -> Did | CannotDo:
        """Switch off the heating."""
        self._target_c = None
        self._outputs.settle(self._output)
        return Did("The heating is off.")
