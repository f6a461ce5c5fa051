"""Kinds of values to fields: how a schema declares them, how people say them, what is meant."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from firmware_models.corpus import moments, quantities
from firmware_models.corpus.fields import Field, Said
from firmware_models.corpus.lexicon import lists

_TWO_WAY: Final = {"onoff": ("on", "off"), "lockbool": ("lock", "unlock"), "enablebool": ("on", "off")}
_DOMAIN_LISTS: Final = {
    "things": "things",
    "open": "open",
    "lock": "lock",
    "places": "places",
    "sensors": "sense",
    "feats": "feat",
    "progs": "prog",
    "items": "items",
}
_DURATION_UNITS: Final = {"seconds": "second", "secs": "second", "minutes": "minute", "mins": "minute", "hours": "hour"}


def declare(kind: str, name: str, vocabulary: Mapping[str, tuple[str, ...]], chance: random.Random) -> Field:
    """Choose how a parameter of *kind* called *name* is declared.

    Raises:
        KeyError: no such kind.
    """
    head, _, inner = kind.partition("(")
    inner = inner.removesuffix(")")
    if kind in _DOMAIN_LISTS:
        return _entity(vocabulary[_DOMAIN_LISTS[kind]], chance, 0.3)
    if kind in _TWO_WAY:
        return _two_way(*_TWO_WAY[kind], chance)
    if head == "enum":
        return _options(tuple(inner.split(", ")), chance)
    if kind == "options":
        return _options(vocabulary["options"], chance)
    if head == "flag":
        return Field({"type": "boolean"}, lambda _c, _now: [], {"true": True, "false": False})
    if head == "list":
        return _list(inner, name, vocabulary, chance)
    if head == "text":
        words = lists()[inner]
        return Field({"type": "string"}, lambda c, _now: [(w := c.choice(words), w)])
    if head == "num":
        return quantities.declare(inner, chance)
    if kind in {"quantity", "quantity_lo", "quantity_hi", "smallnum", "plainnum"}:
        return quantities.declare(vocabulary["range"][0] if "range" in vocabulary else "1..100", chance, kind)
    if kind == "plainnumber":
        return quantities.declare("1..500", chance, "count")
    if kind == "words_number":
        return Field({"type": "integer"}, lambda c, _now: [(str(n := c.randint(1, 9)), n)])
    if kind == "count":
        return quantities.declare("1..40", chance, "count")
    return _moment(kind, name, chance) or _written(kind, chance)


def _entity(words: tuple[str, ...], chance: random.Random, closed: float) -> Field:
    if chance.random() < closed and len(words) > 2:
        chosen = chance.sample(words, min(len(words), chance.randint(2, 5)))
        shape = chance.choice((str, str, lambda w: w.replace(" ", "_").replace("-", "_").replace("'", "")))
        return Field(
            {"type": "string", "enum": [shape(w) for w in chosen]}, lambda c, _now: [(w := c.choice(chosen), shape(w))]
        )
    return Field({"type": "string"}, lambda c, _now: [(w := c.choice(words), w)])


def _two_way(yes: str, no: str, chance: random.Random) -> Field:
    style = chance.random()
    if style < 0.5:
        return Field({"type": "boolean"}, lambda _c, _now: [], {yes: True, no: False})
    shape = chance.choice((str, str.upper, str.capitalize))
    values = {yes: shape(yes), no: shape(no)}
    return Field({"type": "string", "enum": chance.sample(list(values.values()), 2)}, lambda _c, _now: [], values)


def _options(options: tuple[str, ...], chance: random.Random) -> Field:
    chosen = list(options)
    if len(chosen) > 3 and chance.random() < 0.3:
        chosen = chance.sample(chosen, chance.randint(3, len(chosen)))
    chance.shuffle(chosen)
    shape = chance.choice(
        (str, str, lambda w: w.replace(" ", "_").replace("-", "_"), lambda w: w.upper().replace(" ", "_"), str.title)
    )
    values = {option.split("/")[0]: shape(option.split("/")[0]) for option in chosen}
    words = {option.split("/")[0]: option.split("/") for option in chosen}

    def say(c: random.Random, now: datetime) -> list[Said]:
        option = c.choice(list(values))
        said = words[option][0] if c.random() < 0.6 else c.choice(words[option])
        return [(said, values[option])]

    literals = {
        option.split("/")[0]: shape(option.split("/")[0]) for option in options if option.split("/")[0] in values
    }
    return Field({"type": "string", "enum": list(values.values())}, say, literals)


def _list(inner: str, name: str, vocabulary: Mapping[str, tuple[str, ...]], chance: random.Random) -> Field:
    item = declare(inner, name, vocabulary, chance)

    def say(c: random.Random, now: datetime) -> list[Said]:
        found: dict[object, str] = {}
        for _ in range(c.choice((1, 2, 2, 2, 3, 3, 4)) * 2):
            for words, value in item.say(c, now):
                if len(found) < 4:
                    found.setdefault(value, words)
        wanted = c.choice((1, 2, 2, 2, 3, 3, 4))
        return [(words, value) for value, words in list(found.items())[:wanted]]

    return Field({"type": "array", "items": dict(item.schema)}, say)


def _weekdays(chance: random.Random) -> Field:
    shape = chance.choice((str, str.capitalize, lambda d: d[:3], lambda d: d[:3].upper()))
    days = [shape(d) for d in moments.WEEKDAYS]

    def say(c: random.Random, now: datetime) -> list[Said]:
        chosen = sorted(c.sample(range(7), c.choice((1, 1, 2, 2, 3))))
        return [
            (moments.WEEKDAYS[d].capitalize() if c.random() < 0.7 else moments.WEEKDAYS[d], days[d]) for d in chosen
        ]

    return Field({"type": "array", "items": {"type": "string", "enum": days}}, say)


def _moment(kind: str, name: str, chance: random.Random) -> Field | None:
    if kind == "dur":
        if name not in _DURATION_UNITS and chance.random() < 0.12:
            return Field({"type": "string", "format": "duration"}, lambda c, _now: [_iso(c)], hint="ISO 8601 duration")
        unit = _DURATION_UNITS.get(name) or chance.choice(("second", "minute", "minute", "hour"))
        kinds: dict[str, object] = {"type": "integer"} if chance.random() < 0.8 else {"type": "number"}
        if chance.random() < 0.3:
            kinds["minimum"] = chance.choice((0, 1))
        return Field(kinds, lambda c, _now: [moments.duration(c, unit)], hint=f"in {unit}s")
    if kind == "time":
        shape: dict[str, object] = {"type": "string"}
        if chance.random() < 0.5:
            shape["format"] = "time"
        return Field(shape, lambda c, _now: [moments.clock(c)], hint="HH:MM")
    if kind == "date":
        shape = {"type": "string", "format": "date"} if chance.random() < 0.7 else {"type": "string"}
        return Field(shape, lambda c, now: [moments.day(c, now)], hint="YYYY-MM-DD", relative=True)
    if kind == "datetime":
        return Field(
            {"type": "string", "format": "date-time"},
            lambda c, now: [moments.moment(c, now)],
            hint="ISO 8601",
            relative=True,
        )
    return _weekdays(chance) if kind == "weekdays" else None


def _iso(chance: random.Random) -> Said:
    words, seconds = moments.duration(chance, "second")
    return words, moments.iso_duration(seconds)


def _written(kind: str, chance: random.Random) -> Field:
    if kind == "email":
        return Field(
            {"type": "string"} | ({"format": "email"} if chance.random() < 0.5 else {}),
            lambda c, _now: [(w := _email(c), w)],
        )
    if kind == "phone":
        return Field({"type": "string"}, lambda c, _now: [(w := _phone(c), w)])
    if kind == "code":
        return Field({"type": "string"}, lambda c, _now: [(w := _code(c), w)])
    if kind == "bignumber":
        return Field({"type": "integer"}, lambda c, _now: [(str(n := c.randint(100, 99999)), n)])
    return _entity(lists()[kind], chance, 0.12)


def _email(chance: random.Random) -> str:
    first = chance.choice(("anna", "b.novak", "info", "sales", "j_miller", "support", "tina.roth", "lee42", "office"))
    host = chance.choice(("example", "mail", "acme", "post", "farm-co", "lab"))
    return f"{first}@{host}.{chance.choice(('com', 'org', 'net', 'de', 'io'))}"


def _phone(chance: random.Random) -> str:
    digits = "".join(chance.choice("0123456789") for _ in range(7))
    return chance.choice(
        (
            f"555-{digits[:4]}",
            f"0{chance.randint(10, 99)} {digits}",
            f"+49 {digits[:3]} {digits[3:]}",
            f"0{chance.randint(151, 179)}{digits}",
        )
    )


def _code(chance: random.Random) -> str:
    letters = "".join(chance.choice("ABCDEFGHKLMNPRSTXZ") for _ in range(chance.randint(1, 3)))
    number = chance.randint(1, 9999)
    return chance.choice(
        (f"{letters}-{number}", f"{letters}{number}", f"{number}", f"#{number}", f"{letters}/{number}")
    )
