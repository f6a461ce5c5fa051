"""Findings about tools: that exist, take these arguments, are allowed, in time, and not too dangerous."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue
from rapidfuzz import process

from appliance.contracts.toolspec import Parameter, Risk, ToolSpec
from appliance.policy.workflow import selecting
from appliance.policy.workflow.compiled import Compiled, StateLaw
from appliance.policy.workflow.complaint import Complaint, Place
from appliance.policy.workflow.language import State
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.words import Act, Bounds, Selection, Wanted, duration
from appliance.policy.workflow.world import World

_UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip


def unknown_tool(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Names, globs, tags and families that mean no tool of this site."""
    law = loaded.compiled
    for selection, place in _selections(loaded):
        if not law.meant(selection.tool):
            yield Complaint(
                place,
                f"{selection.tool!r} means no tool of this site",
                _remedy(law, world, selection.tool),
                "unknown-tool",
            )
    for act, place, _ in _acts(loaded):
        if act.call not in law.tools:
            what = f"this site has no tool called {act.call!r}"
            yield Complaint(place, what, _remedy(law, world, act.call), "unknown-tool")


def bad_argument(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Arguments that a tool does not take, or not with these values."""
    law = loaded.compiled
    for act, place, _ in _acts(loaded):
        spec = law.tools.get(act.call)
        if spec is None:
            continue
        for name, value in act.arguments.items():
            parameter = spec.parameter(name)
            wrong = "is no argument of it" if parameter is None else _wrong(parameter, value)
            if wrong:
                known = ", ".join(p.name for p in spec.parameters) or "none"
                yield Complaint(place, f"{act.call}: {name} {wrong}", f"its arguments: {known}", "bad-argument")
        for parameter in spec.parameters:
            if parameter.required and parameter.name not in act.arguments:
                yield Complaint(place, f"{act.call} needs {parameter.name}", "add it under `with`", "bad-argument")
    for selection, place in _selections(loaded):
        specs = law.meant(selection.tool)
        for name, wanted in selection.where.items():
            parameters = [p for spec in specs if (p := spec.parameter(name)) is not None]
            if specs and not parameters:
                yield Complaint(place, f"no tool meant here takes {name!r}", "delete it from `where`", "bad-argument")
            elif parameters and all(any(_wrong(p, value) for value in _values(wanted)) for p in parameters):
                wrong = next(found for value in _values(wanted) if (found := _wrong(parameters[0], value)))
                yield Complaint(place, f"{name} {wrong}", "name a value that it can have", "bad-argument")


def act_not_allowed(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Acts of a state that the state itself does not allow: they would be denied each time."""
    law = loaded.compiled
    for act, place, state in _acts(loaded):
        spec = law.tools.get(act.call)
        if spec is not None and not any(selecting.matches(a.selection, spec, act.arguments) for a in state.allowed):
            what = f"{state.name} does not allow its own act, {act.call} with these arguments"
            yield Complaint(place, what, "add it under the state's `tools`", "act-not-allowed")


def cap_of_zero(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Caps that leave no call for what the state allows."""
    for state in loaded.compiled.states.values():
        if state.cap_n is None:
            continue
        if state.cap_n == 0 and (state.allowed or state.enter):
            yield Complaint(
                state.place,
                f"{state.name} allows tools and caps their calls at 0",
                "raise it, or delete the tools",
                "cap-of-zero",
            )
        elif state.cap_n < len(state.enter):
            what = f"{state.name} makes {len(state.enter)} calls when it is entered and caps calls at {state.cap_n}"
            yield Complaint(state.place, what, "raise the cap", "cap-of-zero")


def deadline_too_short(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Deadlines that are over before a tool can be."""
    law = loaded.compiled
    for state in law.states.values():
        limits = [way for way in state.urgent if way.cause == "deadline"]
        if not limits:
            continue
        shortest = min(limits, key=lambda way: way.after_s)
        for act in state.enter:
            spec = law.tools.get(act.call)
            needs_s = _lasts_s(spec, act) if spec is not None else 0.0
            if needs_s > shortest.after_s:
                what = (
                    f"{act.call} runs for {duration(needs_s)}, and {state.name} ends after {duration(shortest.after_s)}"
                )
                yield Complaint(shortest.place, what, "lengthen the deadline, or shorten the run", "deadline-too-short")
        for spec in _allowed(law, state):
            needs_s = world.times_s.get(spec.name, 0.0)
            if needs_s > shortest.after_s:
                ends = f"{state.name} ends after {duration(shortest.after_s)}"
                what = f"{spec.name} may take {duration(needs_s)}, and {ends}"
                yield Complaint(shortest.place, what, "lengthen the deadline", "deadline-too-short")


def danger(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Tools of high risk against the law's own level of danger."""
    law = loaded.compiled
    if law.danger == "moderate":
        return
    for state in law.states.values():
        high = [spec.name for spec in _allowed(law, state) if spec.risk is Risk.HIGH]
        if not high:
            continue
        if law.danger == "safe":
            what = f"{state.name} allows {high[0]}, of high risk, in a workflow whose danger is `safe`"
            yield Complaint(state.place, what, "delete the tool, or say `danger: moderate`", "danger")
            continue
        if not any(way.cause == "deadline" for way in state.urgent):
            what = f"{state.name} allows {high[0]}, of high risk, for ever"
            yield Complaint(state.place, what, "a dangerous workflow needs a deadline here", "danger")
        if state.cap_n is None:
            what = f"{state.name} allows {high[0]}, of high risk, any number of times"
            yield Complaint(state.place, what, "a dangerous workflow needs `calls` here", "danger")


def unsafe_safe(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """A safe state that allows tools of high risk, or ends by itself with an act."""
    law = loaded.compiled
    if len(law.states) == 1:
        return  # rules beside one state: there is no safer place to go, and the emergency stop itself denies every act
    state = law.states[law.safe]
    for spec in _allowed(law, state):
        if spec.risk is Risk.HIGH:
            what = f"the safe state {state.name} allows {spec.name}, of high risk"
            yield Complaint(state.place, what, "name another state `safe`, or allow it elsewhere", "unsafe-safe")


def outside_governs(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Tools that states allow though the law does not govern them, or governs though no state allows them."""
    law = loaded.compiled
    if loaded.law.governs is None:
        return
    governed = {spec.name for one in law.governs for spec in law.meant(one.tool)}
    allowed = {spec.name for state in law.states.values() for spec in _allowed(law, state)}
    for state in law.states.values():
        for grant in state.allowed:
            meant = law.meant(grant.selection.tool)
            if meant and not any(spec.name in governed for spec in meant):
                what = f"{grant.selection.tool} is not under `governs`, so allowing it here changes nothing"
                yield Complaint(grant.place, what, "add it under `governs`, or delete it", "outside-governs", "warning")
    for name in sorted(governed - allowed):
        what = f"{name} is governed and no state allows it: nobody can ever call it"
        yield Complaint(
            loaded.tree.place("governs"), what, "allow it somewhere, or do not govern it", "outside-governs", "warning"
        )


def rule_outside_governs(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Rules and arrows about calls that the law does not govern: it is never asked about them, and never told."""
    law = loaded.compiled
    if loaded.law.governs is None:
        return
    seen = set()
    for selection, place, holder in _watched(law):
        if not law.meant(selection.tool) or any(_meet(law, selection, governed) for governed in law.governs):
            continue
        if (selection.tool, place) not in seen:
            seen.add((selection.tool, place))
            what = f"{selecting.described(selection)} is not under `governs`, so {holder}"
            yield Complaint(place, what, "add it under `governs`, or delete it", "rule-outside-governs")


def act_outside_governs(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Acts of the law itself that it does not govern: nobody would tell it how they ended."""
    law = loaded.compiled
    for state in law.states.values():
        for act in (*state.enter, *state.exit):
            spec = law.tools.get(act.call)
            if spec is not None and not selecting.any_matches(law.governs, spec, act.arguments):
                what = (
                    f"{state.name} calls {act.call}, which is not under `governs`, so this law never hears how it ended"
                )
                yield Complaint(state.place, what, "add it under `governs`", "act-outside-governs")


def _watched(law: Compiled) -> Iterator[tuple[Selection, Place, str]]:
    for rule in law.rules:
        for selection in rule.rule.tools:
            yield selection, rule.place, f"the rule {rule.name} never holds it back"
        for selection in rule.rule.exclusive.against if rule.rule.exclusive is not None else ():
            yield selection, rule.place, f"the rule {rule.name} never hears of it"
    for state in law.states.values():
        for way in state.ways:
            if way.tool is not None:
                yield way.tool, way.place, "this arrow is never taken"


def _meet(law: Compiled, one: Selection, other: Selection) -> bool:
    """Return whether a call can be meant by both."""
    names = {spec.name for spec in law.meant(one.tool)}
    shared = (_can_be(one.where[name], other.where[name]) for name in one.where.keys() & other.where.keys())
    return any(spec.name in names for spec in law.meant(other.tool)) and all(shared)


def _can_be(one: Wanted, other: Wanted) -> bool:
    """Return whether an argument can be as both want it."""
    if isinstance(one, Bounds) and isinstance(other, Bounds):
        low = max((end for end in (one.min, other.min) if end is not None), default=None)
        high = min((end for end in (one.max, other.max) if end is not None), default=None)
        return low is None or high is None or low <= high
    values, wanted = (other, one) if isinstance(one, Bounds) else (one, other)
    return any(selecting.fits(wanted, value) for value in _values(values))


def _selections(loaded: Loaded) -> Iterator[tuple[Selection, Place]]:
    law, seen = loaded.compiled, set()
    for state in law.states.values():
        found = [(allowed.selection, allowed.place) for allowed in state.allowed]
        found += [(way.tool, way.place) for way in state.ways if way.tool is not None]
        for selection, place in found:
            if (selection.tool, place) not in seen:
                seen.add((selection.tool, place))
                yield selection, place
    for n, selection in enumerate(loaded.law.governs or ()):
        yield selection, loaded.tree.place("governs", n)
    for rule in law.rules:
        against = rule.rule.exclusive.against if rule.rule.exclusive is not None else ()
        yield from ((selection, rule.place) for selection in (*rule.rule.tools, *against))


def _acts(loaded: Loaded) -> Iterator[tuple[Act, Place, StateLaw]]:
    """Yield each act with its place, and a state as it is run that makes it."""
    written: list[tuple[tuple[str, ...], State]] = [(("states", n), s) for n, s in loaded.law.states.items()]
    written += [(("parts", p, "states", n), s) for p, part in loaded.law.parts.items() for n, s in part.states.items()]
    runs: dict[Place, StateLaw] = {}
    for law in loaded.compiled.states.values():
        runs.setdefault(law.place, law)
    for path, state in written:
        run = runs.get(loaded.tree.place(*path)) if state.enter or state.exit else None
        if run is not None:
            for key in ("enter", "exit"):
                yield from ((act, loaded.tree.place(*path, key, n), run) for n, act in enumerate(getattr(state, key)))


def _allowed(law: Compiled, state: StateLaw) -> Iterator[ToolSpec]:
    names = {spec.name for allowed in state.allowed for spec in law.meant(allowed.selection.tool)}
    return (spec for spec in law.tools.values() if spec.name in names)


def _lasts_s(spec: ToolSpec, act: Act) -> float:
    """Return how long the act runs by its own argument: `minutes: 10`."""
    for parameter in spec.parameters:
        value = act.arguments.get(parameter.name)
        if parameter.unit in _UNITS_S and isinstance(value, int | float) and not isinstance(value, bool):
            return value * _UNITS_S[parameter.unit]
    return 0.0


def _wrong(parameter: Parameter, value: JsonValue) -> str:
    if parameter.kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # the ends of a range are kept as decimals
    kinds = _KINDS.get(parameter.kind)
    if kinds is not None and (
        not isinstance(value, kinds) or (isinstance(value, bool) and parameter.kind != "boolean")
    ):
        return f"is of type {parameter.kind}, not {value!r}"
    if parameter.options is not None and value not in parameter.options:
        return f"is one of {', '.join(map(str, parameter.options))}, not {value!r}"
    if parameter.entities and str(value).casefold() not in {name.casefold() for name in parameter.entities}:
        return f"names something that this site does not have: {value!r}"
    if isinstance(value, int | float):
        if parameter.minimum is not None and value < parameter.minimum:
            return f"is at least {parameter.minimum:g}, not {value:g}"
        if parameter.maximum is not None and value > parameter.maximum:
            return f"is at most {parameter.maximum:g}, not {value:g}"
        if parameter.exclusive_minimum is not None and value <= parameter.exclusive_minimum:
            return f"is more than {parameter.exclusive_minimum:g}, not {value:g}"
    return ""


def _values(wanted: Wanted) -> tuple[JsonValue, ...]:
    match wanted:
        case Bounds(min=low, max=high):
            return tuple(end for end in (low, high) if end is not None)
        case list():
            return tuple(wanted)
        case _:
            return (wanted,)


def _remedy(law: Compiled, world: World, name: str) -> str:
    if name in world.needs:
        return f"it needs {world.needs[name]} in appliance.toml"
    near = process.extractOne(name, list(law.tools), score_cutoff=60)
    return f"did you mean {near[0]!r}?" if near else "`appliance workflow tools` lists them"
