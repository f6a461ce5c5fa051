"""A run's moments in the numbers of a new start of the daemon, where the machine itself was not restarted.

The monotonic clock counts from the start of the machine. A daemon that was ended and started again reads on from the
same clock, so how long a state has lasted is known to the second, also where the time of day is not.
"""

from __future__ import annotations

import json

from pydantic import JsonValue

from appliance.policy.workflow.run import RunState


def rebased(run: RunState, before: int, now: int) -> RunState:
    """Return *run* with every moment of the start numbered *before* as one of the start *now*; older ones stay."""
    body: JsonValue = json.loads(run.model_dump_json())
    assert isinstance(body, dict)  # a record is an object
    used = body.pop("used")
    moved = _moved(body, before, now)
    assert isinstance(moved, dict)
    return RunState.model_validate_json(json.dumps({**moved, "used": _stamps(used, before, now)}))


def _moved(value: JsonValue, before: int, now: int) -> JsonValue:
    if isinstance(value, list):
        return [_moved(one, before, now) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _moved(one, before, now) for name, one in value.items()}
    is_moment = value.keys() == {"at", "monotonic_s", "boot", "clock"}
    return inner | {"boot": now} if is_moment and value["boot"] == before else inner


def _stamps(value: JsonValue, before: int, now: int) -> JsonValue:
    if isinstance(value, dict):
        return {name: _stamps(one, before, now) for name, one in value.items()}
    if isinstance(value, list):
        return [_stamps(one, before, now) for one in value]
    first, _, rest = str(value).partition(" ")
    return f"{now} {rest}" if first == str(before) else value
