"""The section `site` of the settings: which rooms, lights, machines, doors and sensors exist here.

The names in it are what people say, so they are what tools accept; nothing else can be switched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from appliance.contracts.record import Record
from appliance.tools.declare import Names

LOWEST_TARGET_C: Final = 5.0
"""Below it pipes freeze."""

HIGHEST_TARGET_C: Final = 30.0
EVERY_LIGHT: Final = ("all lights", "everywhere")
"""Names that mean every light of the site."""

_NAME = re.compile(r"[^\W_][\w' -]*", re.UNICODE)


def _is_sayable(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 60 or name != name.strip() or "  " in name:
        raise ValueError(f"{name!r} is no name that a person can say: letters, digits, single spaces, at most 60")
    return name


Name = Annotated[str, AfterValidator(_is_sayable)]
Pin = Annotated[int, Field(ge=0, le=27, description="GPIO number (BCM) on the 40-pin header")]


class Light(Record):
    """A lamp, or a circuit of them."""

    name: Name
    room: Name
    pin: Pin | None = None
    """Absent: simulated."""

    rgb_pins: Annotated[tuple[Pin, Pin, Pin], Field(strict=False)] | None = None
    """Red, green and blue of a colour light."""

    dimmable: bool = True
    colour: bool = False

    @model_validator(mode="after")
    def _wired_as_described(self) -> Self:
        if self.rgb_pins is not None and (self.pin is not None or not self.colour):
            raise ValueError(f"light {self.name!r}: rgb_pins belong to a light with colour = true and no pin")
        if self.colour and self.pin is not None:
            raise ValueError(f"light {self.name!r}: a colour light has rgb_pins instead of pin")
        if self.colour and not self.dimmable:
            raise ValueError(f"light {self.name!r}: a colour light is dimmable")
        return self


class Machine(Record):
    """Something on a relay that runs for a while."""

    name: Name
    kind: Literal["fan", "pump", "extractor", "heater", "other"] = "other"
    pin: Pin | None = None
    active_high: bool = True
    """False for relay boards that close on a low pin."""

    max_run_s: float = Field(3600.0, gt=0, le=7 * 86400)
    """It stops by itself after this time, whatever happens to the daemon's other parts."""


class Door(Record):
    """A lock or a motor-driven gate; without current it is locked or closed."""

    name: Name
    kind: Literal["lock", "gate"]
    pin: Pin | None = None
    active_high: bool = True


class Sensor(Record):
    """Something that can be read."""

    name: Name
    kind: Literal["temperature", "humidity", "contact"]
    room: Name | None = None
    door: Name | None = None
    """For a contact: the door that it watches. A contact with a room instead watches a window there."""

    path: str | None = None
    """A file of the kernel that holds the value (1-Wire `temperature` or `w1_slave`, IIO, hwmon); absent: simulated.

    A contact is closed at 0 and open at anything else.
    """

    scale: float = 0.001
    """Value = number in the file times this; the kernel counts in thousandths."""


class Thermostat(Record):
    """The heating's limits, and what it measures and switches."""

    min_c: float = Field(LOWEST_TARGET_C, ge=LOWEST_TARGET_C, le=HIGHEST_TARGET_C)
    max_c: float = Field(HIGHEST_TARGET_C, ge=LOWEST_TARGET_C, le=HIGHEST_TARGET_C)
    start_c: float | None = None
    """Target after a start; absent: the heating stays off until someone sets it."""

    sensor: Name
    heater: Name
    band_c: float = Field(0.5, gt=0, le=5)
    """The heater starts this far below the target and stops at it."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_c >= self.max_c:
            raise ValueError(f"thermostat: min_c {self.min_c:g} must be below max_c {self.max_c:g}")
        if self.start_c is not None and not self.min_c <= self.start_c <= self.max_c:
            raise ValueError(f"thermostat: start_c {self.start_c:g} is outside {self.min_c:g} to {self.max_c:g}")
        return self


class Site(Record):
    """What exists at this place, and where it is wired."""

    pins: Literal["auto", "gpio", "simulated"] = "auto"
    """`auto` drives real pins on a Raspberry Pi and mock pins elsewhere."""

    timezone: str | None = None
    """IANA name, for example `Europe/Berlin`; absent: the system's."""

    rooms: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    lights: Annotated[tuple[Light, ...], Field(strict=False)] = ()
    machines: Annotated[tuple[Machine, ...], Field(strict=False)] = ()
    doors: Annotated[tuple[Door, ...], Field(strict=False)] = ()
    sensors: Annotated[tuple[Sensor, ...], Field(strict=False)] = ()
    thermostat: Thermostat | None = None

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str | None) -> str | None:
        if timezone is not None:
            try:
                ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"{timezone!r} is no time zone of this system (try Europe/Berlin)") from error
        return timezone

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _once("rooms", self.rooms)
        _once(
            "lights, machines and doors",
            [*(light.name for light in self.lights), *(m.name for m in self.machines), *(d.name for d in self.doors)],
        )
        _once("sensors", [s.name for s in self.sensors])
        for light in self.lights:
            _known(f"lights: {light.name!r}: room", light.room, self.rooms, "rooms")
            if light.name.casefold() in EVERY_LIGHT:
                raise ValueError(f"lights: {light.name!r} already means every light; choose another name")
        doors = [d.name for d in self.doors]
        for sensor in self.sensors:
            _placed(sensor, self.rooms, doors)
        if self.thermostat is not None:
            heaters = [m.name for m in self.machines if m.kind == "heater"]
            thermometers = [s.name for s in self.sensors if s.kind == "temperature"]
            _known("thermostat: heater", self.thermostat.heater, heaters, "machines of kind heater")
            _known("thermostat: sensor", self.thermostat.sensor, thermometers, "sensors of kind temperature")
        pins = [p for light in self.lights for p in (light.pin, *(light.rgb_pins or ()))]
        pins += [*(m.pin for m in self.machines), *(d.pin for d in self.doors)]
        _once("pins", [f"pin {p}" for p in pins if p is not None])
        return self

    @property
    def law_zone(self) -> tzinfo:
        """Return the zone in which laws mean times of day: the site's, else the system's with its summer time."""
        if self.timezone:
            return ZoneInfo(self.timezone)
        try:
            with Path("/etc/localtime").open("rb") as file:
                return ZoneInfo.from_file(file, key="localtime")
        except (OSError, ValueError):
            return UTC

    @property
    def zone(self) -> ZoneInfo | None:
        """Return the zone in which times of day are meant; None is the system's."""
        return ZoneInfo(self.timezone) if self.timezone else None

    def lights_by_name(self) -> dict[str, tuple[Light, ...]]:
        """Return what people say for lamps, and which lamps they mean: a room, its lights, a lamp, all of them."""
        found: dict[str, tuple[Light, ...]] = {}
        own = {light.name.casefold().removesuffix("s") for light in self.lights}
        for room in self.rooms:
            lights = tuple(light for light in self.lights if light.room == room)
            if lights:
                found[room] = lights
                # "Dim the workshop lights" names no lamp of that name; unless one is called so.
                if f"{room} light".casefold() not in own:
                    found[f"{room} lights"] = lights
        found |= {light.name: (light,) for light in self.lights}
        return found | (dict.fromkeys(EVERY_LIGHT, self.lights) if self.lights else {})

    def runnable(self) -> tuple[Machine, ...]:
        """Return the machines that people start; the thermostat's heater follows a target instead."""
        return tuple(m for m in self.machines if self.thermostat is None or m.name != self.thermostat.heater)

    def names(self) -> Names:
        """Return the names that people say, by kind, for `x-entities`."""
        return {
            "rooms": self.rooms,
            "lights": tuple(self.lights_by_name()),
            "machines": tuple(m.name for m in self.runnable()),
            "doors": tuple(d.name for d in self.doors),
            "locks": tuple(d.name for d in self.doors if d.kind == "lock"),
            "gates": tuple(d.name for d in self.doors if d.kind == "gate"),
        }

    @classmethod
    def demonstration(cls) -> Site:
        """Return the site of a device that nobody has configured: a house with a workshop, every pin simulated."""
        measured = ("workshop", "kitchen", "hall", "office", "bedroom", "living room")
        return cls(
            # The wiring below is nobody's: on a Pi it must not drive what happens to be connected.
            pins="simulated",
            rooms=measured,
            lights=(
                Light(name="workshop ceiling", room="workshop", pin=12),
                Light(name="workbench lamp", room="workshop", pin=16, dimmable=False),
                Light(name="kitchen ceiling", room="kitchen", pin=13),
                Light(name="hall ceiling", room="hall", pin=18),
                Light(name="desk lamp", room="office", pin=19),
                Light(name="bedside lamp", room="bedroom", colour=True, rgb_pins=(20, 21, 22)),
                Light(name="living room ceiling", room="living room", pin=23),
                Light(name="mood light", room="living room", colour=True, rgb_pins=(24, 25, 26)),
            ),
            machines=(
                Machine(name="extractor", kind="extractor", pin=5, max_run_s=2 * 3600),
                Machine(name="fan", kind="fan", pin=6, max_run_s=4 * 3600),
                Machine(name="pump", kind="pump", pin=17, max_run_s=1800),
                Machine(name="heater", kind="heater", pin=27, max_run_s=3600),
            ),
            doors=(
                Door(name="front door", kind="lock", pin=7),
                Door(name="back door", kind="lock", pin=8),
                Door(name="garage", kind="gate", pin=9),
                Door(name="gate", kind="gate", pin=10),
            ),
            sensors=(
                *(Sensor(name=f"{room} temperature", kind="temperature", room=room) for room in measured),
                *(Sensor(name=f"{room} humidity", kind="humidity", room=room) for room in measured),
                *(Sensor(name=f"{d} contact", kind="contact", door=d) for d in ("garage", "gate")),
            ),
            thermostat=Thermostat(sensor="living room temperature", heater="heater"),
        )


def _once(what: str, names: Iterable[str]) -> None:
    counted = Counter(name.casefold() for name in names)
    twice = [name for name, n in counted.items() if n > 1]
    if twice:
        raise ValueError(f"{what}: {twice[0]!r} is there twice")


def _known(where: str, name: str, known: Iterable[str], what: str) -> None:
    names = tuple(known)
    if name not in names:
        raise ValueError(f"{where} {name!r} is not among the {what} ({', '.join(names) or 'there are none'})")


def _placed(sensor: Sensor, rooms: tuple[str, ...], doors: list[str]) -> None:
    where = f"sensors: {sensor.name!r}"
    if sensor.kind == "contact" and (sensor.door is None) == (sensor.room is None):
        raise ValueError(f"{where}: a contact names its door, or the room of its window, and not both")
    if sensor.kind != "contact" and (sensor.room is None or sensor.door is not None):
        raise ValueError(f"{where}: a {sensor.kind} sensor names its room, not a door")
    if sensor.door is not None:
        _known(f"{where}: door", sensor.door, doors, "doors")
    if sensor.room is not None:
        _known(f"{where}: room", sensor.room, rooms, "rooms")
