"""Numbers in digits and in words to exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

import text_to_num

from appliance.grounding.values import words

_UNITS: Final = {
    "zero": 0, "oh": 0, "o": 0, "nought": 0, "naught": 0, "nil": 0, "one": 1, "two": 2, "three": 3,
    "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
_TEENS: Final = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
_MULTIPLES: Final = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "lakh": 10**5, "crore": 10**7, "k": 10**3, "m": 10**6, "mn": 10**6, "mil": 10**6, "b": 10**9, "bn": 10**9,
    "bln": 10**9, "g": 10**9, "t": 10**12, "tln": 10**12,
}  # fmt: skip
_PARTS: Final = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9,
    "ninths": 9, "tenth": 10, "tenths": 10, "twentieth": 20, "twentieths": 20, "hundredth": 100, "hundredths": 100,
    "thousandth": 1000, "thousandths": 1000, "millionth": 10**6, "millionths": 10**6, "billionth": 10**9,
    "billionths": 10**9, "trillionth": 10**12, "trillionths": 10**12,
}  # fmt: skip
_ORDINALS: Final = {
    "first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight", "ninth": "nine",
    "twelfth": "twelve", "twentieth": "twenty", "thirtieth": "thirty", "fortieth": "forty", "fiftieth": "fifty",
    "sixtieth": "sixty", "seventieth": "seventy", "eightieth": "eighty", "ninetieth": "ninety",
}  # fmt: skip
_UNIT_PARTS: Final = frozenset(
    f"{stem}{end}" for stem in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
    for end in ("", "s")
)  # fmt: skip
_COLLECTIVES: Final = {
    "a couple": 2,
    "couple": 2,
    "a couple of": 2,
    "couple of": 2,
    "a pair": 2,
    "a pair of": 2,
    "both": 2,
}

WORDS: Final = frozenset({*_UNITS, *_TEENS, *_TENS, "hundred", "thousand", "million", "billion", "dozen"}) - {"o"}
"""Words of which a number is made; `half` and `a` are numbers only in company."""

_DIGITS: Final = re.compile(
    r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d+)(?:\.\d+)?(?:e[+-]?\d{1,2})?"
    r"|\.\d+"
)
_SUFFIXES: Final = frozenset({"k", "bn", "bln", "mil", "mn", "m", "b", "g", "t", "tln"})
_SIGN: Final = re.compile(r"^(?:(minus|negative|-)\s*|(?:plus|positive|\+)\s*)")
_MAX_DIGITS: Final = 40


def read(text: str) -> Fraction | None:
    """Return the number that *text* says, or None when it says no number or something beside it.

    >>> read("minus thirty seven point five"), read("1.5k"), read("two and a half dozen"), read("kitchen")
    (Fraction(-75, 2), Fraction(1500, 1), Fraction(30, 1), None)
    """
    phrase = words.value_words(text)
    sign = _SIGN.match(phrase)
    if sign is not None:
        value = _magnitude(phrase[sign.end() :])
        return -value if value is not None and sign[1] else value
    return _magnitude(phrase)


def read_ordinal(text: str) -> int | None:
    """Return 2 for "the second", "2nd" or "second one"; None when *text* is no ordinal."""
    phrase = re.sub(r"\s+(one|item|option)$", "", words.value_words(text))
    digits = re.fullmatch(r"(\d{1,9})\s?(?:st|nd|rd|th)", phrase)
    if digits is not None:
        return int(digits[1])
    *head, last = re.split(r"[\s-]+", phrase) or [""]
    cardinal = _ORDINALS.get(last) or (last[:-2] if last.endswith("th") else None)
    if cardinal is None:
        return None
    value = _in_words(" ".join([*head, cardinal]))
    return value if value is not None and value > 0 else None


def _magnitude(phrase: str) -> Fraction | None:
    if not phrase or len(phrase) > words.MAX_VALUE_CHARS:
        return None
    if phrase in _COLLECTIVES:
        return Fraction(_COLLECTIVES[phrase])
    for reader in (_digits, _plain_words, _point, _mixed, _part, _multiple):
        value = reader(phrase)
        if value is not None:
            return value
    return None


def _digits(phrase: str) -> Fraction | None:
    if _DIGITS.fullmatch(phrase) and len(phrase) <= _MAX_DIGITS:
        return Fraction(re.sub(r"[, ]", "", phrase))
    return None


def _plain_words(phrase: str) -> Fraction | None:
    value = _in_words(phrase)
    return None if value is None else Fraction(value)


def _in_words(phrase: str) -> int | None:
    """Read a cardinal; also "three fifty" and "one oh five", as people say settings and channels."""
    parts = phrase.replace("-", " ").split()
    if parts and parts[0] in {"a", "an"} and len(parts) > 1 and parts[1] in _MULTIPLES:
        parts[0] = "one"
    if not parts or any(p not in WORDS and p not in {"and", "trillion"} for p in parts):
        return None
    parts = ["zero" if p in {"oh", "nought", "naught", "nil"} else p for p in parts]
    try:
        return int(text_to_num.text2num(" ".join(parts), "en"))
    except ValueError:
        pass
    head, rest = _UNITS.get(parts[0], 0), parts[1:]
    if not head or not rest:
        return None
    if len(rest) == 1 and rest[0] in {**_TEENS, **_TENS}:
        return head * 100 + {**_TEENS, **_TENS}[rest[0]]
    if len(rest) == 2 and rest[0] in {**_TENS, "zero": 0} and _UNITS.get(rest[1], 0) > 0:
        return head * 100 + _TENS.get(rest[0], 0) + _UNITS[rest[1]]
    return None


def _point(phrase: str) -> Fraction | None:
    """Read "thirty seven point five" and "3 point 14"."""
    before, said, after = phrase.partition(" point ")
    if not said and phrase.startswith("point "):
        before, said, after = "zero", "point", phrase.removeprefix("point ")
    if not said:
        return None
    whole = _whole(before)
    decimals = after.replace("-", " ").split()
    if whole is None or not decimals:
        return None
    if all(d in _UNITS for d in decimals):
        figures = "".join(str(_UNITS[d]) for d in decimals)
    elif after.isascii() and after.isdigit():
        figures = after
    else:
        value = _in_words(after)
        figures = "" if value is None else str(value)
    if not figures or len(figures) > _MAX_DIGITS:
        return None
    return whole + Fraction(int(figures), 10 ** len(figures))


def _part(phrase: str) -> Fraction | None:
    """Read "half", "three quarters", "1/3", "a tenth", "three twenty-firsts", "two out of three"."""
    slash = re.fullmatch(r"(\d{1,9})\s*/\s*(\d{1,9})", phrase)
    if slash is not None:
        return Fraction(int(slash[1]), int(slash[2])) if int(slash[2]) else None
    over = re.fullmatch(r"(.+?) (?:over|out of|in) (.+)", phrase)
    if over is not None:
        top, bottom = _whole(over[1]), _whole(over[2].removesuffix("s"))
        return top / bottom if top is not None and bottom else None
    *head, last = phrase.split() or [""]
    if not head and "-" in last:
        first, _, last = last.partition("-")  # one-eighth
        head = [first]
    if head and head[-1] in _TENS and last in _UNIT_PARTS and len(head) > 1:
        last = f"{head.pop()}-{last}"  # twenty fifths are one word
    parts = _parts_of(last)
    if parts is None or (not head and parts not in {2, 4}):
        return None
    count = Fraction(1) if not head or head in (["a"], ["an"]) else _whole(" ".join(head))
    return None if count is None else count / parts


def _parts_of(word: str) -> int | None:
    """Return into how many parts "thirds", "twenty-fifth" ... cut a whole."""
    named = _PARTS.get(word)
    if named is not None:
        return named
    ordinal = read_ordinal(word.removesuffix("s")) if word.isascii() and not word[:1].isdigit() else None
    return ordinal if ordinal is not None and ordinal > 2 else None


def _mixed(phrase: str) -> Fraction | None:
    """Read "two and a half", "3 1/2", "five and 3/4", "a million and a half"."""
    for joint in (" and ", " "):
        at = phrase.find(joint)
        while at > 0:
            before, part = phrase[:at], _part(phrase[at + len(joint) :])
            # "A million and a half" is half a million more; "a hundred and a half" is half of one more.
            large = re.fullmatch(r"(.+) (million|billion|trillion)", before) if joint == " and " else None
            if part is not None and 0 < part < 1:
                if large is not None:
                    count = Fraction(1) if large[1] == "a" else _magnitude(large[1])
                    return None if count is None else (count + part) * _MULTIPLES[large[2]]
                whole = _whole(before)
                if whole is not None and (joint == " and " or "/" in phrase[at:] or phrase[at:].startswith(" a ")):
                    return whole + part
            at = phrase.find(joint, at + 1)
    return None


def _multiple(phrase: str) -> Fraction | None:
    """Read "2 million", "1.5k", "half a dozen", "two and a half thousand", "5 thousand two hundred"."""
    split = re.fullmatch(r"(.+? (?:thousand|million|billion|trillion|hundred|lakh|crore)) (?:and )?(.+)", phrase)
    if split is not None:
        large, small = _multiple(split[1]), _magnitude(split[2])
        if (
            large is not None
            and small is not None
            and small.denominator == 1
            and 0 < small < _MULTIPLES[split[1].split()[-1]]
        ):
            return large + small
    match = re.fullmatch(
        r"(.*?)\s*\b(hundred|thousand|million|billion|trillion|lakh|crore|dozens?)", phrase
    ) or re.fullmatch(
        r"(.*\d)\s?(hundred|thousand|million|billion|trillion|lakh|crore|dozen|k|bn|bln|mil|mn|m|b|g|tln|t)", phrase
    )
    if match is not None:
        count, name = match[1].strip(), match[2].removesuffix("s")
        count = re.sub(r"^(half|quarter) (?:a|an|of a|of an)$", r"\1", count)
        if not count and match[2] == "dozens":
            return None
        value = Fraction(1) if count in {"", "a", "one"} else _magnitude(re.sub(r" of an?$", "", count))
        if value is None or value == 0 or (name == "hundred" and value >= 100):
            return None
        return value * _MULTIPLES[name]
    return None


def _whole(phrase: str) -> Fraction | None:
    phrase = phrase.strip()
    digits = _digits(phrase)
    return digits if digits is not None else _plain_words(phrase)
