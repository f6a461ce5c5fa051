"""A day and a time of day in words ("tomorrow at 8", "in ten minutes") to one moment, never in the past unless said."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from appliance.grounding.values import dates, durations, numbers, times, words
from appliance.grounding.values.times import Clock

_DISTANCE: Final = re.compile(r"(?:in|after) (?P<ahead>.+)|(?P<later>.+) (?:from now|hence|later)|(?P<ago>.+) ago")
_DAYPART: Final = re.compile(
    r"\b(?:(?P<tonight>tonight|this (?:morning|afternoon|evening))|(?:in the"
    r" |early |late )?(?P<part>morning|afternoon|evening|night))\b"
)
_JOINTS: Final = re.compile(r"^[\s,]*(?:at|on|by|around|about|from)?[\s,]*|[\s,]+(?:at|on|by|around|,)?[\s,]*$")


def read(text: str, now: datetime, *, looks_back: bool = False) -> datetime | None:
    """Return the moment that *text* says, in the zone of *now*; None when day or time cannot be read.

    A time without a day is the next one; "at 7" said at 18:00 is 19:00, said at 20:00 is 7:00 tomorrow.
    A day without a time is no moment.

    >>> read("tomorrow at 8", datetime(2026, 11, 22, 12)).isoformat()
    '2026-11-23T08:00:00'
    """
    phrase = words.value_words(text)
    return _iso(phrase, now) or _distance(phrase, now) or _day_and_time(phrase, now, looks_back=looks_back)


def next_at(clock: Clock, now: datetime) -> datetime:
    """Return the next moment at which a clock shows *clock*."""
    moment = datetime.combine(now.date(), clock.at(), now.tzinfo)
    if moment > now:
        return moment
    if clock.is_open:
        later = datetime.combine(now.date(), clock._replace(hour=clock.hour % 12 + 12).at(), now.tzinfo)
        if later > now:
            return later
    return datetime.combine(_next_day(now.date()), clock.at(), now.tzinfo)


def _next_day(day: date) -> date:
    return day + timedelta(days=1) if day < date.max else day


def _iso(phrase: str, now: datetime) -> datetime | None:
    if not re.match(r"\d{4}-?\d\d-?\d\d[t ]\d\d", phrase):
        return None
    try:
        moment = datetime.fromisoformat(phrase.upper())
    except ValueError:
        return None
    return moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment


def _distance(phrase: str, now: datetime) -> datetime | None:
    match = _DISTANCE.fullmatch(phrase)
    duration = durations.read(match["ahead"] or match["later"] or match["ago"]) if match is not None else None
    if match is None or duration is None:
        return now.replace(microsecond=0) if phrase in {"now", "right now", "immediately", "straight away"} else None
    sign = -1 if match["ago"] else 1
    try:
        moved = datetime.combine(dates.add_months(now.date(), sign * duration.months), now.timetz())
        if moved.tzinfo is None:
            return (moved + sign * timedelta(seconds=float(duration.seconds))).replace(microsecond=0)
        # An hour from now is an hour on the stopwatch, also across a change of the clocks.
        later = moved.astimezone(UTC) + sign * timedelta(seconds=float(duration.seconds))
        return later.astimezone(moved.tzinfo).replace(microsecond=0)
    except OverflowError:
        return None


def _day_and_time(phrase: str, now: datetime, *, looks_back: bool) -> datetime | None:
    clock = times.read(phrase)
    if clock is not None and not _DAYPART.search(phrase):
        return next_at(clock, now)
    part = _DAYPART.search(phrase)
    mark = ""
    if part is not None:
        mark = part["part"] or ("night" if part["tonight"] == "tonight" else part["tonight"].removeprefix("this "))
        bare = phrase[: part.start()] + (" today " if part["tonight"] else " ") + phrase[part.end() :]
        phrase = " ".join(bare.split())
    found = _split(phrase, now, looks_back=looks_back)
    if found is None:
        return None
    day, clock = found
    marked = times.half_of_day(clock, mark) if mark else clock
    if marked is None:
        return None
    if day is None:
        return next_at(marked, now)
    if mark == "night" and marked.hour < 5:
        day = _next_day(day)
    moment = datetime.combine(day, marked.at(), now.tzinfo)
    if moment <= now and day == now.date() and marked.is_open and not looks_back:
        later = datetime.combine(day, marked._replace(hour=marked.hour % 12 + 12).at(), now.tzinfo)
        return later if later > now else moment
    return moment


def _split(phrase: str, now: datetime, *, looks_back: bool) -> tuple[date | None, Clock] | None:
    """Find the one place where a day ends and a time begins, or the other way round."""
    whole = times.read(_JOINTS.sub("", phrase))
    if whole is not None:
        return None, whole
    cuts = [m.start() for m in re.finditer(r"[\s,]+|t(?=\d)", phrase)]
    for cut in sorted(cuts, reverse=True):
        left, right = _JOINTS.sub("", phrase[:cut]), _JOINTS.sub("", phrase[cut:].removeprefix("t"))
        if not left or not right:
            continue
        for day_words, time_words in ((left, right), (right, left)):
            clock = times.read(time_words)
            # "Seven on 15" could be either way round; a bare number is a day only beside a plain time.
            is_plain = re.search(r":|\d\s?[ap]\.?m", time_words) is not None
            is_day = clock is not None and (is_plain or numbers.read(day_words) is None)
            day = dates.read(day_words, now.date(), looks_back=looks_back) if is_day else None
            if clock is not None and day is not None:
                return day, clock
    return None
