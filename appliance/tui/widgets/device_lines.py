"""The status's `devices` to lines: sign, name and what it does now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple

from textual.content import Content

from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.record import JsonObject
from appliance.tui.glyphs import Glyphs

TITLES: Final = {"climate": "Heating", "timers": "Timers and reminders", "system": "This device"}
ORDER: Final = ("lights", "machines", "doors", "climate", "sensors", "timers", "system")

_SYSTEM: Final = {
    "cpu_pct": ("processor", "%"),
    "memory_used_pct": ("memory", "%"),
    "disk_used_pct": ("disk", "%"),
    "temperature_c": ("temperature", "°C"),
    "throttled": ("throttled", ""),
}
"""What of the device itself is worth a line here."""


def device_lines(
    state: JsonObject, glyphs: Glyphs, elapsed_s: float, zone: tzinfo | None, width: int
) -> Iterator[Content]:
    """Write every family with its devices; one that is not known is written key by key."""
    is_first = True
    for family in [*(name for name in ORDER if name in state), *(name for name in state if name not in ORDER)]:
        found = state[family]
        lines = list(_family_lines(family, found, glyphs, elapsed_s, zone)) if isinstance(found, dict) else []
        if not lines:
            continue
        if not is_first:
            yield Content("")
        is_first = False
        yield Content.styled(TITLES.get(family, plain_name(family).capitalize()), "bold $text-primary")
        for line in lines:
            room = max(4, width - len(line.said) - 1)
            left = f"{line.sign} {line.name}"
            left = left if len(left) <= room else left[: room - 1].rstrip() + "."
            yield Content.assemble((left.ljust(room), line.style), " ", (line.said, line.style))


class Line(NamedTuple):
    """One device's line."""

    sign: str
    name: str
    said: str
    style: str = ""


def _family_lines(
    family: str, found: Mapping[str, Any], glyphs: Glyphs, elapsed_s: float, zone: tzinfo | None
) -> Iterator[Line]:
    match family:
        case "lights":
            yield from (_light(name, value, glyphs) for name, value in found.items())
        case "machines":
            yield from (_machine(name, value, glyphs, elapsed_s) for name, value in found.items())
        case "doors":
            yield from (_door(name, value, glyphs) for name, value in found.items())
        case "climate":
            yield from _climate(found, glyphs)
        case "sensors":
            yield from _sensors(found, glyphs)
        case "timers":
            yield from (_timer(value, glyphs, zone) for value in found.values() if isinstance(value, dict))
        case "system":
            for key, (name, unit) in _SYSTEM.items():
                if found.get(key) is not None:
                    yield Line(glyphs.dot, name, f"{shown_value(found[key])} {unit}".strip(), "$quiet")
        case _:
            yield from (Line(glyphs.dot, plain_name(name), shown_value(value)) for name, value in found.items())


def _light(name: str, value: Any, glyphs: Glyphs) -> Line:
    level = value.get("level_pct", 0) if isinstance(value, dict) else 0
    if not level:
        return Line(glyphs.off, name, "off", "$quiet")
    colour = value.get("colour")
    tint = f" {colour}" if colour and colour != "white" else ""
    return Line(glyphs.on, name, f"{level:g} %{tint}", "bold $text-warning")


def _machine(name: str, value: Any, glyphs: Glyphs, elapsed_s: float) -> Line:
    if not isinstance(value, dict) or not value.get("running"):
        return Line(glyphs.off, name, "off", "$quiet")
    left = value.get("left_s")
    if not isinstance(left, int | float):
        return Line(glyphs.on, name, "on", "bold $text-success")
    left_s = max(0, int(left - elapsed_s))
    return Line(glyphs.on, name, f"on {left_s // 60}:{left_s % 60:02d}", "bold $text-success")


def _door(name: str, value: Any, glyphs: Glyphs) -> Line:
    is_shut = value in ("locked", "closed")
    return Line(
        glyphs.off if is_shut else glyphs.on, name, shown_value(value), "$quiet" if is_shut else "bold $text-error"
    )


def _climate(found: Mapping[str, Any], glyphs: Glyphs) -> Iterator[Line]:
    measured, target = found.get("measured_c"), found.get("target_c")
    is_heating = bool(found.get("heating"))
    yield Line(glyphs.dot, "measured", "-" if measured is None else f"{measured:g} °C")
    yield Line(
        glyphs.dot, "target", "not set" if target is None else f"{target:g} °C", "$quiet" if target is None else ""
    )
    yield Line(glyphs.on if is_heating else glyphs.off, "heater", "on" if is_heating else "off",
               "bold $text-warning" if is_heating else "$quiet")  # fmt: skip


def _sensors(found: Mapping[str, Any], glyphs: Glyphs) -> Iterator[Line]:
    """Put what is measured in the same place on one line."""
    places: dict[str, list[str]] = {}
    faults: set[str] = set()
    for name, value in found.items():
        if not isinstance(value, dict):
            continue
        kind = str(value.get("kind", ""))
        place = name.removesuffix(kind).strip() or name
        places.setdefault(place, []).append(_reading(kind, value))
        if value.get("fault"):
            faults.add(place)
    for place, readings in places.items():
        yield Line(glyphs.dot, place, "  ".join(readings), "$text-error" if place in faults else "")


def _reading(kind: str, value: Mapping[str, Any]) -> str:
    number = value.get("value")
    match kind:
        case _ if number is None:
            return "no reading"
        case "temperature":
            return f"{number:.1f} °C"
        case "humidity":
            return f"{number:.0f} %"
        case "contact":
            return "open" if number else "closed"
        case _:
            return shown_value(number)


def _timer(value: Mapping[str, Any], glyphs: Glyphs, zone: tzinfo | None) -> Line:
    try:
        due = f"{datetime.fromisoformat(str(value.get('due_at'))).astimezone(zone):%a %H:%M}"
    except ValueError:
        due = "?"
    return Line(glyphs.dot, str(value.get("label") or value.get("kind") or "timer"), due)
