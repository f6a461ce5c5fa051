"""Concepts to tools as somebody might declare them: good and poor names, descriptions and schemas."""

import random
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from firmware_models.corpus import values
from firmware_models.corpus.concepts import Concept, Parameter
from firmware_models.corpus.fields import Field

_SHORT: Final = {
    "temperature": "temp",
    "brightness": "bri",
    "position": "pos",
    "level": "lvl",
    "message": "msg",
    "number": "num",
    "quantity": "qty",
    "duration": "dur",
    "seconds": "sec",
    "minutes": "min",
    "value": "val",
    "device": "dev",
    "location": "loc",
    "destination": "dest",
    "volume": "vol",
    "schedule": "sched",
    "program": "prog",
    "maintenance": "maint",
    "inspection": "insp",
    "control": "ctrl",
    "configure": "cfg",
    "reading": "rdg",
    "pressure": "press",
    "humidity": "hum",
    "speed": "spd",
    "description": "desc",
    "parameter": "param",
    "start": "st",
    "threshold": "thr",
    "priority": "prio",
    "direction": "dir",
    "amount": "amt",
    "calendar": "cal",
    "reminder": "rem",
    "language": "lang",
    "address": "addr",
    "recipient": "rcpt",
    "target": "tgt",
    "message text": "msg_txt",
}
_OPAQUE: Final = ("fn_{n}", "tool_{n}", "op{n}", "action_{n}", "f{n}", "cmd_{n}", "x{n}", "api_{n}_v2")
_PREFIX: Final = ("do", "api", "svc", "device", "hub", "my", "v1", "ctl", "cmd", "app")
_FILLERS: Final = (
    "Use this when the user asks for it.",
    "Only one at a time.",
    "Part of the {domain} system.",
    "Works at any hour.",
    "Returns a confirmation.",
    "Requires no special rights.",
    "For {domain}.",
    "Do not guess missing values.",
    "Takes effect at once.",
    "See the manual for details.",
)
_NAME_STYLES: Final = (
    ("snake",) * 8 + ("camel",) * 4 + ("pascal",) * 2 + ("kebab",) + ("dotted",) * 2 + ("terse",) * 2 + ("verbose",)
)


@dataclass(frozen=True)
class Rendered:
    """A concept as one declared tool."""

    concept: Concept
    tool: dict[str, Any]
    names: dict[str, str]
    """Parameter name of each slot."""
    fields: dict[str, Field]
    """Field of each slot."""


def render(
    concept: Concept,
    chance: random.Random,
    taken: set[str],
    style: str | None = None,
    keep: AbstractSet[str] = frozenset(),
) -> Rendered:
    """Declare *concept* as a tool whose name is not in *taken*.

    Args:
        style: the habit of the catalogue.
        keep: optional slots that this declaration must have.
    """
    style = style or name_style(chance)
    name, opaque = _tool_name(concept, chance, style)
    while name in taken:
        name, opaque = _tool_name(concept, chance, chance.choice(_NAME_STYLES))
        if name in taken:
            name = f"{name}_{chance.randint(2, 99)}"
    taken.add(name)
    parameters = list(concept.parameters)
    chance.shuffle(parameters)
    if chance.random() < 0.7:
        parameters.sort(key=lambda p: not p.required)
    optional = [p for p in parameters if not p.required]
    for parameter in optional:
        if parameter.slot not in keep and chance.random() < 0.35:
            parameters.remove(parameter)
    names: dict[str, str] = {}
    fields: dict[str, Field] = {}
    properties: dict[str, Any] = {}
    generous = chance.random()
    for parameter in parameters:
        plain = _parameter_phrase(parameter, chance)
        shown = _shape(plain, style if style != "dotted" else "snake", chance)
        terse = generous > 0.9 and chance.random() < 0.5
        if terse:
            shown = chance.choice(
                (f"p{len(names) + 1}", f"arg{len(names) + 1}", plain[:1] + str(len(names)), plain[:3].strip() or plain)
            )
        if shown in names.values():
            shown = f"{shown}_{len(names)}"
        names[parameter.slot] = shown
        field = values.declare(parameter.kind, plain, concept.vocabulary, chance)
        fields[parameter.slot] = field
        told = _parameter_description(parameter, field, chance, needed=terse or generous < 0.55)
        properties[names[parameter.slot]] = dict(field.schema) | ({"description": told} if told else {})
    required = [names[p.slot] for p in parameters if p.required]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required or chance.random() < 0.5:
        schema["required"] = required
    tool = {"name": name, "description": _description(concept, chance, opaque=opaque), "parameters": schema}
    return Rendered(concept, tool, names, fields)


def name_style(chance: random.Random) -> str:
    """Choose the habit of a catalogue."""
    return chance.choice(_NAME_STYLES)


def _tool_name(concept: Concept, chance: random.Random, style: str) -> tuple[str, bool]:
    if chance.random() < 0.05:
        return chance.choice(_OPAQUE).format(n=chance.randint(1, 99)), True
    phrase = chance.choice(concept.names)
    if chance.random() < 0.12:
        phrase = f"{concept.domain if chance.random() < 0.6 else chance.choice(_PREFIX)} {phrase}"
    if style == "dotted":
        parts = _words(phrase)
        space = _words(concept.domain)[-1]
        return f"{space}.{'_'.join(parts)}", False
    return _shape(phrase, style, chance), False


def _shape(phrase: str, style: str, chance: random.Random) -> str:
    parts = _words(phrase)
    if style == "camel":
        return parts[0] + "".join(p.capitalize() for p in parts[1:])
    if style == "pascal":
        return "".join(p.capitalize() for p in parts)
    if style == "kebab":
        return "-".join(parts)
    if style == "terse":
        return "_".join(_SHORT.get(p, p) for p in parts)
    return "_".join(parts)


def _words(phrase: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", phrase.lower()) or ["x"]


def _parameter_phrase(parameter: Parameter, chance: random.Random) -> str:
    return parameter.names[0] if chance.random() < 0.3 else chance.choice(parameter.names)


def _parameter_description(parameter: Parameter, field: Field, chance: random.Random, *, needed: bool) -> str:
    told = chance.choice(parameter.descriptions) if parameter.descriptions and (needed or chance.random() < 0.3) else ""
    if field.hint and field.hint.startswith("in ") and field.hint not in told:
        told = f"{told.rstrip('.')} {field.hint}.".strip()
        told = told[0].upper() + told[1:]
    elif field.hint and told and chance.random() < 0.5 and field.hint not in told:
        told = f"{told.rstrip('.')} ({field.hint})."
    return told


def _description(concept: Concept, chance: random.Random, *, opaque: bool) -> str:
    style = chance.random()
    told = chance.choice(concept.descriptions)
    if opaque or style < 0.68:
        return told if chance.random() < 0.8 else told.rstrip(".")
    if style < 0.8:
        return ""
    if style < 0.88:
        return chance.choice(concept.names).capitalize()
    if style < 0.94:
        return f"{told} {chance.choice(_FILLERS).format(domain=concept.domain)}"
    return told.lower().rstrip(".")
