"""Words that carry a value to the value, by the parameter's kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from appliance.contracts.toolcall import RefusalCode
from appliance.contracts.toolspec import Parameter
from appliance.grounding import amounts, entities, options, schema, texts
from appliance.grounding.schema import Objection

_SEPARATOR: Final = re.compile(
    r"\s*(?:,\s*(?:and\s+|or\s+)?|;\s*|\s+(?:and|or|plus|as well as)\s+|\s*&\s*)\s*", re.IGNORECASE
)


def read(parameter: Parameter, said: str, now: datetime) -> JsonValue | Objection:
    """Return the value that *said* says for a parameter that is no list, checked against its schema."""
    value = _value(parameter, said, now)
    if isinstance(value, Objection):
        return value
    return schema.check(parameter, value) or value


def read_list(parameter: Parameter, said: Sequence[str], now: datetime) -> JsonValue | Objection:
    """Return the list that one or several runs of words say, checked against its schema."""
    item = parameter.items or Parameter(name="item")
    item = item.model_copy(
        update={"name": parameter.name, "required": True, "entities": item.entities or parameter.entities}
    )
    item = item.model_copy(
        update={"unit": item.unit or parameter.unit, "description": item.description or parameter.description}
    )
    found: list[JsonValue] = []
    for words_said in said:
        everyone = entities.link_all(words_said, item.entities) if item.entities else ()
        whole = read(item, words_said, now) if len(said) > 1 or _is_one(item, words_said, now) else None
        pieces = [words_said] if whole is not None and not isinstance(whole, Objection) else _pieces(words_said)
        values: list[JsonValue | Objection] = list(everyone)
        for value in values or [read(item, piece, now) for piece in pieces]:
            if isinstance(value, Objection):
                return value
            if value not in found:
                found.append(value)
    return schema.check(parameter, found) or found


def _value(parameter: Parameter, said: str, now: datetime) -> JsonValue | Objection:
    if parameter.options is not None:
        option = options.spelled(parameter, said)
        if option is None:
            listed = ", ".join(str(o) for o in parameter.options[:8])
            return Objection(RefusalCode.UNREADABLE, f'"{said.strip()[:60]}" is none of {listed}.')
        return option
    if parameter.entities:
        return entities.link(said, parameter.entities)
    match parameter.kind:
        case "integer" | "number":
            return amounts.read(parameter, said)
        case "boolean":
            heard = options.polarity(said)
            return (
                heard
                if heard is not None
                else Objection(RefusalCode.UNREADABLE, f'"{said.strip()[:60]}" says neither yes nor no.')
            )
        case "string":
            return texts.read(parameter, said, now)
        case _:
            return Objection(
                RefusalCode.UNSUPPORTED,
                f"{parameter.name} wants {parameter.kind} values, which words cannot fill here.",
            )


def _is_one(item: Parameter, said: str, now: datetime) -> bool:
    """Say whether words with a comma or "and" are one value all the same: a name here, "two hundred and five"."""
    closed = item.options is not None or bool(item.entities) or item.kind in {"integer", "number"}
    return closed and _SEPARATOR.search(said) is not None and not isinstance(read(item, said, now), Objection)


def _pieces(said: str) -> list[str]:
    return [piece for piece in _SEPARATOR.split(said.strip(" .,;:!?")) if piece and piece.strip()] or [said]
