"""Times of day in figures and in words ("quarter past seven", "7:30 pm", "noon") to a clock reading."""

from __future__ import annotations

import re
from datetime import time
from typing import Final, NamedTuple

from appliance.grounding.values import numbers, words


class Clock(NamedTuple):
    """A time of day as said."""

    hour: int
    minute: int = 0
    second: int = 0
    is_open: bool = False
    """Nothing said which half of the day is meant: "seven", "7:30"."""

    def at(self) -> time:
        """Return the clock reading as it stands."""
        return time(self.hour, self.minute, self.second)


_NAMED: Final = {
    "noon": Clock(12), "midday": Clock(12), "12 noon": Clock(12), "twelve noon": Clock(12), "midnight": Clock(0),
    "12 midnight": Clock(0), "twelve midnight": Clock(0), "high noon": Clock(12), "mid day": Clock(12),
}  # fmt: skip
_FIGURES: Final = re.compile(r"([01]?\d|2[0-4])(?:[:.h]([0-5]\d)(?:[:.]([0-5]\d)(?:\.\d+)?)?)?h?")
_COMPACT: Final = re.compile(r"([01]?\d|2[0-3])([0-5]\d)")
_PAST: Final = re.compile(
    r"(?:(?P<part>half|(?:a )?quarter)|(?P<minutes>[\w\s-]+?)(?: minutes?| mins?)?)"
    r" (?P<side>past|after|to|till|til|before|of) "
    r"(?P<hour>[\w\s:]+)"
)
_HALF_HOUR: Final = re.compile(r"half (?P<hour>\w+)")
_MARK: Final = re.compile(
    r"(?:[\s,]+|(?<=\d)|^)(?P<mark>a\.?\s?m\.?|p\.?\s?m\.?|(?:in the |this )?(?:early"
    r" |late )?(?:morning|afternoon|evening)|(?:at|in the) night|tonight|night)$"
)
_LEAD_MARK: Final = re.compile(
    r"^(?:(?:in the |this )?(?P<mark>morning|afternoon|evening)|(?P<night>tonight))[\s,]+(?:at )?"
)
_CLOCK_WORDS: Final = re.compile(r"\s*\b(?:o'?\s?clock|hours|hrs|sharp|on the dot)\b\.?")


def read(text: str) -> Clock | None:
    """Return the time of day that *text* says, or None.

    >>> read("quarter to seven in the evening").at().isoformat(), read("7").is_open
    ('18:45:00', True)
    """
    phrase = re.sub(r"^(?:at|by|around|about|from|until|till|@)\s+", "", words.value_words(text))
    lead, mark = _LEAD_MARK.match(phrase), None
    if lead is not None:
        mark, phrase = lead["mark"] or "night", phrase[lead.end() :]
    trail = _MARK.search(phrase)
    if trail is not None:
        mark, phrase = trail["mark"], phrase[: trail.start()]
    bare = _CLOCK_WORDS.sub("", phrase).strip(" ,")
    clock = (
        _NAMED.get(bare) or _past(bare) or _figures(bare, marked=mark is not None or bare != phrase) or _spoken(bare)
    )
    return clock if clock is None or mark is None else half_of_day(clock, mark)


def half_of_day(clock: Clock, mark: str) -> Clock | None:
    """Return *clock* in the half of the day that *mark* names; None when the two disagree ("15:00 am")."""
    if not clock.is_open:
        is_late = mark[0] in "pn" or any(w in mark for w in ("noon", "even", "night"))
        agrees = clock.hour >= 12 or (is_night(mark) and clock.hour < 5) if is_late else clock.hour < 12
        return clock if agrees else None
    hour = clock.hour % 12
    if is_night(mark):
        hour += 12 if hour >= 5 else 0
    elif mark.startswith("p") or "afternoon" in mark or "evening" in mark:
        hour += 12
    return Clock(hour, clock.minute, clock.second)


def is_night(mark: str) -> bool:
    """Say whether *mark* names the night, which runs past midnight."""
    return "night" in mark


def _figures(phrase: str, *, marked: bool) -> Clock | None:
    match = _FIGURES.fullmatch(phrase) or (_COMPACT.fullmatch(phrase) if marked or len(phrase) == 4 else None)
    if match is None:
        return None
    hour, minute, second = (int(g or 0) for g in (*match.groups(), None)[:3])
    is_open = 1 <= hour <= 12 and not phrase.startswith("0")
    return Clock(hour % 24, minute, second, is_open=is_open)


def _past(phrase: str) -> Clock | None:
    half = _HALF_HOUR.fullmatch(phrase)
    if half is not None:
        hour = _hour(half["hour"])
        return None if hour is None else Clock(hour.hour, 30, is_open=hour.is_open)
    match = _PAST.fullmatch(phrase)
    if match is None:
        return None
    hour = _NAMED.get(match["hour"]) or _hour(match["hour"])
    minutes = 30 if match["part"] == "half" else 15 if match["part"] else _small(match["minutes"], 59)
    if hour is None or minutes is None or hour.minute:
        return None
    if match["side"] in {"past", "after"}:
        return Clock(hour.hour, minutes, is_open=hour.is_open)
    earlier = (hour.hour - 1) % 24
    return Clock(earlier or (12 if hour.is_open else 0), 60 - minutes, is_open=hour.is_open) if minutes else hour


def _spoken(phrase: str) -> Clock | None:
    """Read "seven", "seven thirty", "ten oh five", "nineteen hundred"."""
    whole = _hour(phrase)
    if whole is not None:
        return whole
    head, _, rest = phrase.replace("-", " ").partition(" ")
    for hours, minutes in (
        (head, rest),
        (" ".join(phrase.replace("-", " ").split()[:2]), phrase.replace("-", " ").split(" ", 2)[-1]),
    ):
        hour = _hour(hours)
        if hour is None or not minutes:
            continue
        if minutes == "hundred":
            return Clock(hour.hour, 0)
        minute = _small(re.sub(r"^(?:oh|o|zero)[\s-]", "", minutes), 59)
        if minute is not None and (minute >= 10 or re.match(r"oh|o\b|zero|0", minutes)):
            return Clock(hour.hour, minute, is_open=hour.is_open)
    return None


def _hour(phrase: str) -> Clock | None:
    figures = _figures(phrase, marked=False)
    if figures is not None:
        return figures
    hour = _small(phrase, 24)
    return None if hour is None else Clock(hour % 24, is_open=1 <= hour <= 12)


def _small(phrase: str, most: int) -> int | None:
    value = numbers.read(phrase)
    return int(value) if value is not None and value.denominator == 1 and 0 <= value <= most else None
