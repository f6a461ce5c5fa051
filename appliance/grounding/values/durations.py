"""Lengths of time to seconds and calendar months, and to ISO 8601."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

from appliance.grounding.values import quantities, units, words


class Duration(NamedTuple):
    """A length of time; months have no fixed length, so they are kept apart."""

    months: int
    seconds: Fraction


_CLOCK: Final = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")
_ISO: Final = re.compile(
    r"p(?!$)(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)w)?(?:(\d+)d)?(?:t(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?)?"
)


def read(text: str) -> Duration | None:
    """Return the length of time that *text* says: "half an hour", "90s", "1:30:00", "two months", "PT10M"."""
    phrase = words.value_words(text)
    clock = _CLOCK.fullmatch(phrase)
    if clock is not None:
        hours, minutes, left = (int(g) for g in clock.groups())
        return Duration(0, Fraction(hours * 3600 + minutes * 60 + left))
    iso = _ISO.fullmatch(phrase)
    if iso is not None and len(phrase) < 40:
        years, months, weeks, days, hours_n, minutes_n = (int(g or 0) for g in iso.groups()[:6])
        seconds = Fraction(iso[7] or 0) + minutes_n * 60 + hours_n * 3600 + (weeks * 7 + days) * 86400
        return Duration(years * 12 + months, seconds)
    found = quantities.parts(phrase, units.lookup("second", "time"))
    total, months_said = Fraction(0), Fraction(0)
    for value, unit in found:
        if unit is None or unit.dimension not in {"time", "calendar"} or value < 0:
            return None
        if unit.dimension == "calendar":
            months_said += value * unit.scale
        else:
            total += value * unit.scale
    if not found or months_said.denominator != 1:
        return None
    return Duration(int(months_said), total)


def iso(duration: Duration) -> str:
    """Write a duration as ISO 8601.

    >>> iso(Duration(0, Fraction(5400))), iso(Duration(14, Fraction(0)))
    ('PT1H30M', 'P1Y2M')
    """
    years, months = divmod(duration.months, 12)
    whole, rest = divmod(duration.seconds, 1)
    days, remaining = divmod(int(whole), 86400)
    hours, remaining = divmod(remaining, 3600)
    minutes, seconds = divmod(remaining, 60)
    fraction = f"{float(rest):.6f}".rstrip("0").removeprefix("0") if rest else ""
    date = "".join(f"{n}{letter}" for n, letter in ((years, "Y"), (months, "M"), (days, "D")) if n)
    time = "".join(f"{n}{letter}" for n, letter in ((hours, "H"), (minutes, "M")) if n)
    if seconds or fraction:
        time += f"{seconds}{fraction}S"
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"
