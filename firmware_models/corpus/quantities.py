"""Ranges such as `5..30 °C` to numeric fields, said in digits or words, with or without the unit."""

import random
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple

from firmware_models.corpus import numerals
from firmware_models.corpus.fields import Field

_SPOKEN: Final = {
    "%": ("%", " %", " percent", " percent", " per cent"),
    "°C": (" degrees", " degrees", "°C", " °C", " degrees Celsius"),
    "degrees": (" degrees", "°"),
    "dB": (" dB", " decibels"),
    "K": (" kelvin", "K"),
    "rpm": (" rpm", " revolutions per minute"),
    "km/h": (" km/h", " kilometers per hour"),
    "m/s": (" m/s", " meters per second"),
    "g": (" grams", " g"),
    "kg": (" kilos", " kg", " kilograms"),
    "mg": (" mg", " milligrams"),
    "ml": (" ml", " milliliters"),
    "cm": (" cm", " centimeters"),
    "mm": (" mm", " millimeters"),
    "m": (" m", " meters"),
    "s": (" seconds", " s"),
    "min": (" minutes", " min"),
    "h": (" hours", " h"),
    "W": (" watts", " W"),
    "kW": (" kW", " kilowatts"),
    "A": (" amps", " A"),
    "V": (" volts", " V"),
    "t": (" tons", " t"),
    "lux": (" lux",),
    "bar": (" bar",),
}


class Range(NamedTuple):
    """A range of a quantity."""

    low: float
    high: float
    unit: str
    step: float


@cache
def parse(text: str) -> Range:
    """Read `5..30 °C`.

    Raises:
        ValueError: not a range.
    """
    bounds, _, unit = text.partition(" ")
    low, _, high = bounds.partition("..")
    span = float(high) - float(low)
    fine = 0.1 if span <= 3 else 0.5
    step = (
        fine if ("." in bounds.replace("..", "") or (span < 10 and unit and unit not in {"min", "s", "days"})) else 1.0
    )
    if span > 4000:
        step = 100.0
    elif span > 400:
        step = 10.0
    return Range(float(low), float(high), unit, step)


def declare(text: str, chance: random.Random, role: str = "quantity") -> Field:
    """Choose how a quantity in the range *text* is declared; *role* narrows what is said."""
    limits = parse(text)
    if role == "smallnum":
        limits = limits._replace(
            low=limits.step, high=limits.step * max(4, min(30, (limits.high - limits.low) // limits.step))
        )
    elif role == "quantity_lo":
        limits = limits._replace(high=_stepped(limits, 0.45))
    elif role == "quantity_hi":
        limits = limits._replace(low=_stepped(limits, 0.55))
    whole = limits.step >= 1 and float(limits.low).is_integer() and role != "plainnum"
    schema: dict[str, object] = {"type": "integer" if whole and chance.random() < 0.75 else "number"}
    bounded = role == "quantity" and chance.random() < 0.6
    if bounded:
        original = parse(text)
        schema["minimum"], schema["maximum"] = _tidy(original.low), _tidy(original.high)

    def say(c: random.Random, now: datetime) -> list[tuple[str, object]]:
        return [_said(_sample(limits, c), limits.unit, c, role)]

    def beyond(c: random.Random) -> tuple[str, object]:
        reach = max(limits.high - limits.low, 1)
        if limits.low > 1 and c.random() < 0.3:
            number = limits.low - max(1.0, round(reach * c.uniform(0.02, 0.3)))
            number = max(number, 0.0) if limits.low >= 0 else number
        else:
            number = limits.high + max(1.0, round(reach * c.choice((0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0))))
        return _said(_tidy(number), limits.unit, c, role)

    return Field(schema, say, beyond=beyond if bounded else None, hint="" if role == "count" else limits.unit)


def _stepped(limits: Range, share: float) -> float:
    steps = (limits.high - limits.low) / limits.step
    return limits.low + round(steps * share) * limits.step


def _sample(limits: Range, chance: random.Random) -> int | float:
    steps = int((limits.high - limits.low) / limits.step)
    at = chance.randint(0, max(steps, 1))
    value = limits.low + at * limits.step
    coarse = 5 if 20 < (limits.high - limits.low) <= 200 else 50 if 400 < (limits.high - limits.low) <= 4000 else 0
    if coarse and chance.random() < 0.7:
        rounded = round(value / coarse) * coarse
        value = rounded if limits.low <= rounded <= limits.high else value
    return _tidy(value)


def _tidy(number: float) -> int | float:
    number = round(number, 3)
    return int(number) if float(number).is_integer() else number


def _said(number: float, unit: str, chance: random.Random, role: str) -> tuple[str, int | float]:
    in_words = chance.random() < 0.35 and abs(number) < 10_000
    spoken = numerals.words(number, hyphen=chance.random() < 0.3) if in_words else str(number)
    if role == "count" and number == 12 and chance.random() < 0.5:
        return "a dozen", 12
    if not unit or role in {"count", "plainnum"} or chance.random() < 0.3:
        return spoken, number
    forms = _SPOKEN.get(unit, (f" {unit}",))
    suffix = chance.choice(forms)
    if in_words and not suffix.startswith(" "):
        suffix = " percent" if unit == "%" else " degrees" if unit in {"°C", "degrees"} else f" {unit}"
    if number == 1 and suffix.strip() in {
        "degrees",
        "minutes",
        "seconds",
        "hours",
        "meters",
        "tons",
        "watts",
        "volts",
        "amps",
        "kilos",
        "grams",
    }:
        suffix = suffix.rstrip("s")
    return spoken + suffix, number
