"""Temperature, humidity and door contacts, read where the kernel shows them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import Risk
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did, Entities
from appliance.tools.sampler import Measured, Sampler, Source, Stands
from appliance.tools.site import Sensor, Site

FAMILY: Final = "sensors"
MAX_FILE_BYTES: Final = 4096
SHOWN_FOR_S: Final = 10.0
"""Age at which a console gets a new measurement: a DS18B20 takes 0.75 s, and a console looks every second."""

SILENT_AFTER_S: Final = 30.0
"""A sensor that has said nothing for so long is broken: the console says so, and the heater goes off."""

_W1_SLAVE = re.compile(r"\bt=(-?\d+)")
_POWER_ON_RESET_C: Final = 85.0
"""What a DS18B20 answers when it lost power during the measurement (its data sheet, table 1)."""


class Reading(NamedTuple):
    """A measured value, or why there is none."""

    value: float | None
    fault: str = ""
    simulated: bool = False


class Sensors:
    """The sensors of a site."""

    def __init__(
        self, site: Site, clock: Clock, standing: Callable[[str], Stands | None], sampler: Sampler, *, simulated: bool
    ) -> None:
        """Keep what is needed to read.

        Args:
            standing: how a door is driven, or None if there is no such door; a simulated contact follows it.
            sampler: has the newest of every sensor for the console, which must not wait for one that hangs.
            simulated: no pin of a real machine moves here.
        """
        self._site = site
        self._clock = clock
        self._standing = standing
        self._sampler = sampler
        self._all_simulated = simulated

    def state(self) -> JsonObject:
        """Return every sensor's newest value; a person who asks for it gets a new measurement."""
        files = {source_of(s.name): SHOWN_FOR_S for s in self._site.sensors if s.path is not None}
        if files:
            self._sampler.watch("console", files)
            self._sampler.fresh([source for source in files if self._sampler.newest(source) is None])
        return {sensor.name: self._shown(sensor) for sensor in self._site.sensors}

    def read(self, name: str) -> Reading:
        """Read the sensor called *name*."""
        sensor = next((s for s in self._site.sensors if s.name == name), None)
        return Reading(None, f"there is no sensor called {name}") if sensor is None else self._read(sensor)

    def measured(self, name: str) -> Measured | None:
        """Read *name* for what acts on it: the laws, the heating; a contact is true while it is open.

        Beside real machines a simulated sensor measures nothing: nobody's pump runs by an invented value.
        """
        sensor = next((s for s in self._site.sensors if s.name.casefold() == name.casefold()), None)
        if sensor is None:
            return None
        reading = self._read(sensor)
        if reading.value is None:
            return Measured(None, reading.fault)
        if reading.simulated and not self._all_simulated:
            return Measured(None, "simulated, beside real machines")
        return Measured(bool(reading.value) if sensor.kind == "contact" else reading.value)

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def read_temperature(self, room: Annotated[str, Entities("rooms")] | None = None) -> Did | CannotDo:
        """Tell the temperature: how warm or cold it is in a room.

        Args:
            room: room to measure
        """
        return self._measured("temperature", room, "°C")

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def read_humidity(self, room: Annotated[str, Entities("rooms")] | None = None) -> Did | CannotDo:
        """Tell the humidity: how damp or dry it is in a room.

        Args:
            room: room to measure
        """
        return self._measured("humidity", room, "%")

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def check_door(self, door: Annotated[str, Entities("doors")]) -> Did | CannotDo:
        """Tell whether a door, gate or garage is open, closed or locked.

        Args:
            door: door, gate or garage to look at
        """
        standing = self._standing(door)
        if standing is None:
            return CannotDo(f"There is no door called {door}.")
        contact = next((s for s in self._site.sensors if (s.door or "").casefold() == door.casefold()), None)
        if contact is None:
            said = f"{door.capitalize()}: {standing.word} (as driven; no contact watches it)."
            return Did(said, standing.word)
        reading = self._read(contact)
        if reading.value is None:
            said = f"{door.capitalize()}: driven {standing.word}; its contact is unreadable: {reading.fault}."
            return Did(said, standing.word)
        seen = "open" if reading.value else "closed"
        return Did(f"{door.capitalize()}: {seen}{_note(reading)}.", seen)

    def _measured(self, kind: str, room: str | None, unit: str) -> Did | CannotDo:
        sensors = [
            s
            for s in self._site.sensors
            if s.kind == kind and (room is None or (s.room or "").casefold() == room.casefold())
        ]
        if not sensors:
            return CannotDo(f"There is no {kind} sensor{f' in the {room}' if room else ''}.")
        readings = [(sensor, self._read(sensor)) for sensor in sensors]
        parts = [
            f"{s.room} {r.value:.1f} {unit}{_note(r)}" if r.value is not None else f"{s.room} unavailable ({r.fault})"
            for s, r in readings
        ]
        message = f"{kind.capitalize()}: {', '.join(parts)}."
        if all(r.value is None for _, r in readings):
            return CannotDo(message)
        return Did(message, {s.name: None if r.value is None else round(r.value, 2) for s, r in readings})

    def _read(self, sensor: Sensor) -> Reading:
        return self._simulated(sensor) if sensor.path is None else _from_file(sensor, Path(sensor.path))

    def _simulated(self, sensor: Sensor) -> Reading:
        if sensor.kind == "contact":
            standing = self._standing(sensor.door or "")
            return Reading(1.0 if standing is not None and standing.powered else 0.0, simulated=True)
        # A calm day: warmest and driest at 15:00.
        hour = self._clock.now().astimezone(self._site.zone)
        swing = math.cos((hour.hour + hour.minute / 60 - 15) / 24 * 2 * math.pi)
        return Reading(20.0 + 2 * swing if sensor.kind == "temperature" else 50.0 - 8 * swing, simulated=True)

    def _shown(self, sensor: Sensor) -> JsonObject:
        reading = self._read(sensor) if sensor.path is None else self._newest(sensor)
        shown: JsonObject = {
            "kind": sensor.kind,
            "value": None if reading.value is None else round(reading.value, 2),
            "simulated": reading.simulated,
        }
        return shown | ({"fault": reading.fault} if reading.fault else {})

    def _newest(self, sensor: Sensor) -> Reading:
        sample = self._sampler.newest(source_of(sensor.name))
        if sample is None or not isinstance(sample.value, Measured):
            return Reading(None, f"{sensor.path}: no answer yet")
        if self._clock.monotonic_s() - sample.at.monotonic_s > SILENT_AFTER_S:
            return Reading(None, f"{sensor.path}: no answer any more")
        value, fault = sample.value
        return Reading(None if value is None else float(value), fault)


def source_of(sensor: str) -> Source:
    """Return what a sensor is to the sampler; names are said in any case."""
    return Source("sensor", sensor.casefold())


def _note(reading: Reading) -> str:
    return " (simulated)" if reading.simulated else ""


def _from_file(sensor: Sensor, path: Path) -> Reading:
    """Read a kernel file: a bare number, or `w1_slave` with its checksum line."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("ascii", errors="replace").strip()
    except OSError as error:
        return Reading(None, f"{path}: {error.strerror}")
    if "crc=" in text:
        found = _W1_SLAVE.search(text)
        if found is None or "YES" not in text:
            return Reading(None, f"{path}: checksum of the 1-Wire transfer is wrong")
        text = found[1]
    try:
        value = float(text) * sensor.scale
    except ValueError:
        return Reading(None, f"{path}: {text[:40]!r} is no number")
    if not math.isfinite(value):
        return Reading(None, f"{path}: {text[:40]!r} is no measurement")
    if sensor.kind == "temperature" and value == _POWER_ON_RESET_C and "w1" in path.name:
        return Reading(None, f"{path}: 85 °C is the sensor's power-on value, not a measurement")
    return Reading(value)
