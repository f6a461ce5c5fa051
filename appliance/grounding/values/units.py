"""Units by the names that people and schemas give them, and conversion between them.

A table of our own: `pint` costs a second and 33 MB at the first conversion (decisions/0021), a quarter of what
the whole appliance may take. A test checks every factor below against pint.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from appliance.contracts.toolspec import Parameter
from appliance.grounding.values import words


class Unit(NamedTuple):
    """A unit: `value * scale + offset` is in its dimension's base."""

    name: str
    dimension: str
    scale: Fraction
    offset: Fraction = Fraction(0)


class _Row(NamedTuple):
    dimension: str
    name: str
    scale: str
    aliases: str
    offset: str = "0"


_TABLE: Final = (
    _Row("time", "second", "1", "s sec secs second seconds"),
    _Row("time", "millisecond", "1/1000", "ms msec msecs millisecond milliseconds"),
    _Row("time", "minute", "60", "min mins minute minutes m"),
    _Row("time", "hour", "3600", "h hr hrs hour hours"),
    _Row("time", "day", "86400", "d day days"),
    _Row("time", "week", "604800", "week weeks wk wks w"),
    _Row("time", "fortnight", "1209600", "fortnight fortnights"),
    _Row("calendar", "month", "1", "month months"),
    _Row("calendar", "year", "12", "year years yr yrs"),
    _Row("calendar", "decade", "120", "decade decades"),
    _Row(
        "temperature",
        "celsius",
        "1",
        "c °c celsius celcius centigrade centigrate degc deg_c degrees_celsius degree_celsius ℃",
    ),
    _Row(
        "temperature",
        "fahrenheit",
        "5/9",
        "f °f fahrenheit farenheit farenheight fahrenheight degf deg_f degrees_fahrenheit degree_fahrenheit ℉",
        "-160/9",
    ),
    _Row("temperature", "kelvin", "1", "k kelvin kelvins", "-5463/20"),
    _Row("ratio", "percent", "1/100", "percent percentage pct % per_cent percents percentages pc"),
    _Row("ratio", "fraction", "1", "fraction ratio"),
    _Row("angle", "degree", "1", "degree degrees deg °"),
    _Row("length", "metre", "1", "m metre metres meter meters"),
    _Row("length", "millimetre", "1/1000", "mm millimetre millimetres millimeter millimeters"),
    _Row("length", "centimetre", "1/100", "cm cms centimetre centimetres centimeter centimeters"),
    _Row("length", "decimetre", "1/10", "dm decimetre decimetres decimeter decimeters"),
    _Row("length", "kilometre", "1000", "km kms kilometre kilometres kilometer kilometers"),
    _Row("length", "inch", "127/5000", "in inch inches"),
    _Row("length", "foot", "381/1250", "ft foot feet"),
    _Row("length", "yard", "1143/1250", "yd yds yard yards"),
    _Row("length", "mile", "201168/125", "mi mile miles"),
    _Row("area", "square metre", "1", "m2 m² sqm sq_m square_metre square_metres square_meter square_meters"),
    _Row(
        "area",
        "square kilometre",
        "1000000",
        "km2 km² sq_km square_kilometre square_kilometres square_kilometer square_kilometers",
    ),
    _Row("area", "hectare", "10000", "ha hectare hectares"),
    _Row("area", "square foot", "145161/1562500", "ft2 ft² sq_ft sqft square_foot square_feet"),
    _Row("mass", "kilogram", "1", "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes"),
    _Row("mass", "milligram", "1/1000000", "mg milligram milligrams"),
    _Row("mass", "microgram", "1/1000000000", "μg ug microgram micrograms microgramme microgrammes"),
    _Row("mass", "gram", "1/1000", "g gram grams gramme grammes"),
    _Row("mass", "tonne", "1000", "t tonne tonnes metric_ton metric_tons"),
    _Row("mass", "ton", "45359237/50000", "ton tons"),
    _Row("mass", "ounce", "45359237/1600000000", "oz ounce ounces"),
    _Row("mass", "pound", "45359237/100000000", "lb lbs pound pounds"),
    _Row("volume", "litre", "1", "l litre litres liter liters"),
    _Row("volume", "millilitre", "1/1000", "ml millilitre millilitres milliliter milliliters cc"),
    _Row("volume", "centilitre", "1/100", "cl centilitre centilitres centiliter centiliters"),
    _Row("volume", "decilitre", "1/10", "dl decilitre decilitres deciliter deciliters"),
    _Row("volume", "cubic metre", "1000", "m3 m³ cubic_metre cubic_metres cubic_meter cubic_meters"),
    _Row("volume", "cubic foot", "55306341/1953125", "ft3 ft³ cu_ft cubic_foot cubic_feet"),
    _Row("volume", "gallon", "473176473/125000000", "gal gallon gallons"),
    _Row("volume", "quart", "473176473/500000000", "qt quart quarts"),
    _Row("volume", "pint", "473176473/1000000000", "pint pints"),
    _Row("volume", "cup", "473176473/2000000000", "cup cups"),
    _Row("volume", "fluid ounce", "473176473/16000000000", "fl_oz fluid_ounce fluid_ounces"),
    _Row("volume", "tablespoon", "473176473/32000000000", "tbsp tablespoon tablespoons"),
    _Row("volume", "teaspoon", "157725491/32000000000", "tsp teaspoon teaspoons"),
    _Row("power", "watt", "1", "w watt watts"),
    _Row("power", "kilowatt", "1000", "kw kilowatt kilowatts"),
    _Row("energy", "joule", "1", "j joule joules"),
    _Row("energy", "kilojoule", "1000", "kj kilojoule kilojoules"),
    _Row("energy", "watt hour", "3600", "wh watt_hour watt_hours"),
    _Row("energy", "kilowatt hour", "3600000", "kwh kilowatt_hour kilowatt_hours"),
    _Row("energy", "kilocalorie", "4184", "kcal kilocalorie kilocalories"),
    _Row("voltage", "volt", "1", "v volt volts"),
    _Row("voltage", "millivolt", "1/1000", "mv millivolt millivolts"),
    _Row("voltage", "kilovolt", "1000", "kv kilovolt kilovolts"),
    _Row("current", "ampere", "1", "amp amps ampere amperes"),
    _Row("current", "milliampere", "1/1000", "ma milliamp milliamps milliampere milliamperes"),
    _Row("frequency", "hertz", "1", "hz hertz"),
    _Row("frequency", "kilohertz", "1000", "khz kilohertz"),
    _Row("frequency", "megahertz", "1000000", "mhz megahertz"),
    _Row("frequency", "gigahertz", "1000000000", "ghz gigahertz"),
    _Row("rotation", "rpm", "1", "rpm revolutions_per_minute rotations_per_minute"),
    _Row("pressure", "pascal", "1", "pa pascal pascals"),
    _Row("pressure", "hectopascal", "100", "hpa hectopascal hectopascals mbar millibar millibars"),
    _Row("pressure", "kilopascal", "1000", "kpa kilopascal kilopascals"),
    _Row("pressure", "bar", "100000", "bar bars"),
    _Row(
        "speed",
        "metre per second",
        "1",
        "m/s mps metres_per_second meters_per_second metre_per_second meter_per_second",
    ),
    _Row("speed", "kilometre per hour", "5/18", "km/h kmh kph kmph km/hr kilometres_per_hour kilometers_per_hour"),
    _Row("speed", "mile per hour", "1397/3125", "mph miles_per_hour mile_per_hour miles_an_hour mile_an_hour"),
    _Row("speed", "knot", "463/900", "knot knots kn"),
    _Row("data", "byte", "1", "b byte bytes"),
    _Row("data", "kilobyte", "1000", "kb kilobyte kilobytes"),
    _Row("data", "megabyte", "1000000", "mb megabyte megabytes"),
    _Row("data", "gigabyte", "1000000000", "gb gigabyte gigabytes gig gigs"),
    _Row("data", "terabyte", "1000000000000", "tb terabyte terabytes"),
    _Row("light", "lux", "1", "lx lux"),
    _Row("luminous flux", "lumen", "1", "lm lumen lumens"),
    _Row("sound", "decibel", "1", "db decibel decibels"),
    _Row("concentration", "ppm", "1", "ppm parts_per_million"),
)

_AMBIGUOUS_ALONE: Final = frozenset({"in", "c", "f", "k", "m", "d", "w", "t", "b", "pc", "g", "h", "l", "s", "v", "j"})
"""Aliases that count in a schema's text only as the suffix of a name."""


def _by_alias() -> Mapping[str, tuple[Unit, ...]]:
    found: dict[str, list[Unit]] = defaultdict(list)
    for row in _TABLE:
        for alias in row.aliases.split():
            unit = Unit(row.name, row.dimension, Fraction(row.scale), Fraction(row.offset))
            spelled = alias.replace("_", " ")
            found[spelled].append(unit)
            if row.dimension == "temperature" and not spelled.startswith(("deg", "°")):
                for prefix in ("degrees ", "degree ", "deg ", "° "):
                    found[prefix + spelled].append(unit)
    return {alias: tuple(units) for alias, units in found.items()}


ALIASES: Final = _by_alias()
"""Every name of a unit; a short one can stand for several (`m`: minute, metre)."""

_LONG: Final = words.alternatives([a for a in ALIASES if a not in _AMBIGUOUS_ALONE])
_IN_TEXT: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\((?:in |0-100 ?|0 ?(?:to|-) ?100 ?)?(?P<unit>{_LONG}|[cfksmhlvw])\)",
        (
            rf"\b(?:in|as a|as|unit:?|units:?) (?:whole |full |degrees )?"
            rf"(?P<unit>{_LONG})(?![\w/]| per\b| an? (?:hour|minute|day))"
        ),
        rf"\bnumber of (?:whole |full )?(?P<unit>{_LONG})(?!\w)",
        r"(?<![\w.])(?P<unit>%|°c|°f|percent(?:age)?|celsius|fahrenheit|seconds|minutes|milliseconds)(?!\w)",
    )
)
_BASED: Final = {"second", "minute", "hour", "day"}


def lookup(name: str, dimension: str | None = None) -> Unit | None:
    """Return the unit called *name*; among namesakes the one of *dimension*, else the first."""
    units = ALIASES.get(words.folded(name).replace("_", " "), ())
    return next((u for u in units if u.dimension == dimension), units[0] if units else None)


def wanted(parameter: Parameter) -> Unit | None:
    """Return the unit that a parameter's value is in: declared, else in its name, else in its description."""
    if parameter.unit is not None:
        unit = _written(parameter.unit, _dimension_of_name(parameter.name))
        return _temperature_degrees(parameter, unit)
    if parameter.kind not in {"integer", "number", "array"}:
        return None
    pieces = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", parameter.name).lower().replace("-", "_").split("_")
    dimension = _dimension_of_name(parameter.name)
    for suffix in (" ".join(pieces[-2:]), pieces[-1]):
        unit = _written(suffix, dimension)
        alone = len(pieces) == 1
        if unit is not None and not (alone and suffix in _AMBIGUOUS_ALONE) and not _is_date_part(suffix, pieces):
            return _temperature_degrees(parameter, unit)
    described = words.folded(parameter.description)
    if described in ALIASES:
        return _temperature_degrees(parameter, lookup(described, dimension))
    for pattern in _IN_TEXT:
        match = pattern.search(described)
        if match is not None:
            return _temperature_degrees(parameter, lookup(match["unit"], dimension))
    return None


def convert(value: Fraction, said: Unit, to: Unit) -> Fraction | None:
    """Return *value* of unit *said* in unit *to*; None when they measure different things.

    A bare "degrees" is a temperature in whatever scale is wanted.
    """
    if said.dimension == to.dimension:
        return (value * said.scale + said.offset - to.offset) / to.scale
    if said.name == "degree" and to.dimension == "temperature":
        return value
    return None


def _written(name: str, dimension: str | None) -> Unit | None:
    """Read a unit that a schema names: `m` is a metre and `w` a watt there, unless the name speaks of time."""
    found = ALIASES.get(words.folded(name).replace("_", " "), ())
    rest = found if dimension is not None else tuple(u for u in found if u.dimension != "time") or found
    return next((u for u in rest if u.dimension == dimension), rest[0] if rest else None)


def _dimension_of_name(name: str) -> str | None:
    lowered = name.lower()
    if any(w in lowered for w in ("duration", "time", "timeout", "delay", "interval", "timer", "wait", "period")):
        return "time"
    return "temperature" if any(w in lowered for w in ("temp", "heat", "cool")) else None


def _temperature_degrees(parameter: Parameter, unit: Unit | None) -> Unit | None:
    """Take "degrees" of a temperature for no unit: the scale is not said."""
    is_heat = _dimension_of_name(parameter.name + " " + parameter.description) == "temperature"
    return None if unit is not None and unit.name == "degree" and is_heat else unit


def _is_date_part(suffix: str, pieces: list[str]) -> bool:
    """`day`, `hour`, `minute`, `month` and `year` in the singular name a part of a date, not an amount."""
    return suffix in _BASED | {"week", "month", "year"} and len(pieces) <= 2
