"""Our table of units against pint, and where a parameter says its unit."""

from fractions import Fraction

import pint
import pytest

from appliance.contracts.toolspec import Parameter
from appliance.grounding.values import units

REGISTRY = pint.UnitRegistry()
PINT = {
    "celsius": "degC", "fahrenheit": "degF", "fraction": "dimensionless", "cubic metre": "metre**3",
    "fluid ounce": "floz",
    "square metre": "metre**2", "square kilometre": "kilometre**2", "square foot": "foot**2", "cubic foot": "foot**3",
    "metre per second": "metre/second", "kilometre per hour": "kilometre/hour", "mile per hour": "mile/hour",
    "watt hour": "watt*hour", "kilowatt hour": "kilowatt*hour", "tonne": "metric_ton", "ton": "short_ton",
    "month": None,
    "year": None, "decade": None, "decibel": None, "rpm": "rpm",
}  # fmt: skip
KNOWN = sorted({unit for found in units.ALIASES.values() for unit in found if PINT.get(unit.name, "") is not None})


@pytest.mark.parametrize("unit", KNOWN, ids=lambda unit: unit.name)
def test_every_factor_is_pints(unit):
    base = next(u for u in KNOWN if u.dimension == unit.dimension and u.scale == 1 and not u.offset)
    ours = units.convert(Fraction(7), unit, base)

    theirs = REGISTRY.Quantity(7, PINT.get(unit.name, unit.name.replace(" ", "_"))).to(
        PINT.get(base.name, base.name.replace(" ", "_"))
    )

    assert float(ours) == pytest.approx(theirs.magnitude, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "description", "declared", "unit"),
    [
        ("duration_s", "", None, "second"),
        ("durationMinutes", "", None, "minute"),
        ("duration_m", "", None, "minute"),
        ("length_m", "", None, "metre"),
        ("minutes", "", None, "minute"),
        ("level_pct", "", None, "percent"),
        ("target_c", "", None, "celsius"),
        ("setpoint_f", "", None, "fahrenheit"),
        ("level", "Brightness in percent", None, "percent"),
        ("level", "Brightness %", None, "percent"),
        ("run_time", "How long to run, in minutes", None, "minute"),
        ("timeout", "number of seconds to wait", None, "second"),
        ("volume", "Amount (ml)", None, "millilitre"),
        ("speed", "km/h", None, "kilometre per hour"),
        ("temperature", "Target in degrees Celsius", None, "celsius"),
        ("temperature", "Target in degrees", None, None),
        ("angle", "Angle in degrees", None, "degree"),
        ("amount", "anything", "W", "watt"),
        ("hour", "Hour of the day", None, None),
        ("day", "Day of the month", None, None),
        ("count", "number of items in the basket", None, None),
        ("brightness", "0 to 255", None, None),
    ],
)
def test_a_parameter_says_its_unit_by_declaration_name_or_description(name, description, declared, unit):
    found = units.wanted(Parameter(name=name, description=description, unit=declared, kind="integer"))

    assert (found.name if found else None) == unit


def test_things_that_measure_differently_do_not_convert():
    assert units.convert(Fraction(1), units.lookup("kg"), units.lookup("minute")) is None
