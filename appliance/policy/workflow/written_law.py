"""The law as it was written, read once more and apart from its tables: what `promises` measure every step by.

Nothing here is used by the gate. A mistake in the compiler or the gate that these lines do not share shows as a broken
promise.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import ToolSpec
from appliance.policy.workflow import grammar
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.expression import Declared, Node
from appliance.policy.workflow.language import Grant, State
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.measuring import looking
from appliance.policy.workflow.run import Context
from appliance.policy.workflow.words import Bounds, Selection

_PART = re.compile(r"([a-z_0-9]+)(?:\[(\d+)\])?")


def means(selection: Selection | Grant, spec: ToolSpec, call: GroundedCall) -> bool:
    """Return whether *selection* means the call."""
    kind, colon, rest = selection.tool.partition(":")
    if not colon:
        named = fnmatchcase(spec.name, selection.tool)
    else:
        named = {"tag": rest in spec.tags, "family": rest == spec.family, "risk": rest == spec.risk.value}[kind]
    return named and all(_is_wanted(wanted, call.arguments.get(name)) for name, wanted in selection.where.items())


def _is_wanted(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Bounds):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (wanted.min is None or value >= wanted.min) and (wanted.max is None or value <= wanted.max)
    if isinstance(wanted, list):
        return any(_is_wanted(one, value) for one in wanted)
    if isinstance(wanted, str):
        return isinstance(value, str) and value.lower() == wanted.lower()
    return (type(wanted) is type(value) and wanted == value) or (
        {type(wanted), type(value)} == {int, float} and wanted == value
    )


_READ: WeakKeyDictionary[Compiled, dict[str, Node]] = WeakKeyDictionary()
"""The guards of each law, read once more and apart from its tables."""


def truth(loaded: Loaded, text: str, now: Moment, context: Context) -> bool | None:
    """Ask the guard *text*."""
    known = _READ.setdefault(loaded.compiled, {})
    if text not in known:
        known[text] = _read(loaded, text)
    return known[text].truth(looking(loaded.law.measures, context, now), [])


def _read(loaded: Loaded, text: str) -> Node:
    measures = {name: Declared(m.type, m.unit, m.words) for name, m in loaded.law.measures.items()}
    named: dict[str, Node] = {}
    waiting = dict(loaded.law.guards)
    while waiting:
        for name in list(waiting):
            try:
                named[name] = grammar.parse(waiting[name], measures, named)
                del waiting[name]
            except grammar.Faulty:
                continue  # it names one that is not read yet
    return grammar.parse(text, measures, named)


def at(law: Any, path: str) -> Any:
    """Return what stands at *path* in the file."""
    found = law
    for part in path.split("."):
        name, index = _PART.fullmatch(part).groups()  # type: ignore[union-attr]  # our own paths are made of such parts
        found = found[name] if isinstance(found, dict) else getattr(found, name)
        if index is not None:
            found = found[int(index)]
    return found


def states_in(loaded: Loaded, around: list[str]) -> dict[str, State]:
    """Return the states of the part that is laid out there; those of the file at the top."""
    if not around:
        return loaded.law.states
    holder = state(loaded, "/".join(around))
    return {} if holder.part is None else loaded.law.parts[holder.part].states


def state(loaded: Loaded, name: str) -> State:
    """Return the state *name*, in whatever part."""
    first, *rest = name.split("/")
    state = loaded.law.states[first]
    for part in rest:
        assert state.part is not None  # a name with a stroke is in a part
        state = loaded.law.parts[state.part].states[part]
    return state
