"""A site to its registry: every family bound to the devices that it drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

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
from appliance.tools.sampler import Measured, Sampler
from appliance.tools.sensors import SILENT_AFTER_S, Sensors, source_of
from appliance.tools.site import Site, Thermostat
from appliance.tools.system import System
from appliance.tools.timers import Timers

THERMOSTAT_LOOKS_S: Final = 1.0


class Toolbox(NamedTuple):
    """A site's tools, and the outputs under them."""

    registry: Registry
    outputs: Outputs
    sampler: Sampler
    """What the site measures, for whoever acts on it."""

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
    sampler = Sampler(lambda source: registry.standing(source.name) if source.kind == "device"
                      else sensors.measured(source.name), clock)  # fmt: skip
    sensors = Sensors(site, clock, gates.standing, sampler, simulated=board.simulated)
    families: dict[str, object] = {}
    if site.lights:
        families["lights"] = Lighting(site, outputs)
    if site.thermostat is not None:
        families["climate"] = Climate(site.thermostat, outputs, _thermometer(sampler, site.thermostat, clock))
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
    registry = Registry([*tools, *more], outputs, families, sampler)
    return Toolbox(registry, outputs, sampler, board.why, board.simulated)


def _thermometer(sampler: Sampler, thermostat: Thermostat, clock: Clock) -> Callable[[], float | None]:
    source = source_of(thermostat.sensor)

    def measure_c() -> float | None:
        # Watched from the first look on, in a thread of its own: a thermometer that hangs must not hang the heating.
        sampler.watch("thermostat", {source: THERMOSTAT_LOOKS_S})
        sampler.fresh((source,))
        sample = sampler.newest(source)
        if sample is None or clock.monotonic_s() - sample.at.monotonic_s > SILENT_AFTER_S:
            return None
        return sample.value.value if isinstance(sample.value, Measured) else None

    return measure_c
