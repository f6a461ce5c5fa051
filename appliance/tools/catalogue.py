"""A site's settings to the tools that it has, without touching a pin: for checking and simulating laws at a desk."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.toolspec import ToolSpec
from appliance.storage.database import open_database
from appliance.tools import declare, doors, lighting, relays
from appliance.tools.climate import Climate
from appliance.tools.doors import Doors
from appliance.tools.lighting import Lighting
from appliance.tools.relays import Relays
from appliance.tools.sensors import Sensors
from appliance.tools.site import Site
from appliance.tools.toolbox import open_toolbox

_MEASURED: Final[dict[str, tuple[Literal["boolean", "number", "word"], str]]] = {
    "temperature": ("number", "°C"),
    "humidity": ("number", "%"),
    "contact": ("boolean", ""),
}
_SECTIONS: Final[dict[type, str]] = {
    Lighting: "[[site.lights]]",
    Climate: "[site.thermostat]",
    Relays: "[[site.machines]]",
    Doors: "[[site.doors]]",
    Sensors: "[[site.sensors]]",
}
_ENTITIES: Final = {
    "doors": "[[site.doors]]",
    "locks": '[[site.doors]] with kind = "lock"',
    "gates": '[[site.doors]] with kind = "gate"',
}


class NoClock:
    """Declarations do not depend on the time."""

    def now(self) -> datetime:
        """Return the beginning of 1970."""
        return datetime(1970, 1, 1, tzinfo=UTC)

    def monotonic_s(self) -> float:
        """Return no time."""
        return 0.0

    def is_trusted(self) -> bool:
        """Return that nobody knows."""
        return False

    def moment(self) -> Moment:
        """Return it on every clock at once."""
        return Moment(at=self.now(), monotonic_s=0.0, boot=0, clock="untrusted")


class Known(NamedTuple):
    """A site as laws speak of it."""

    specs: tuple[ToolSpec, ...]
    """Every tool, internal ones too."""

    times_s: dict[str, float]
    """By tool: how long a call may take before it counts as hanging."""

    sensors: dict[str, tuple[Literal["boolean", "number", "word"], str]]
    """By name: what a sensor measures, and its unit."""

    devices: dict[str, tuple[str, ...]]
    """By name: the words for how a lamp, machine or door stands."""


def of(site: Site) -> Known:
    """Return what exists at *site*."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_database(Path(folder) / "a.db")
        toolbox = open_toolbox(
            site.model_copy(update={"pins": "simulated"}),
            db=opened.db,
            clock=NoClock(),
            home=Path(folder),
            understand=lambda words: f"no model reads {words!r} here",
        )
        specs, times_s = toolbox.registry.every_spec(), toolbox.registry.times_s()
        toolbox.registry.close()
        opened.db.close()
    return Known(specs, times_s, sensors_of(site), devices_of(site))


def needs() -> dict[str, str]:
    """Return by name, for each tool that wants a device, the section of the settings that brings it."""
    return {
        name: next((_ENTITIES[kind] for kind in kinds if kind in _ENTITIES), section)
        for family, section in _SECTIONS.items()
        for name, kinds in declare.wanted(family).items()
    }


def sensors_of(site: Site) -> dict[str, tuple[Literal["boolean", "number", "word"], str]]:
    """Return by name what each sensor measures, and its unit."""
    return {sensor.name: _MEASURED[sensor.kind] for sensor in site.sensors}


def devices_of(site: Site) -> dict[str, tuple[str, ...]]:
    """Return by name the words for how a lamp, machine or door stands."""
    devices: dict[str, tuple[str, ...]] = {light.name: lighting.WORDS for light in site.lights}
    devices |= {machine.name: relays.WORDS for machine in site.machines}
    return devices | {door.name: doors.WORDS[door.kind] for door in site.doors}
