"""Lamps by room or by name: on, off, level, colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.errors import ToolSchemaError
from appliance.tools import declare
from appliance.tools.declare import INTERNAL, CannotDo, Did, Entities, Unit
from appliance.tools.outputs import Outputs
from appliance.tools.pins import Board, Channel
from appliance.tools.sampler import Stands
from appliance.tools.site import Light, Site

FAMILY: Final = "lighting"
WORDS: Final = ("on", "off")
READ_BACK_TOLERANCE: Final = 0.005
"""Half a percent of full brightness: PWM drivers round."""

Colour = Literal["white", "warm white", "red", "orange", "yellow", "green", "blue", "purple", "pink"]
_RGB: Final[Mapping[Colour, tuple[float, float, float]]] = {
    "white": (1.0, 1.0, 1.0), "warm white": (1.0, 0.8, 0.5), "red": (1.0, 0.0, 0.0), "orange": (1.0, 0.4, 0.0),
    "yellow": (1.0, 0.9, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "purple": (0.6, 0.0, 1.0),
    "pink": (1.0, 0.3, 0.6),
}  # fmt: skip

Where = Annotated[str, Entities("lights")]


class Lamp(NamedTuple):
    """What a lamp does."""

    level: float
    colour: Colour


def channels(site: Site, board: Board) -> dict[str, Channel]:
    """Open the outputs of every lamp: one, or one for each of red, green and blue."""
    found: dict[str, Channel] = {}
    for light in site.lights:
        pins = light.rgb_pins or (None, None, None) if light.colour else (light.pin,)
        for output, pin in zip(_outputs(light), pins, strict=True):
            found[output] = board.channel(pin, dimmable=light.dimmable)
    return found


class Lighting:
    """The lamps of a site."""

    def __init__(self, site: Site, outputs: Outputs) -> None:
        self._site = site
        self._outputs = outputs
        self._named = {name.casefold(): lights for name, lights in site.lights_by_name().items()}
        self._colours: dict[str, Colour] = {light.name: "white" for light in site.lights}

    def state(self) -> JsonObject:
        """Return each lamp's room, level and colour."""
        return {light.name: self._shown(light) for light in self._site.lights}

    def standing(self, device: str) -> Stands | None:
        """Return whether a lamp is on; a name that means several lamps is none."""
        light = next((light for light in self._site.lights if light.name.casefold() == device.casefold()), None)
        if light is None:
            return None
        lit = self._lamp(light).level > 0
        return Stands(WORDS[0 if lit else 1], lit)

    def _level_is(self, level: float, room: str) -> bool:
        return all(abs(self._lamp(light).level - level) <= READ_BACK_TOLERANCE for light in self._lights(room))

    def _is_on(self, did: Did, room: str) -> bool:
        return self._level_is(1.0, room)

    def _is_off(self, did: Did, room: str) -> bool:
        return self._level_is(0.0, room)

    def _is_dimmed(self, did: Did, room: str, level_pct: int) -> bool:
        return all(
            abs(self._lamp(light).level - level_pct / 100) <= READ_BACK_TOLERANCE
            for light in self._lights(room)
            if light.dimmable or level_pct in (0, 100)
        )

    def _is_coloured(self, did: Did, room: str, colour: Colour) -> bool:
        return all(self._lamp(light).colour == colour and self._lamp(light).level > 0 for light in self._coloured(room))

    def _is_restored(self, did: Did, lights: str) -> bool:
        wanted = _read_snapshot(lights)
        return all(
            abs(self._lamp(light).level - wanted[light.name].level) <= READ_BACK_TOLERANCE
            for light in self._site.lights
            if light.name in wanted
        )

    def _as_before(self, room: str, **_: object) -> ToolCall | None:
        """Write the call that returns every lamp of *room* to what it does now."""
        lights = self._lights(room)
        levels = {round(self._lamp(light).level * 100) for light in lights}
        match sorted(levels):
            case [0]:
                return declare.call(Lighting.turn_light_off, room=room)
            case [100]:
                return declare.call(Lighting.turn_light_on, room=room)
            case [level] if all(light.dimmable for light in lights):
                return declare.call(Lighting.set_light_level, room=room, level_pct=level)
        return self._snapshot_call(lights)

    def _exactly_as_before(self, room: str, **_: object) -> ToolCall | None:
        return self._snapshot_call(self._lights(room))

    def _before_restoring(self, lights: str) -> ToolCall | None:
        names = _read_snapshot(lights)
        return self._snapshot_call([light for light in self._site.lights if light.name in names])

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_on, undo=_as_before)
    def turn_light_on(self, room: Where) -> Did | CannotDo:
        """Switch on the lights in a room, or one lamp.

        Args:
            room: room or lamp to light up
        """
        return self._set_level(room, 1.0, f"The light is on: {room}.")

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_off, undo=_as_before)
    def turn_light_off(self, room: Where) -> Did | CannotDo:
        """Switch off the lights in a room, or one lamp.

        Args:
            room: room or lamp to make dark
        """
        return self._set_level(room, 0.0, f"The light is off: {room}.")

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_dimmed, undo=_as_before)
    def set_light_level(self, room: Where, level_pct: Annotated[int, Field(ge=0, le=100), Unit("%")]) -> Did | CannotDo:
        """Dim or brighten the lights in a room, or one lamp, to a level in percent.

        Args:
            room: room or lamp to dim
            level_pct: brightness in percent
        """
        if level_pct not in (0, 100) and not any(light.dimmable for light in self._lights(room)):
            return CannotDo(f"The light cannot be dimmed, only switched on and off: {room}.")
        return self._set_level(room, level_pct / 100, f"The light is at {level_pct} %: {room}.")

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_coloured, undo=_exactly_as_before)
    def set_light_colour(self, room: Where, colour: Colour) -> Did | CannotDo:
        """Change the colour of the lights in a room, or of one lamp.

        Args:
            room: room or lamp to colour
            colour: colour of the light
        """
        lights = self._coloured(room)
        if not lights:
            return CannotDo(f"No light there can change its colour: {room}.")
        for light in lights:
            self._write(light, Lamp(self._lamp(light).level or 1.0, colour))
        return Did(f"The light is {colour}: {room}.")

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_restored, undo=_before_restoring, tags=frozenset({INTERNAL}))
    def restore_lights(self, lights: str) -> Did | CannotDo:
        """Return several lamps to what each did before.

        Args:
            lights: lamps with level and colour, for example `desk lamp=30:white, mood light=0:red`
        """
        wanted = _read_snapshot(lights)
        unknown = sorted(set(wanted) - {light.name for light in self._site.lights})
        if unknown:
            return CannotDo(f"There is no light called {unknown[0]}.")
        for light in self._site.lights:
            if light.name in wanted:
                self._write(light, wanted[light.name])
        return Did(f"The lights are as before: {', '.join(wanted)}.")

    def _lights(self, room: str) -> tuple[Light, ...]:
        return self._named.get(room.casefold(), ())

    def _coloured(self, room: str) -> list[Light]:
        return [light for light in self._lights(room) if light.colour]

    def _set_level(self, room: str, level: float, message: str) -> Did | CannotDo:
        lights = self._lights(room)
        if not lights:
            return CannotDo(f"There is no light there: {room}.")
        for light in lights:
            if light.dimmable or level in (0.0, 1.0):
                self._write(light, Lamp(level, self._colours[light.name]))
        return Did(message)

    def _write(self, light: Light, lamp: Lamp) -> None:
        shares = _RGB[lamp.colour] if light.colour else (1.0,)
        for output, share in zip(_outputs(light), shares, strict=True):
            if lamp.level * share == 0:
                self._outputs.settle(output)
            else:
                self._outputs.energise(output, lamp.level * share)
        self._colours[light.name] = lamp.colour

    def _lamp(self, light: Light) -> Lamp:
        """Read a lamp back from its pins; a dark one has the colour it had last."""
        values = [self._outputs.read(output) for output in _outputs(light)]
        level = max(values)
        colour = self._colours[light.name]
        if light.colour and level > 0:
            colour = min(_RGB, key=lambda c: sum(abs(v / level - s) for v, s in zip(values, _RGB[c], strict=True)))
        return Lamp(level, colour)

    def _shown(self, light: Light) -> JsonObject:
        lamp = self._lamp(light)
        shown: JsonObject = {"room": light.room, "level_pct": round(lamp.level * 100)}
        return shown | ({"colour": lamp.colour} if light.colour else {})

    def _snapshot_call(self, lights: Sequence[Light]) -> ToolCall:
        parts = (f"{light.name}={round(self._lamp(light).level * 100)}:{self._lamp(light).colour}" for light in lights)
        return declare.call(Lighting.restore_lights, lights=", ".join(parts))


def _outputs(light: Light) -> tuple[str, ...]:
    base = f"light/{light.name}"
    return (f"{base}/red", f"{base}/green", f"{base}/blue") if light.colour else (base,)


def _read_snapshot(text: str) -> dict[str, Lamp]:
    found: dict[str, Lamp] = {}
    for part in text.split(", "):
        name, _, rest = part.partition("=")
        level, _, colour = rest.partition(":")
        known = next((c for c in _RGB if c == colour), None)
        if not level.isdigit() or int(level) > 100 or known is None:
            raise ToolSchemaError(f"lights: {part!r} is not of the form name=level:colour")
        found[name] = Lamp(int(level) / 100, known)
    return found
