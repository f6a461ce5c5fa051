"""The device about itself: what it measures now; what cannot be measured is said to be unavailable."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Final

import psutil
from pydantic import Field, JsonValue

from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.toolspec import Risk
from appliance.tools import addresses, declare
from appliance.tools.declare import INTERNAL, CannotDo, Did

FAMILY: Final = "system"
MAX_NOTICE_CHARS: Final = 500
CPU_LOOK_S: Final = 0.1
"""Ten ticks of the kernel's accounting: coarse, and nobody waits for it."""

VCGENCMD_TIMEOUT_S: Final = 1.0

_THROTTLED_SYSFS = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
# Bits of `get_throttled`; source: Raspberry Pi documentation, "vcgencmd".
_THROTTLED_BITS: Final = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


class System:
    """The device itself."""

    def __init__(self, clock: Clock, home: Path) -> None:
        """Keep what is needed to look.

        Args:
            home: the folder whose disk matters.
        """
        self._clock = clock
        self._home = home
        self._cpu_seen = False

    def state(self) -> JsonObject:
        """Measure the device; None is "unavailable", also for the first look at the processor's load."""
        # psutil compares with its previous look, and answers 0 when there was none.
        cpu_pct = psutil.cpu_percent(interval=None)
        cpu_known, self._cpu_seen = self._cpu_seen, True
        return self._measured(cpu_pct if cpu_known else None)

    def _measured(self, cpu_pct: float | None) -> JsonObject:
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(str(self._home))
        moment = self._clock.moment()
        return {
            "cpu_pct": cpu_pct,
            "load_1min": round(os.getloadavg()[0], 2),
            "memory_used_pct": memory.percent,
            "memory_available_bytes": memory.available,
            "disk_used_pct": disk.percent,
            "disk_free_bytes": disk.free,
            "temperature_c": _temperature_c(),
            "throttled": _throttled(),
            "network": _network(),
            "time": moment.clock,
            "at": moment.at.isoformat(timespec="seconds"),
            "uptime_s": round(moment.at.timestamp() - psutil.boot_time()),
            "machine": platform.machine(),
        }

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def report_device_status(self) -> Did | CannotDo:
        """Tell how this device is doing: processor, memory, disk, temperature, network and clock."""
        state = self._measured(psutil.cpu_percent(interval=CPU_LOOK_S))
        return Did(_spoken(state), state)

    @declare.tool(risk=Risk.READ, family=FAMILY, tags=frozenset({INTERNAL}))
    def announce(self, text: Annotated[str, Field(max_length=MAX_NOTICE_CHARS)]) -> Did | CannotDo:
        """Say something to whoever looks at the device; timers and reminders end here.

        Args:
            text: what to say
        """
        return Did(text)


def _spoken(state: JsonObject) -> str:
    def or_unavailable(key: str, unit: str) -> str:
        return "unavailable" if state[key] is None else f"{state[key]}{unit}"

    free_gib = float(str(state["disk_free_bytes"])) / 2**30
    troubles = state["throttled"]
    throttling = "unavailable" if troubles is None else ", ".join(map(str, list(troubles))) or "none"  # type: ignore[arg-type]
    interfaces = ", ".join(state["network"]) if isinstance(state["network"], dict) else ""
    return (
        f"Processor {state['cpu_pct']} % (load {state['load_1min']}), memory {state['memory_used_pct']} % used, "
        f"disk {state['disk_used_pct']} % used ({free_gib:.1f} GiB free), "
        f"temperature {or_unavailable('temperature_c', ' °C')}, throttling {throttling}, "
        f"network {interfaces or 'not connected'}, clock {state['time']}."
    )


def _temperature_c() -> float | None:
    try:
        return round(int(_THERMAL.read_text()) / 1000, 1)
    except (OSError, ValueError):
        pass
    # psutil has no sensors on macOS and reads nothing in most containers.
    for readings in getattr(psutil, "sensors_temperatures", dict)().values():
        for reading in readings:
            return round(float(reading.current), 1)
    return None


def _throttled() -> list[JsonValue] | None:
    """Return what holds the processor back now; None where no firmware says so."""
    try:
        bits = int(_THROTTLED_SYSFS.read_text(), 16)
    except (OSError, ValueError):
        asked = _vcgencmd()
        if asked is None:
            return None
        bits = asked
    return [name for bit, name in _THROTTLED_BITS.items() if bits >> bit & 1]


def _vcgencmd() -> int | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=VCGENCMD_TIMEOUT_S, check=True
        )
        return int(answer.stdout.strip().removeprefix("throttled="), 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _network() -> JsonObject:
    """Return the interfaces that are up and have an address, loopback aside."""
    return {name: list(numbers) for name, numbers in addresses.addresses().items()}
