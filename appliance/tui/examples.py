"""Sentences for a newcomer, made of the devices that are really here."""

from __future__ import annotations

from typing import Any

from appliance.contracts.record import JsonObject

EXAMPLES_N = 4


def examples(devices: JsonObject) -> tuple[str, ...]:
    """Return up to four sentences that this site can act on."""
    lights, machines = _family(devices, "lights"), _family(devices, "machines")
    doors, sensors = _family(devices, "doors"), _family(devices, "sensors")
    rooms = [light["room"] for light in lights.values() if isinstance(light, dict) and light.get("room")]
    found = []
    if rooms:
        found.append(f"dim the {rooms[0]} lights to 30 percent")
    if machines:
        found.append(f"start the {next(iter(machines))} for ten minutes")
    if any(isinstance(s, dict) and s.get("kind") == "temperature" for s in sensors.values()):
        found.append("how warm is it in here")
    locks = [name for name, standing in doors.items() if standing in ("locked", "unlocked")]
    if locks:
        found.append(f"unlock the {locks[0]}")
    spare = (
        "remind me in twenty minutes to check the filter",
        "set a timer for five minutes",
        "what is the device doing",
    )
    return tuple([*found, *spare][:EXAMPLES_N])


def _family(devices: JsonObject, name: str) -> dict[str, Any]:
    family = devices.get(name)
    return family if isinstance(family, dict) else {}
