"""Words to the text that a parameter wants: as said, or in the form that its format asks for."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from appliance.contracts.toolcall import RefusalCode
from appliance.contracts.toolspec import Parameter
from appliance.grounding.schema import Objection
from appliance.grounding.values import dates, durations, moments, numbers, times, words

_OUTSIDE: Final = " \t\r\n.,;:!?"
_QUOTES: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "`": "`"}
_LOOKS_BACK: Final = re.compile(
    r"(?:^|_|\b)(?:since|past|history|birth\w*|born|happened|occurred|logged|last|previous|dob)(?:_|\b|$)"
)
_DESCRIBED: Final = (
    (
        re.compile(
            r"date-?time|yyyy-mm-dd[t ]hh:mm|iso ?8601 (?:date ?time|timestamp)|timestamp"
            r" in iso",
            re.IGNORECASE,
        ),
        "date-time",
    ),
    (re.compile(r"yyyy-mm-dd|iso ?8601 date|date in iso", re.IGNORECASE), "date"),
    (re.compile(r"\bhh:mm(?!:ss)", re.IGNORECASE), "hh:mm"),
    (re.compile(r"\bhh:mm:ss|iso ?8601 time", re.IGNORECASE), "time"),
    (re.compile(r"iso ?8601 duration", re.IGNORECASE), "duration"),
)
_EMAIL: Final = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_SPOKEN_NUMBER: Final = re.compile(r"[\d\s()+./-]+")


def read(parameter: Parameter, said: str, now: datetime) -> str | Objection:
    """Return the text that *said* means for *parameter*."""
    match format_of(parameter):
        case "date":
            return _date(parameter, said, now)
        case "time" | "hh:mm" as form:
            return _time(said, form)
        case "date-time":
            return _moment(parameter, said, now)
        case "duration":
            duration = durations.read(said)
            return durations.iso(duration) if duration is not None else _unreadable(said, "a length of time")
        case "email":
            return _email(said)
        case "uri" | "url":
            return _spoken_address(said)
        case "phone" | "tel":
            return _phone(said)
        case _:
            return _plain(parameter, said)


def format_of(parameter: Parameter) -> str | None:
    """Return the format that a text parameter asks for, declared or described."""
    if parameter.format is not None:
        return parameter.format
    return next((form for pattern, form in _DESCRIBED if pattern.search(parameter.description)), None)


def bare(said: str) -> str:
    """Return the words in their own case, without quotes and punctuation around them.

    >>> bare(' "Call Anna, please!". ')
    'Call Anna, please!'
    """
    text = said.strip(_OUTSIDE)
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    if text and text[0] in _QUOTES and text.count(text[0]) == 1 and text[0] not in "'\u2018":
        text = text[1:].strip(_OUTSIDE)
    if text and text[-1] in _QUOTES.values() and text.count(text[-1]) == 1 and text[-1] not in "'\u2019":
        text = text[:-1].strip(_OUTSIDE)
    # Marks that a quoted sentence keeps go with the quotes that a span left out.
    return text


def looks_back(parameter: Parameter, said: str) -> bool:
    """Say whether a day without a year is the one gone by: history, birthdays, "since"."""
    return dates.says_past(said) or _LOOKS_BACK.search(parameter.name.lower()) is not None


def _date(parameter: Parameter, said: str, now: datetime) -> str | Objection:
    back = looks_back(parameter, said)
    day = dates.read(said, now.date(), looks_back=back)
    if day is None:
        moment = moments.read(said, now, looks_back=back)
        day = moment.date() if moment is not None and not times.read(said) else None
    return day.isoformat() if day is not None else _unreadable(said, "a day")


def _time(said: str, form: str) -> str | Objection:
    clock = times.read(said)
    if clock is None:
        return _unreadable(said, "a time of day")
    return clock.at().strftime("%H:%M") if form == "hh:mm" or not clock.second else clock.at().isoformat()


def _moment(parameter: Parameter, said: str, now: datetime) -> str | Objection:
    back = looks_back(parameter, said)
    moment = moments.read(said, now, looks_back=back)
    if moment is None:
        if dates.read(said, now.date(), looks_back=back) is not None:
            return Objection(
                RefusalCode.UNREADABLE, f'"{said.strip()[:60]}" names a day, and {parameter.name} wants a time as well.'
            )
        return _unreadable(said, "a day and time")
    if not back and (moment.replace(tzinfo=moment.tzinfo or now.tzinfo) < now.replace(microsecond=0)):
        return Objection(RefusalCode.OUT_OF_RANGE, f'"{said.strip()[:60]}" is already past.')
    return moment.isoformat()


def _email(said: str) -> str | Objection:
    spoken = re.sub(r"\s+dot\s+", ".", re.sub(r"\s+at\s+", "@", bare(said), flags=re.IGNORECASE), flags=re.IGNORECASE)
    found = _EMAIL.findall(spoken)
    return found[0] if len(found) == 1 else _unreadable(said, "an e-mail address")


def _spoken_address(said: str) -> str:
    spoken = re.sub(
        r"\s+slash\s+", "/", re.sub(r"\s+dot\s+", ".", bare(said), flags=re.IGNORECASE), flags=re.IGNORECASE
    )
    return spoken if re.match(r"[a-zA-Z][\w+.-]*:", spoken) else f"https://{spoken}"


def _phone(said: str) -> str | Objection:
    text = bare(said)
    if _SPOKEN_NUMBER.fullmatch(text):
        return text
    figures = [numbers.read(t) for t in words.tokens(text)]
    if figures and all(f is not None and f.denominator == 1 and 0 <= f < 100 for f in figures):
        return "".join(str(f) for f in figures)
    return _unreadable(said, "a telephone number")


def _plain(parameter: Parameter, said: str) -> str | Objection:
    text = bare(said)
    if not text:
        return _unreadable(said, "text")
    if parameter.pattern is None:
        return text
    import regex  # type: ignore[import-untyped,unused-ignore]

    squeezed = re.sub(r"[\s-]+", "", text)
    for form in (text, text.upper(), text.lower(), squeezed, squeezed.upper(), squeezed.lower()):
        try:
            if regex.search(parameter.pattern, form, timeout=0.1):
                return form
        except (regex.error, TimeoutError):
            break
    return text  # the schema's check says what is wrong


def _unreadable(said: str, what: str) -> Objection:
    return Objection(RefusalCode.UNREADABLE, f'"{said.strip()[:60]}" cannot be read as {what}.')
