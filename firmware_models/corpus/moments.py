"""Durations, clock times and dates to pairs of the words said and the value meant."""

import random
from datetime import date, datetime, timedelta
from typing import Final

from firmware_models.corpus import numerals

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_UNIT_S: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_SHORT: Final = {
    "second": ("s", " sec", " secs"),
    "minute": (" min", "min", " mins", "m"),
    "hour": ("h", " hrs", " hr"),
    "day": (" days",),
}


def duration(chance: random.Random, unit: str) -> tuple[str, int]:
    """Say a length of time that is whole in *unit*, such as "minute"; gives words and that number of units."""
    size = _UNIT_S[unit]
    while True:
        said, seconds = _duration(chance, unit)
        if seconds % size == 0:
            return said, seconds // size


def _duration(chance: random.Random, unit: str) -> tuple[str, int]:
    fixed = [
        ("half an hour", 1800),
        ("an hour", 3600),
        ("a quarter of an hour", 900),
        ("an hour and a half", 5400),
        ("one and a half hours", 5400),
        ("a minute", 60),
        ("half a minute", 30),
        ("three quarters of an hour", 2700),
        ("two and a half hours", 9000),
        ("a couple of hours", 7200),
        ("a day", 86400),
        ("an hour and ten minutes", 4200),
        ("two hours and thirty minutes", 9000),
        ("a minute and a half", 90),
    ]
    if chance.random() < 0.22:
        return chance.choice(fixed)
    if unit == "second":
        said_unit = chance.choice(("second", "second", "minute"))
    elif unit == "minute":
        said_unit = chance.choice(("minute", "minute", "minute", "hour"))
    else:
        said_unit = chance.choice(("hour", "hour", "hour", "day"))
    if said_unit == "second":
        number = chance.choice((5, 8, 10, 15, 20, 25, 30, 40, 45, 50, 90, chance.randint(2, 59)))
    elif said_unit == "minute":
        number = chance.choice((2, 3, 4, 5, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 90, chance.randint(2, 59)))
    elif said_unit == "hour":
        number = chance.choice((2, 3, 4, 5, 6, 8, 10, 12))
    else:
        number = chance.randint(2, 9)
    style = chance.random()
    if style < 0.4:
        said = f"{number} {said_unit}s"
    elif style < 0.85:
        said = f"{numerals.words(number, hyphen=chance.random() < 0.3)} {said_unit}s"
    else:
        said = f"{number}{chance.choice(_SHORT[said_unit])}"
    return said, number * _UNIT_S[said_unit]


def iso_duration(seconds: int) -> str:
    """Write *seconds* as an ISO 8601 duration."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = "".join(f"{n}{u}" for n, u in ((hours, "H"), (minutes, "M"), (rest, "S")) if n)
    return f"PT{parts or '0S'}"


def clock(chance: random.Random) -> tuple[str, str]:
    """Say a time of day; gives words and HH:MM."""
    hour = chance.choice((5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23))
    minute = chance.choice((0, 0, 0, 0, 15, 30, 30, 45, 5, 10, 20, 40, 50, chance.randint(1, 59)))
    value = f"{hour:02d}:{minute:02d}"
    twelve = (hour - 1) % 12 + 1
    half = "am" if hour < 12 else "pm"
    style = chance.randrange(10)
    if style <= 1:
        return value if chance.random() < 0.6 else f"{hour}:{minute:02d}", value
    if style <= 4:
        sep = chance.choice((" ", "", " "))
        mark = chance.choice((half, half, half.upper(), f"{half[0]}.m."))
        return (f"{twelve}{sep}{mark}" if minute == 0 else f"{twelve}:{minute:02d}{sep}{mark}"), value
    if style == 5 and minute == 0:
        return f"{numerals.words(twelve)} {half}", value
    if style == 6 and chance.random() < 0.5:
        return chance.choice((("noon", "12:00"), ("midnight", "00:00"), ("midday", "12:00")))
    period = (
        "in the morning"
        if hour < 12
        else "in the afternoon"
        if hour < 18
        else "in the evening"
        if hour < 22
        else "at night"
    )
    return f"{_spoken_clock(chance, twelve, minute)} {period}", value


def _spoken_clock(chance: random.Random, twelve: int, minute: int) -> str:
    name, after = numerals.words(twelve), numerals.words(twelve % 12 + 1)
    if minute == 0:
        return chance.choice((f"{name}", f"{name} o'clock", str(twelve)))
    if minute == 15 and chance.random() < 0.8:
        return chance.choice((f"a quarter past {name}", f"quarter past {name}"))
    if minute == 30 and chance.random() < 0.8:
        return f"half past {name}"
    if minute == 45 and chance.random() < 0.8:
        return chance.choice((f"a quarter to {after}", f"quarter to {after}"))
    if minute in {5, 10, 20}:
        return f"{numerals.words(minute)} past {name}"
    if minute in {40, 50}:
        return f"{numerals.words(60 - minute)} to {after}"
    return f"{name} {'oh ' if minute < 10 else ''}{numerals.words(minute)}"


def day(chance: random.Random, now: datetime) -> tuple[str, str]:
    """Say a day after *now*; gives words and YYYY-MM-DD."""
    today = now.date()
    style = chance.randrange(12)
    if style <= 2:
        said, ahead = chance.choice((("today", 0), ("tomorrow", 1), ("tomorrow", 1), ("the day after tomorrow", 2)))
        return said, str(today + timedelta(ahead))
    if style <= 5:
        weekday = chance.randrange(7)
        ahead = (weekday - today.weekday() - 1) % 7 + 1
        name = WEEKDAYS[weekday].capitalize() if chance.random() < 0.6 else WEEKDAYS[weekday]
        return name, str(today + timedelta(ahead))
    if style == 6:
        number = chance.randint(2, 12)
        return f"in {chance.choice((str(number), numerals.words(number)))} days", str(today + timedelta(number))
    if style == 7:
        return chance.choice(
            (
                ("a week from today", str(today + timedelta(7))),
                ("in a week", str(today + timedelta(7))),
                ("in two weeks", str(today + timedelta(14))),
            )
        )
    target = today + timedelta(chance.randint(3, 300))
    return _calendar_day(chance, target, today), str(target)


def _calendar_day(chance: random.Random, target: date, today: date) -> str:
    month = MONTHS[target.month - 1]
    year = "" if chance.random() < 0.75 and target > today else f" {target.year}"
    return chance.choice(
        (
            f"{month} {target.day}{',' + year if year else ''}",
            f"{target.day} {month}{year}",
            f"the {numerals.ordinal_digits(target.day)} of {month}{year}",
            f"{month} {numerals.ordinal_digits(target.day)}{',' + year if year else ''}",
            f"the {numerals.ordinal_words(target.day)} of {month}",
            str(target),
            f"{month[:3]} {target.day}{',' + year if year else ''}",
        )
    )


def moment(chance: random.Random, now: datetime) -> tuple[str, str]:
    """Say a day with a time of day; gives words and an ISO 8601 date-time."""
    said_day, on = day(chance, now)
    said_time, at = clock(chance)
    if said_day == "today" and at <= f"{now:%H:%M}":
        said_day, on = "tomorrow", str(now.date() + timedelta(1))
    joined = chance.choice(
        (
            f"{said_day} at {said_time}",
            f"{said_day} at {said_time}",
            f"{said_time} on {said_day}" if said_day[0].isupper() else f"{said_day} at {said_time}",
        )
    )
    return joined, f"{on}T{at}:00"


def present(chance: random.Random) -> datetime:
    """Choose a device's present time."""
    # A device's wall clock has no zone of its own in a request.
    return datetime(2025, 1, 1) + timedelta(minutes=chance.randrange(60 * 24 * 900))  # noqa: DTZ001
