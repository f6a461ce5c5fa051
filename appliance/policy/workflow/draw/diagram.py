"""A law to boxes and lines: what every form of drawing shows, in the words of the file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from appliance.policy.workflow.complaint import Complaint
from appliance.policy.workflow.language import Approval, Arrow, Grant, State
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.selecting import described
from appliance.policy.workflow.words import RETURN, duration

BoxKind = Literal["state", "part", "outcome", "return", "any"]
LineKind = Literal["event", "tool", "measured", "time", "deadline", "cap", "interrupt", "outcome"]


class Box(NamedTuple):
    """A state, or an outcome of a part."""

    name: str
    kind: BoxKind
    about: str = ""
    lines: tuple[str, ...] = ()
    """What is allowed here, and for how long."""

    is_initial: bool = False
    is_safe: bool = False
    findings: tuple[Complaint, ...] = ()


class Line(NamedTuple):
    """An arrow."""

    source: str
    target: str
    label: str
    kind: LineKind
    key: str
    findings: tuple[Complaint, ...] = ()


class Diagram(NamedTuple):
    """The states of the file, or of one of its parts."""

    name: str
    """Of the part; empty for the file itself."""

    about: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


ANY_STATE: Final = "any state"
"""Where interrupts are drawn from, or every state would have one more arrow for each."""


def diagrams(loaded: Loaded, findings: Iterable[Complaint] = ()) -> tuple[Diagram, ...]:
    """Return the file's diagram and one for each part."""
    law = loaded.law
    by_line: dict[int, list[Complaint]] = {}
    for finding in findings:
        by_line.setdefault(finding.place.line, []).append(finding)
    taken: set[int] = set()
    main = _diagram(loaded, ("states",), law.states, "", law.title, (), law.initial, by_line, taken)
    boxes = tuple(box._replace(is_safe=box.name == law.safe) for box in main.boxes)
    parts = [
        _diagram(
            loaded,
            ("parts", name, "states"),
            part.states,
            name,
            part.about,
            part.outcomes,
            part.initial,
            by_line,
            taken,
        )
        for name, part in law.parts.items()
    ]
    breaking_in = tuple(_interrupts(loaded, by_line, taken))
    if breaking_in:
        boxes = (*boxes, Box(ANY_STATE, "any"))
    return (main._replace(boxes=boxes, lines=(*main.lines, *breaking_in)), *parts)


def _diagram(
    loaded: Loaded,
    path: tuple[str, ...],
    states: Mapping[str, State],
    name: str,
    about: str,
    outcomes: tuple[str, ...],
    initial: str,
    by_line: dict[int, list[Complaint]],
    taken: set[int],
) -> Diagram:
    boxes, lines, found_at = [], [], sorted(by_line)
    starts = [loaded.tree.place(*path, state).line for state in states]
    ends = [*starts[1:], 10**9]
    for (state_name, state), start, end in zip(states.items(), starts, ends, strict=True):
        for line in _lines(state_name, state):
            at = loaded.tree.place(*path, state_name, *_steps(line.key))
            own = tuple(by_line.get(at.line, ())) if at.line != start else ()
            taken.update([at.line] if own else [])
            lines.append(line._replace(findings=own))
        mine = tuple(
            found
            for n in found_at[bisect_left(found_at, start) : bisect_left(found_at, min(end, start + 400))]
            if n not in taken
            for found in by_line[n]
        )
        taken.update(found.place.line for found in mine)
        boxes.append(_box(state_name, state, is_initial=state_name == initial, findings=mine))
    boxes += [Box(outcome, "outcome") for outcome in outcomes]
    if any(line.target == RETURN for line in lines):
        boxes.append(Box(RETURN, "return", "to where it was"))
    return Diagram(name, about, tuple(boxes), tuple(lines))


def _steps(key: str) -> tuple[str | int, ...]:
    """Return the path of an arrow inside its state: `go[0]`, `outcomes.done`, `deadline`."""
    kind, bracket, n = key.rstrip("]").partition("[")
    return (kind, int(n)) if bracket else tuple(key.split("."))


def _box(name: str, state: State, *, is_initial: bool, findings: tuple[Complaint, ...]) -> Box:
    lines = [_granted(grant) for grant in state.tools]
    lines += [f"on entry: {act.call}" for act in state.enter]
    lines += [f"on exit: {act.call}" for act in state.exit]
    if state.part is not None:
        lines.append(f"part: {state.part}")
    if state.calls is not None:
        lines.append(f"at most {state.calls.max} call{'s' if state.calls.max != 1 else ''}")
    if state.swap:
        lines.append("new versions take over here")
    if state.escalation:
        lines.append("a second model may be asked here")
    kind: BoxKind = "state" if state.part is None else "part"
    return Box(name, kind, state.about, tuple(lines), is_initial=is_initial, findings=findings)


def _granted(grant: Grant) -> str:
    text = described(grant)
    if grant.when is not None:
        text += f" if {grant.when}"
    if grant.confirm:
        text += ", confirmed"
    return text + (f", {_approval(grant.approve)}" if grant.approve is not None else "")


def _approval(need: Approval) -> str:
    who = f"an {need.role}" if need.people == 1 else f"{need.people} {need.role}s"
    return f"approved by {who} within {duration(need.within)}"


def _lines(name: str, state: State) -> Iterable[Line]:
    for n, arrow in enumerate(state.go):
        label, kind = _cause(arrow)
        if arrow.approve is not None:
            label += f"\n{_approval(arrow.approve)}"
        yield Line(name, arrow.to, label, kind, f"go[{n}]")
    for outcome, target in state.outcomes.items():
        yield Line(name, target, outcome, "outcome", f"outcomes.{outcome}")
    if state.calls is not None and state.calls.to is not None:
        yield Line(name, state.calls.to, f"after {state.calls.max} calls", "cap", "calls")
    if state.deadline is not None:
        yield Line(
            name, state.deadline.to, f"at the latest after {duration(state.deadline.after)}", "deadline", "deadline"
        )


def _cause(arrow: Arrow) -> tuple[str, LineKind]:
    when = f"\nif {arrow.when}" if arrow.when is not None else ""
    if arrow.event is not None:
        return f"say {arrow.event}{when}", "event"
    if arrow.tool is not None:
        return f"{described(arrow.tool)}: {arrow.result or 'done'}{when}", "tool"
    if arrow.after is not None:
        return f"after {duration(arrow.after)}{when}", "time"
    if arrow.at is not None:
        return f"at {arrow.at}{when}", "time"
    return str(arrow.when), "measured"


def _interrupts(loaded: Loaded, by_line: dict[int, list[Complaint]], taken: set[int]) -> Iterable[Line]:
    for name, interrupt in loaded.law.interrupts.items():
        said = f"say {interrupt.event}" if interrupt.event else ""
        label = "\nif ".join(part for part in (said, interrupt.when or "") if part)
        if interrupt.unless_in:
            label += f"\nnot in {', '.join(interrupt.unless_in)}"
        place = loaded.tree.place("interrupts", name)
        own = tuple(by_line.get(place.line, ()))
        taken.update([place.line] if own else [])
        yield Line(ANY_STATE, interrupt.to, label, "interrupt", f"interrupts.{name}", own)
