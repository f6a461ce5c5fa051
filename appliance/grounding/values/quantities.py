"""Amounts ("an hour and a half", "1h30", "21 °C", "half") to a number and its unit."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

from appliance.grounding.values import numbers, units, words
from appliance.grounding.values.units import Unit


class Quantity(NamedTuple):
    """A number as said, in the unit that was said with it."""

    value: Fraction
    unit: Unit | None


_ATOM: Final = re.compile(
    r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?|\.\d+|%|°\s?[cf]?\b"
    r"|°|km/h|m/s|[^\W\d_]+[³²23]?(?![\d.])|[^\W\d_]+|[\d.]+|[^\s,]"
)
_MINOR: Final = {
    "week": ("day", 7), "day": ("hour", 24), "hour": ("minute", 60), "minute": ("second", 60), "foot": ("inch", 12),
    "pound": ("ounce", 16), "metre": ("centimetre", 100), "year": ("month", 12),
}  # fmt: skip
_FRACTIONS: Final = {
    "half": Fraction(1, 2), "a half": Fraction(1, 2), "a quarter": Fraction(1, 4), "quarter": Fraction(1, 4),
    "three quarters": Fraction(3, 4), "a third": Fraction(1, 3),
}  # fmt: skip
_LONGEST_UNIT_WORDS: Final = max(len(a.split()) for a in units.ALIASES)
_THOUSANDS: Final = frozenset({"k", "bn", "mn"})
_CURRENCY: Final = re.compile(r"^[$€£]\s*|\s*(?:dollars?|euros?|bucks|usd|eur|gbp)$")
_SHORT_SUFFIX: Final = re.compile(r"\d\s?[kmbgt]$")
_SHARE: Final = re.compile(r"(.+?)(?: of)? (?:an?|one)")
_EXTENT: Final = re.compile(
    r"^(?:the |an )?(?:next|another|additional|extra|further|full|whole|entire|all)[\s-]+|^an? (?=(?:full|whole) )"
)
_MORE: Final = re.compile(r"\s+(?:more|long|longer|worth|extra)$")


def read(text: str, to: Unit | None = None) -> Quantity | None:
    """Return the one amount that *text* says; *to* settles what a short unit such as `m` means.

    >>> read("an hour and a half").value, read("an hour and a half").unit.name
    (Fraction(3, 2), 'hour')
    """
    found = parts(text, to)
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    first = found[0].unit
    assert first is not None
    total = Fraction(0)
    for value, unit in found:
        converted = units.convert(value, unit, first) if unit is not None else None
        if converted is None or first.offset:
            return None
        total += converted
    # "An hour and ten minutes" is one amount, "95 percent and 40 percent" are two.
    scales = [unit.scale for _, unit in found if unit is not None]
    if scales != sorted(set(scales), reverse=True) and len({unit for _, unit in found}) == len(found):
        return None
    if len({unit for _, unit in found}) < len(found) and found[-1].value >= 1:
        return None
    return Quantity(total, first)


def parts(text: str, to: Unit | None = None) -> tuple[Quantity, ...]:
    """Return the amounts that together make one ("1 hour 30 minutes"); empty when words are left unread."""
    phrase = _CURRENCY.sub("", words.value_words(text))
    number = numbers.read(phrase)
    if number is not None and not (_SHORT_SUFFIX.search(phrase) and _ends_in_unit(phrase, to)):
        return (Quantity(number, None),)
    extent = _EXTENT.sub("", phrase)
    bare = re.sub(r"(?<=[\w])-(?=[^\W\d_])", " ", _MORE.sub("", extent))
    dimension = "time" if to is None else to.dimension
    found = _scan(_atoms(bare), dimension)
    return found if found or extent == phrase else _scan(_atoms("1 " + bare), dimension)


def _atoms(phrase: str) -> list[str]:
    return [a.replace(" ", "") if "°" in a else a for a in _ATOM.findall(phrase)]


def _ends_in_unit(phrase: str, to: Unit | None) -> bool:
    """Tell five metres from five million: the letter is a unit where one of its dimension is wanted."""
    unit = units.lookup(phrase[-1], to.dimension) if to is not None else None
    return unit is not None and to is not None and unit.dimension == to.dimension


def _scan(atoms: list[str], dimension: str) -> tuple[Quantity, ...]:
    found: list[Quantity] = []
    while atoms:
        atoms = atoms[1:] if found and atoms[0] in {"and", ",", "&", "plus"} else atoms
        step = _next(atoms, dimension)
        if step is not None:
            quantity, used = step
            found.append(quantity)
            atoms = atoms[used:]
            continue
        rest = _trailing(" ".join(atoms), found[-1]) if found else None
        if rest is None:
            return ()
        found.append(rest)
        break
    return tuple(found)


def _next(atoms: list[str], dimension: str) -> tuple[Quantity, int] | None:
    """Find the shortest run "number unit" at the head."""
    for at in range(1, len(atoms)):
        for size in range(min(_LONGEST_UNIT_WORDS, len(atoms) - at), 0, -1):
            name = " ".join(atoms[at : at + size])
            unit = units.lookup(name, dimension)
            if unit is None or (name in _THOUSANDS and dimension != unit.dimension):
                continue
            if name in {"a", "in"} and unit.dimension != dimension:
                continue
            value = _count(" ".join(atoms[:at]))
            if value is not None:
                return Quantity(value, unit), at + size
    return None


def _count(phrase: str) -> Fraction | None:
    if phrase in {"a", "an"}:
        return Fraction(1)
    share = _SHARE.fullmatch(phrase)
    value = numbers.read(share[1]) if share is not None else None
    return value if value is not None and value < 1 else numbers.read(phrase)


def _trailing(phrase: str, last: Quantity) -> Quantity | None:
    """Read what follows the last unit: "an hour *and a half*", "1h*30*", "five foot *ten*"."""
    assert last.unit is not None
    if phrase in _FRACTIONS:
        return Quantity(_FRACTIONS[phrase], last.unit)
    value = numbers.read(phrase)
    minor = _MINOR.get(last.unit.name)
    if value is None or minor is None or not 0 <= value < minor[1]:
        return None
    return Quantity(value, units.lookup(minor[0], last.unit.dimension))
