"""Findings about guards, measures and names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from appliance.policy.workflow import expression, satisfy
from appliance.policy.workflow.compiled import Way, trigger_of
from appliance.policy.workflow.complaint import Complaint, Place
from appliance.policy.workflow.expression import Guard
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.world import World


class _Meeting(NamedTuple):
    """Of two guards."""

    values: satisfy.Values | None
    """Under which both hold."""

    differs: bool
    """The other one also holds without the first."""


def overlapping_guards(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Arrows of one cause that hold at once, so that only their order decides; or never, as one comes first."""
    meetings: dict[tuple[str, str], _Meeting] = {}
    for state in loaded.compiled.states.values():
        alike: dict[tuple[object, ...], list[Way]] = {}
        for way in state.ways:
            alike.setdefault((way.cause, trigger_of(way), way.after_s, way.at), []).append(way)
        for ways in alike.values():
            for one, other in itertools.combinations(ways, 2):
                if one.to != other.to and _same_cause(one, other):
                    yield from _overlap(loaded, meetings, one, other)


def _same_cause(one: Way, other: Way) -> bool:
    """Return whether two arrows of the same kind, trigger and time have the same cause."""
    match one.cause:
        case "event" | "measured" | "after" | "at":
            return True
        case "tool":
            assert one.tool is not None  # as the cause says, like the next
            assert other.tool is not None
            shared = "any" in {one.result, other.result} or one.result == other.result
            return shared and one.tool == other.tool
        case _:
            return False


def _overlap(loaded: Loaded, meetings: dict[tuple[str, str], _Meeting], one: Way, other: Way) -> Iterator[Complaint]:
    if one.guard is None:
        if one.cause != "tool" or one.result in {"any", other.result}:
            what = f"never taken: the arrow in line {one.place.line} has the same cause and no guard, and comes first"
            yield Complaint(other.place, what, "put it before that one, or delete it", "overlapping-guards")
        return
    if other.guard is None:
        return  # `otherwise`: the usual way to write it
    pair = (one.guard.text, other.guard.text)
    if pair not in meetings:  # a large file asks the same in many places
        meetings[pair] = _meeting(one.guard, other.guard, loaded)
    values, differs = meetings[pair]
    if values is None:
        return
    if not differs:
        what = f"never taken: the arrow in line {one.place.line} holds whenever this one does, and comes first"
        yield Complaint(other.place, what, "put it before that one, or delete it", "overlapping-guards")
        return
    example = ", ".join(f"{name} is {'unknown' if value is None else value}" for name, value in values.items())
    what = f"holds together with the arrow in line {one.place.line} ({one.to}), which comes first: when {example}"
    yield Complaint(other.place, what, "make the guards exclude each other", "overlapping-guards", "warning")


def _meeting(one: Guard, other: Guard, loaded: Loaded) -> _Meeting:
    values = satisfy.example((one.node, other.node), loaded.compiled.measures)
    return _Meeting(values, values is not None and _differs(one, other, loaded))


def _differs(one: Guard, other: Guard, loaded: Loaded) -> bool:
    """Return whether *other* ever holds without *one*."""
    nodes = (one.node, other.node)
    for values in satisfy.worlds(nodes, loaded.compiled.measures):
        look = satisfy.looking(values)
        if other.node.truth(look, []) is True and one.node.truth(look, []) is not True:
            return True
    return False


def impossible_guard(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Guards that nothing measured can satisfy."""
    law, never = loaded.compiled, {}
    for guard, place in _guards(loaded):
        if guard.text not in never:  # a large file asks the same in many places
            tried = next(satisfy.worlds((guard.node,), law.measures), None)
            never[guard.text] = tried is not None and satisfy.example((guard.node,), law.measures) is None
        if never[guard.text]:
            yield Complaint(
                place, f"`{guard.text}` never holds", "look at its values and at and / or", "impossible-guard"
            )


def _guards(loaded: Loaded) -> Iterator[tuple[Guard, Place]]:
    seen = set()
    for state in loaded.compiled.states.values():
        found = [(way.guard, way.place) for way in (*state.ways, *state.urgent)]
        found += [(allowed.guard, allowed.place) for allowed in state.allowed]
        for guard, place in found:
            if guard is not None and (guard.text, place) not in seen:
                seen.add((guard.text, place))
                yield guard, place
    for rule in loaded.compiled.rules:
        if rule.guard is not None:
            yield rule.guard, rule.place


def unused_name(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Events and measures that nothing asks for."""
    law = loaded.compiled
    ways = [way for state in law.states.values() for way in (*state.ways, *state.urgent)]
    said = {way.event for way in ways}
    for event in law.events:
        if event not in said:
            place = loaded.tree.place("events", event)
            yield Complaint(
                place, f"nothing waits for the event {event}", "use it, or delete it", "unused-name", "warning"
            )
    asked = {guard.text: guard for guard, _ in _guards(loaded)}
    looked = {name for guard in asked.values() for name in expression.names(guard.node)}
    for measure in law.measures:
        if measure not in looked:
            place = loaded.tree.place("measures", measure)
            yield Complaint(place, f"no guard asks for {measure}", "use it, or delete it", "unused-name", "warning")


def unknown_source(loaded: Loaded, world: World) -> Iterator[Complaint]:
    """Measures of sensors or devices that the site does not have, or that measure something else."""
    for name, measure in loaded.compiled.measures.items():
        place = loaded.tree.place("measures", name)
        if measure.sensor is not None and world.sensors is not None:
            found = {known.casefold(): what for known, what in world.sensors.items()}.get(measure.sensor.casefold())
            if found is None:
                known = ", ".join(sorted(world.sensors)[:12]) or "none"
                what = f"this site has no sensor called {measure.sensor!r}"
                yield Complaint(place, what, f"its sensors: {known}", "unknown-source")
            elif (measure.type, measure.unit) != found:
                is_a = f"{found[0]} in {found[1]}" if found[1] else found[0]
                what = f"{measure.sensor!r} measures a {is_a}, not a {measure.type} {measure.unit}".rstrip()
                yield Complaint(place, what, "declare it as it is measured", "unknown-source")
        if measure.device is not None and world.devices is not None:
            words = {known.casefold(): what for known, what in world.devices.items()}.get(measure.device.casefold())
            if words is None:
                known = ", ".join(sorted(world.devices)[:12]) or "none"
                what = f"this site has no lamp, machine or door called {measure.device!r}"
                yield Complaint(place, what, f"there are: {known}", "unknown-source")
            elif measure.type == "number" or (measure.type == "word" and set(measure.words) - set(words)):
                what = f"{measure.device!r} stands as one of: {', '.join(words)}"
                yield Complaint(
                    place, what, "declare those words, or a boolean for on, running, open", "unknown-source"
                )
