"""What the device measures, as guards see it: typed, plausible and fresh, or unknown with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from appliance.contracts.audit import Moment
from appliance.contracts.workflow import Weighed
from appliance.policy.workflow import expression
from appliance.policy.workflow.expression import Asked, Guard, Look, Truth
from appliance.policy.workflow.language import Measure
from appliance.policy.workflow.run import Context
from appliance.policy.workflow.timing import elapsed_s
from appliance.policy.workflow.words import duration


def looking(measures: Mapping[str, Measure], context: Context, now: Moment) -> Look:
    """Return how guards look at *context*."""

    def look(name: str) -> Asked:
        reading = context.readings.get(name)
        if reading is None or reading.value is None:
            return Asked(name, None, "not measured")
        measure = measures[name]
        age_s = elapsed_s(reading.at, now)
        if age_s is None:
            return Asked(name, None, "measured before a restart")
        if age_s > measure.stale_after:
            return Asked(name, None, f"{duration(round(age_s, 3))} old, stale after {duration(measure.stale_after)}")
        value = reading.value
        match measure.type:
            case "boolean" if isinstance(value, bool):
                return Asked(name, value)
            case "word" if isinstance(value, str) and value in measure.words:
                return Asked(name, value)
            case "number" if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                if measure.between is None or measure.between[0] <= value <= measure.between[1]:
                    return Asked(name, value)
                low, high = measure.between
                return Asked(name, None, f"{value:g} is outside {low:g} to {high:g}, which it can show at all")
        return Asked(name, None, f"{value!r} is no {measure.type} as declared")

    return look


def said(found: Truth) -> Literal["true", "false", "unknown"]:
    """Write what a guard answered."""
    return "true" if found else "unknown" if found is None else "false"


def weighed(what: str, guard: Guard, look: Look) -> tuple[Truth, Weighed]:
    """Ask *guard*, and keep every value that it looked at."""
    found, asked = expression.satisfied(guard, look)
    values: dict[str, JsonValue] = {one.name: one.value for one in asked}
    why = "; ".join(f"{one.name}: {one.why}" for one in asked if one.why)
    return found, Weighed(what=what, said=said(found), text=guard.text, values=values, why=why)


def explained(answer: Weighed) -> str:
    """Write why a guard does not hold."""
    if answer.said == "unknown":
        return f"`{answer.text}` is not known: {answer.why}"
    return f"`{answer.text}` does not hold: {_values(answer)}"


def unmet(answer: Weighed) -> str:
    """Write a condition, and why it is not met: to be read after `only when`."""
    if answer.said != "unknown":
        return f"`{answer.text}`, and {_values(answer)}"
    why = answer.why
    if len(answer.values) == 1:
        # The condition names its one measure already.
        why = why.removeprefix(f"{next(iter(answer.values))}: ")
    return f"`{answer.text}`, which is not known: {why}"


def _values(answer: Weighed) -> str:
    return ", ".join(f"{name} is {_plain(value)}" for name, value in answer.values.items())


def _plain(value: JsonValue) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
