"""Words to the number that a numeric parameter wants, in its unit."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from appliance.contracts.toolcall import RefusalCode
from appliance.contracts.toolspec import Parameter
from appliance.grounding import schema
from appliance.grounding.schema import Objection
from appliance.grounding.values import durations, numbers, quantities, times, units, words
from appliance.grounding.values.quantities import Quantity
from appliance.grounding.values.units import Unit

_FULL: Final = re.compile(
    r"(?:at |to |on )?(?:the )?(?:full|fully|full blast|fully open|wide open"
    r"|all the way(?: up| open)?|max|maximum|highest|completely)(?: \w+)?"
)
_EMPTY: Final = re.compile(r"(?:at |to |on )?(?:the )?(?:min|minimum|lowest)(?: \w+)?")
_SHUT: Final = re.compile(r"(?:shut|closed?|off|fully closed|all the way down)")
_OPEN: Final = re.compile(r"(?:open(?:ed)?)")
_FRACTION: Final = re.compile(r"\b(?:half|third|thirds|quarter|quarters|fifths?|tenths?)\b|/")
_ROUNDED: Final = frozenset({"temperature", "length", "mass", "volume", "speed", "pressure", "energy", "ratio"})
"""Where a converted value may be rounded to a whole number: nobody means 21.11 degrees by 70 F."""

_ROUNDING: Final = Fraction(2, 100)


def read(parameter: Parameter, said: str) -> int | float | Objection:
    """Return the number that *said* says, converted to the parameter's unit, never clamped."""
    unit = units.wanted(parameter)
    quantity = quantities.read(said, unit) or _rate(said, unit)
    if quantity is None:
        special = _special(parameter, said, unit)
        return special if special is not None else _unreadable(parameter, said, unit)
    value, is_converted = quantity.value, False
    if unit is None:
        share = _share_of_one(parameter, quantity.unit)
        if share:
            value, is_converted = value / 100, True
        elif quantity.unit is not None and quantity.unit.name == "percent" and not _takes_percent(parameter):
            return _unreadable(parameter, said, unit)
    elif quantity.unit is None:
        if unit.name == "percent" and 0 < value < 1 and _FRACTION.search(words.folded(said)):
            value *= 100
    else:
        converted = units.convert(value, quantity.unit, unit)
        if converted is None:
            return _unreadable(parameter, said, unit)
        is_converted = quantity.unit.name not in {unit.name, "degree"}
        value = converted
    return _as_json(parameter, value, unit, said, is_converted=is_converted)


def _as_json(
    parameter: Parameter, value: Fraction, unit: Unit | None, said: str, *, is_converted: bool
) -> int | float | Objection:
    if abs(value) > schema.MAX_INTEGER:
        return Objection(RefusalCode.OUT_OF_RANGE, f'"{said.strip()}" is too large a number.')
    if value.denominator == 1:
        return int(value)
    if parameter.kind == "number":
        exact = float(value)
        if not is_converted:
            return exact
        return round(exact, 2) if unit is not None and unit.dimension == "temperature" else float(f"{exact:.6g}")
    nearest = round(value)
    if (
        is_converted
        and unit is not None
        and unit.dimension in _ROUNDED
        and abs(nearest - value) <= _ROUNDING * abs(value)
    ):
        return nearest
    wants = f" of {unit.name}s" if unit is not None and unit.dimension == "time" else ""
    reason = f'{parameter.name} wants a whole number{wants}; "{said.strip()}" is {float(value):g}.'
    return Objection(RefusalCode.UNREADABLE, reason)


def _special(parameter: Parameter, said: str, unit: Unit | None) -> int | float | None:
    """Read what is a number only here: an ordinal, a clock time for an hour, "full" and "shut" for a share."""
    ordinal = numbers.read_ordinal(said)
    if ordinal is not None:
        return ordinal
    phrase = words.value_words(said)
    if parameter.name.lower() in {"hour", "hours", "hour_of_day", "start_hour", "end_hour"}:
        clock = times.read(phrase)
        return clock.hour if clock is not None and not clock.minute else None
    if unit is not None and unit.dimension == "time":
        duration = durations.read(phrase)
        if duration is not None and not duration.months:
            value = duration.seconds / unit.scale
            return int(value) if value.denominator == 1 else float(value) if parameter.kind == "number" else None
    is_share = unit is not None and unit.name == "percent"
    for pattern, bound, share in ((_FULL, parameter.maximum, 100), (_EMPTY, parameter.minimum, 0)):
        if pattern.fullmatch(phrase):
            if bound is not None:
                return int(bound) if bound.is_integer() else bound
            return share if is_share else None
    if is_share and _SHUT.fullmatch(phrase):
        return 0
    return 100 if is_share and _OPEN.fullmatch(phrase) else None


def _rate(said: str, unit: Unit | None) -> Quantity | None:
    """Read "ten litres per minute" where no unit of our table is wanted: the number counts as said."""
    amount, per, _ = words.value_words(said).partition(" per ")
    if not per or unit is not None:
        return None
    found = quantities.read(amount) or quantities.read(amount.rpartition(" ")[0])  # "15 parts per minute"
    return found._replace(unit=None) if found is not None else None


def _share_of_one(parameter: Parameter, said: Unit | None) -> bool:
    return said is not None and said.name == "percent" and parameter.kind == "number" and parameter.maximum == 1


def _takes_percent(parameter: Parameter) -> bool:
    """Say whether a plain number may be a percentage: its range is 0 to 100, or it has none."""
    return parameter.maximum is None or parameter.maximum <= 100


def _unreadable(parameter: Parameter, said: str, unit: Unit | None) -> Objection:
    wants = f"a number of {unit.name}s" if unit is not None and unit.dimension in {"time", "length"} else "a number"
    wants = "a percentage" if unit is not None and unit.name == "percent" else wants
    span = schema.range_words(parameter)
    within = f" ({span})" if span else ""
    return Objection(
        RefusalCode.UNREADABLE, f'"{said.strip()[:60]}" cannot be read as {wants}{within} for {parameter.name}.'
    )
