"""Arguments that come as values (operator, controller, timer): checked, never repaired."""

from __future__ import annotations

from pydantic import JsonValue

from appliance.contracts.toolcall import RefusalCode
from appliance.contracts.toolspec import Parameter
from appliance.grounding import entities, schema
from appliance.grounding.schema import Objection
from appliance.grounding.values import words


def read(parameter: Parameter, value: JsonValue) -> JsonValue | Objection:
    """Return *value* as the parameter wants it, or why it will not do.

    A name of the site may differ in letter case; everything else must be exact.
    """
    if (
        isinstance(value, float)
        and value.is_integer()
        and parameter.kind == "integer"
        and abs(value) <= schema.MAX_INTEGER
    ):
        value = int(value)
    if parameter.entities and isinstance(value, str) and value not in parameter.entities:
        same = [e for e in parameter.entities if words.folded(e) == words.folded(value)]
        if len(same) == 1:
            return same[0]
        near = entities.link(value, parameter.entities)
        return (
            near
            if isinstance(near, Objection)
            else Objection(RefusalCode.UNKNOWN_NAME, f'There is nothing called "{value[:60]}" here. Near: {near}.')
        )
    if parameter.kind == "array" and isinstance(value, list) and parameter.items is not None:
        found = [read(parameter.items.model_copy(update={"name": parameter.name}), entry) for entry in value[:10_000]]
        refused = next((f for f in found if isinstance(f, Objection)), None)
        if refused is not None:
            return refused
        value = [*(f for f in found if not isinstance(f, Objection)), *value[10_000:]]
    return schema.check(parameter, value) or value
