"""Days in figures and in words ("next friday", "the third of march") to dates, looking forward from today."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from appliance.grounding.values import durations, numbers, words

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sept sep", "october oct", "november nov", "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            "monday mon",
            "tuesday tue tues",
            "wednesday wed weds",
            "thursday thu thur thurs",
            "friday fri",
            "saturday sat",
            "sunday sun",
        )
    )
    for name in names.split()
}
_TOMORROW: Final = re.compile(r"\b(?:tmrw|tmr|tomorow|tommorow|tommorrow)\b")
_RELATIVE: Final = {
    "today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0, "now": 0, "tomorrow": 1,
    "day after tomorrow": 2,
    "yesterday": -1, "day before yesterday": -2, "next day": 1, "last night": -1,
}  # fmt: skip
_HOLIDAYS: Final = {
    "christmas": (12, 25), "christmas day": (12, 25), "christmas eve": (12, 24), "boxing day": (12, 26),
    "new year's eve": (12, 31), "new years eve": (12, 31), "new year's day": (1, 1), "new years day": (1, 1),
    "halloween": (10, 31), "valentine's day": (2, 14), "valentines day": (2, 14),
}  # fmt: skip

_MONTH: Final = rf"(?P<month>{words.alternatives(list(_MONTHS))})(?![a-z])\.?"
_WEEKDAY: Final = rf"(?P<weekday>{words.alternatives(list(_WEEKDAYS))})\.?"
_DAY: Final = r"(?:the )?(?P<day>\d{1,2}(?:\s?(?:st|nd|rd|th))?|[a-z]+(?:[ -](?!of\b)[a-z]+)?)"
_YEAR: Final = r"(?:,?\s*(?:of |in )?(?P<year>\d{4}|(?:twenty|nineteen|two thousand)(?:[ -][a-z]+){1,2}))?"
_OF_MONTH: Final = (
    re.compile(rf"{_DAY}\.?\s?(?:of |-)?\s?{_MONTH}{_YEAR}"),
    re.compile(rf"{_MONTH}\s?[-/]?{_DAY}{_YEAR}"),
)
_ISO: Final = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})")
_FIGURES: Final = re.compile(r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})(?:[-/.](?P<year>\d{4}|\d{2}))?")
_OF_WEEK: Final = re.compile(
    rf"(?:(?P<first>this|next|last) week (?:on )?)?(?P<which>this(?: coming)?"
    rf"|next|last|coming|past|the coming|the next)?\s*{_WEEKDAY}(?P<week> week"
    rf"| (?:of )?next week| (?:of )?this week)?"
)
_WITH_WEEKDAY: Final = re.compile(rf"{_WEEKDAY}(?:,\s*|\s+)(?:the )?(?P<rest>(?!week|next|this|the\b).+)")
_DISTANCE: Final = re.compile(
    r"(?:in|within) (?P<ahead>.+)|(?P<later>.+?) (?:from (?:now|today)|hence|ahead|later|time)|(?P<ago>.+) ago|"
    r"(?P<beyond>.+?) (?:from|after) (?P<base>.+)|(?P<week>a week|next week|two weeks) (?:today|tomorrow)"
)


def read(text: str, today: date, *, looks_back: bool = False) -> date | None:
    """Return the day that *text* says, or None.

    A day said without its year is the next one, or with *looks_back* the last one.
    A weekday is the next of its name; "next friday" is the one of next week (Monday first).

    >>> read("next friday", date(2026, 11, 23)).isoformat(), read("the third of march", date(2026, 11, 23)).isoformat()
    ('2026-12-04', '2027-03-03')
    """
    phrase = re.sub(r"^(?:on|by|from|until|till|since|before|after|starting)\s+", "", words.value_words(text))
    try:
        return _read(_TOMORROW.sub("tomorrow", phrase), today, looks_back=looks_back)
    except OverflowError:  # the calendar ends in the year 9999
        return None


def _read(phrase: str, today: date, *, looks_back: bool) -> date | None:
    if phrase in _RELATIVE:
        return today + timedelta(days=_RELATIVE[phrase])
    if phrase in _HOLIDAYS:
        return _yearly(*_HOLIDAYS[phrase], today, looks_back=looks_back)
    named = _WITH_WEEKDAY.match(phrase)
    if named is not None:
        return _on_weekday(named["rest"], _WEEKDAYS[named["weekday"]], today, looks_back=looks_back)
    return (
        _iso(phrase)
        or _weekday(phrase, today)
        or _of_month(phrase, today, looks_back=looks_back)
        or _figures(phrase, today, looks_back=looks_back)
        or _distance(phrase, today)
        or _day_of_month(phrase, today, looks_back=looks_back)
    )


def _on_weekday(rest: str, weekday: int, today: date, *, looks_back: bool) -> date | None:
    """Read "friday the 4th", "friday, december 4th": both must agree."""
    day = _of_month(rest, today, looks_back=looks_back) or _iso(rest) or _figures(rest, today, looks_back=looks_back)
    if day is not None:
        return day if day.weekday() == weekday else None
    start = today
    for _ in range(24):
        day = _day_of_month(rest, start, looks_back=looks_back)
        if day is None or day.weekday() == weekday:
            return day
        start = day - timedelta(days=1) if looks_back else day + timedelta(days=1)
    return None


def says_past(text: str) -> bool:
    """Say whether the words themselves look back."""
    return re.search(r"\b(?:ago|yesterday|last|past|since|previous|earlier)\b", words.folded(text)) is not None


def add_months(day: date, months: int) -> date:
    """Return the same day *months* later, or the month's last where it has no such day.

    Raises:
        OverflowError: no calendar goes that far.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    for last in (day.day, 30, 29, 28):
        made = _made(year, month + 1, last)
        if made is not None and last <= day.day:
            return made
    raise OverflowError


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except (ValueError, OverflowError):
        return None


def _yearly(month: int, day: int, today: date, *, looks_back: bool) -> date | None:
    years = range(today.year, today.year - 9, -1) if looks_back else range(today.year, today.year + 9)
    days = [d for y in years if (d := _made(y, month, day)) is not None]
    return next((d for d in days if (d <= today if looks_back else d >= today)), None)


def _iso(phrase: str) -> date | None:
    match = _ISO.fullmatch(phrase)
    return _made(int(match["year"]), int(match["month"]), int(match["day"])) if match else None


def _weekday(phrase: str, today: date) -> date | None:
    match = _OF_WEEK.fullmatch(phrase)
    if match is None:
        return None
    ahead = (_WEEKDAYS[match["weekday"]] - today.weekday()) % 7
    which, week = match["which"] or "", (match["week"] or "").strip().removeprefix("of ")
    if match["first"]:
        weeks = {"this": 0, "next": 1, "last": -1}[match["first"]]
        return today + timedelta(days=7 * weeks - today.weekday() + _WEEKDAYS[match["weekday"]])
    if which in {"last", "past"}:
        return today - timedelta(days=7 - ahead)
    if week == "week":
        return today + timedelta(days=(ahead or 7) + 7)
    if which in {"next", "the next"} or week == "next week":
        return today + timedelta(days=7 - today.weekday() + _WEEKDAYS[match["weekday"]])
    return today + timedelta(days=ahead or (0 if which.startswith("this") else 7))


def _of_month(phrase: str, today: date, *, looks_back: bool) -> date | None:
    for pattern in _OF_MONTH:
        match = pattern.fullmatch(phrase)
        day = _day_number(match["day"]) if match is not None else None
        if match is None or day is None:
            continue
        month = _MONTHS[match["month"]]
        if match["year"] is None:
            return _yearly(month, day, today, looks_back=looks_back)
        year = _year_number(match["year"])
        return None if year is None else _made(year, month, day)
    return None


def _figures(phrase: str, today: date, *, looks_back: bool) -> date | None:
    """Read 12/25/2026 month first as Americans do, 25.12.2026 day first; the other way where only that exists."""
    match = _FIGURES.fullmatch(phrase)
    if match is None:
        return None
    first, second = int(match["first"]), int(match["second"])
    day, month = (first, second) if match["mark"] == "." or first > 12 else (second, first)
    if match["year"] is None:
        return _yearly(month, day, today, looks_back=looks_back) if match["mark"] == "/" else None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    return _made(year, month, day)


def _distance(phrase: str, today: date) -> date | None:
    match = _DISTANCE.fullmatch(phrase)
    if match is None:
        return None
    base = today
    if match["beyond"] or match["week"]:
        found = read(match["base"] or phrase.rsplit(" ", 1)[-1], today)
        if found is None:
            return None
        base = found
    said = match["ahead"] or match["later"] or match["ago"] or match["beyond"] or match["week"]
    duration = durations.read(said.removesuffix("'").replace("next week", "a week"))
    if duration is None or duration.seconds % 86400:
        return None
    sign = -1 if match["ago"] else 1
    return add_months(base, sign * duration.months) + timedelta(days=sign * int(duration.seconds // 86400))


def _day_of_month(phrase: str, today: date, *, looks_back: bool) -> date | None:
    """Read "the 3rd": the next month that has one, this one included."""
    day = _day_number(phrase)
    if day is None or day < 1:
        return None
    for ahead in range(13):
        base = add_months(today.replace(day=1), -ahead if looks_back else ahead)
        made = _made(base.year, base.month, day)
        if made is not None and (made <= today if looks_back else made >= today):
            return made
    return None


def _day_number(phrase: str) -> int | None:
    ordinal = numbers.read_ordinal(phrase)
    if ordinal is not None:
        return ordinal if ordinal <= 31 else None
    value = numbers.read(phrase)
    return int(value) if value is not None and value.denominator == 1 and 1 <= value <= 31 else None


def _year_number(phrase: str) -> int | None:
    if phrase.isdigit():
        return int(phrase)
    whole = numbers.read(phrase)
    if whole is not None and whole.denominator == 1 and 1000 <= whole < 3000:
        return int(whole)
    head, _, rest = phrase.replace("-", " ").partition(" ")
    high, low = numbers.read(head), numbers.read(re.sub(r"^(?:oh|o) ", "", rest))
    return (
        int(high * 100 + low)
        if high in {19, 20} and low is not None and 0 <= low < 100 and low.denominator == 1
        else None
    )
