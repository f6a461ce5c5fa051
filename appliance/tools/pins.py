"""The one place that speaks to gpiozero: an output on a real pin, on a mock pin, or on no pin at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import gpiozero
from gpiozero.pins.mock import MockFactory, MockPWMPin

from appliance.errors import SettingsError

_MODEL = Path("/proc/device-tree/model")


class Channel(Protocol):
    """One output: 0.0 is without current, 1.0 fully on."""

    def write(self, value: float) -> None:
        """Set it."""

    def read(self) -> float:
        """Read it back."""

    def close(self) -> None:
        """Give the pin back."""


class Board(NamedTuple):
    """Where pins are driven."""

    factory: Any
    simulated: bool
    why: str
    """One sentence for the console."""

    def channel(self, pin: int | None, *, dimmable: bool = False, active_high: bool = True) -> Channel:
        """Open an output without current; *pin* None is an output in memory."""
        if pin is None:
            return _InMemory()
        if dimmable:
            return _GpioChannel(gpiozero.PWMOutputDevice(pin, active_high=active_high, pin_factory=self.factory))
        return _GpioChannel(gpiozero.DigitalOutputDevice(pin, active_high=active_high, pin_factory=self.factory))

    def close(self) -> None:
        """Give every pin back."""
        self.factory.close()


def open_board(pins: Literal["auto", "gpio", "simulated"]) -> Board:
    """Find the pins to drive.

    Raises:
        SettingsError: *pins* is `gpio` and no pin driver works here.
    """
    if pins == "simulated":
        return Board(_mock(), simulated=True, why="pins are simulated, as the settings say")
    if pins == "auto" and not _on_a_pi():
        return Board(_mock(), simulated=True, why="pins are simulated: this is not a Raspberry Pi")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one warning per driver that is not installed
            gpiozero.Device.ensure_pin_factory()
        factory = gpiozero.Device.pin_factory
        return Board(factory, simulated=False, why=f"real pins, through {type(factory).__name__}")
    except Exception as error:  # each driver has faults of its own; without one there are no pins
        fault = f"no GPIO driver works here ({error}); install lgpio"
        if pins == "gpio":
            raise SettingsError(f"site.pins: {fault}, or say simulated") from error
        return Board(_mock(), simulated=True, why=f"pins are SIMULATED: {fault}")


def _mock() -> Any:
    return MockFactory(pin_class=MockPWMPin)


def _on_a_pi() -> bool:
    try:
        return "Raspberry Pi" in _MODEL.read_text(errors="replace")
    except OSError:
        return False


class _GpioChannel:
    def __init__(self, device: Any) -> None:
        self._device = device

    def write(self, value: float) -> None:
        self._device.value = value

    def read(self) -> float:
        return float(self._device.value)

    def close(self) -> None:
        self._device.close()


class _InMemory:
    def __init__(self) -> None:
        self._value = 0.0

    def write(self, value: float) -> None:
        self._value = value

    def read(self) -> float:
        return self._value

    def close(self) -> None:
        self._value = 0.0
