"""A site to its registry: every family bound to the devices that it drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from appliance.contracts.clock import Clock
from appliance.storage.database import Database
from appliance.tools import declare, doors, lighting, pins, relays
from appliance.tools.climate import Climate
from appliance.tools.declare import Tool
from appliance.tools.doors import Doors
from appliance.tools.lighting import Lighting
from appliance.tools.notes import Notes
from appliance.tools.outputs import Outputs
from appliance.tools.recurring import Recurring, Understand
from appliance.tools.registry import Registry
from appliance.tools.relays import Relays
from appliance.tools.sensors import Sensors
from appliance.tools.site import Site, Thermostat
from appliance.tools.system import System
from appliance.tools.timers import Timers


class Toolbox(NamedTuple):
    """A site's tools, and the outputs under them."""

    registry: Registry
    outputs: Outputs
    pins: str
    """Where pins are driven, in one sentence."""

    simulated: bool
    """Whether no pin of a real machine moves."""


def open_toolbox(
    site: Site,
    *,
    db: Database,
    clock: Clock,
    home: Path,
    understand: Understand | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    more: Iterable[Tool] = (),
) -> Toolbox:
    """Open the outputs of *site*, safe, and bind its tools; a family without devices offers none.

    Args:
        understand: reads the words of a recurring schedule; absent: schedules cannot be set here.
        more: an integrator's own tools.

    Raises:
        SettingsError: real pins are asked for and none can be driven.
        ToolSchemaError: one of *more* has the name of another tool.
    """
    board = pins.open_board(site.pins)
    channels = lighting.channels(site, board) | relays.channels(site, board) | doors.channels(site, board)
    outputs = Outputs(channels, monotonic=monotonic)
    gates = Doors(site, outputs)
    sensors = Sensors(site, clock, lambda name: None if (door := gates.find(name)) is None else gates.standing(door))
    families: dict[str, object] = {}
    if site.lights:
        families["lights"] = Lighting(site, outputs)
    if site.thermostat is not None:
        families["climate"] = Climate(site.thermostat, outputs, _measure(sensors, site.thermostat))
    if site.machines:
        families["machines"] = Relays(site, outputs)
    if site.doors:
        families["doors"] = gates
    if site.sensors or site.doors:
        families["sensors"] = sensors
    families["timers"] = Timers(site, db, clock)
    if understand is not None:
        families["schedules"] = Recurring(site, db, clock, understand)
    families["notes"] = Notes(db, clock)
    families["system"] = System(clock, home)
    tools = [tool for family in families.values() for tool in declare.bound(family, names=site.names())]
    return Toolbox(Registry([*tools, *more], outputs, families), outputs, board.why, board.simulated)


def _measure(sensors: Sensors, thermostat: Thermostat) -> Callable[[], float | None]:
    return lambda: sensors.read(thermostat.sensor).value
