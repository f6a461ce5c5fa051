"""Values to the words and tables that a report is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue

from appliance.contracts import decision, people, steps_plainly, workflow
from appliance.contracts.decision import Asker
from appliance.contracts.plainly import plain_name, shown_value
from appliance.ledger.markup import Node, el
from appliance.ledger.story import Told

_WHO: Final = {
    "operator": "A person at the device",
    "controller": "The controller",
    "timer": "A timer",
    "system": "The device itself",
}

_CODES: Final = {
    "nothing_to_do": "no tool here does that, or nothing was asked",
    "negated": "the words say not to",
    "out_of_range": "a value is out of range",
    "ungrounded": "something that the words do not carry, or that no tool here serves",
    "unreadable": "a value could not be read",
    "unknown_name": "nothing here has that name",
    "unknown_tool": "there is no such tool",
    "unsure": "not sure enough what was meant",
    "unsupported": "a value of a kind that cannot be filled here",
    "expired": "too old, or nobody answered in time",
    "declined": "a person said no",
    "not_english": "not in a language that it understands",
    "no_model": "no usable model",
    "stale": "said before a restart",
    "not_waiting": "nothing waited for that",
    "power-cut": "the power went while it was under way",
    "missing": "something was missing",
    "risk": "it is risky",
    "confidence": "not sure enough what was meant",
    "emergency-stop": "the emergency stop was latched",
    "recordable": "it could not be recorded",
    "maintenance": "somebody had locked the device for maintenance",
    "laws": "the laws of the device could not be used",
    "unknown_event": "no workflow knows that event",
    "held": "what it takes did not hold",
    "illegal": "nothing waited for that there",
    "lapsed": "it came too late, or was refused",
    "disabled-tools": "the owner has switched that tool off",
    "roles": "whoever asked may not",
}
"""A refusal's code, or the rule that refused or wanted a yes."""

_PEOPLE: Final[dict[people.Happened, str]] = {
    "enrolled": "somebody was enrolled",
    "removed": "somebody was removed",
    "role": "somebody has another role",
    "pin": "somebody changed their PIN",
    "recovered": "whoever runs the device gave somebody a new PIN",
    "wrong": "a wrong name or PIN",
}

_EVENTS: Final = {
    "epoch": "The log begins",
    "boot": "The device started",
    "shutdown": "The device was shut down",
    "refused_message": "A message from outside was refused",
    "command": "A controller had something done that is no request",
    "laws": "The owner's laws were put into force, or could not be",
    "people": "The list of people changed, or somebody gave a wrong PIN",
    "maintenance": "The maintenance lock",
    "illegal_trigger": "Something was attempted that the device's state does not allow",
    "configured": "A configuration came into force",
    "pruned": "Old records left the device; their hashes stay",
    "redacted": "Personal words were erased",
    "hold": "Records were put under a hold, or released from one",
    "key_rotated": "The device took a new key",
    "salvaged": "Records were saved from a damaged database",
    "gap": "Something was dropped",
    "note": "A note",
}


def at_once(at: str) -> str:
    """Write a time as `2026-11-22 03:12:04 UTC`."""
    try:
        return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return at


def time_of(at: str) -> str:
    """Write the time of day of *at*."""
    try:
        return f"{datetime.fromisoformat(at):%H:%M:%S}"
    except ValueError:
        return at


def count(n: int, what: str) -> str:
    """Write a number of things: `1 tool`, `3 tools`."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def meant(code: str) -> str:
    """Say in plain words why something was not done."""
    kind, colon, name = code.partition(":")
    match kind:
        case "workflow" if colon:
            law, _, state = name.partition("/")
            return f"the workflow {plain_name(law)} does not allow it" + (f" in {state}" if state else "")
        case "rule" if colon:
            return f"a rule of the laws, {plain_name(name)}"
        case _:
            return _CODES.get(code, plain_name(code))


def quoted(text: str) -> str:
    """Put *text* in quotation marks."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"


def named(arguments: dict[str, JsonValue]) -> str:
    """Write arguments on one line: `room kitchen, level pct 30`."""
    return ", ".join(f"{plain_name(name)} {shown_value(value)}" for name, value in arguments.items())


def who(asker: Asker) -> str:
    """Say who asked."""
    name = asker.person or _WHO.get(asker.kind.value, asker.kind.value)
    return f"{name} ({asker.peer}, role {asker.role})"


def facts(*rows: tuple[str, Node]) -> Node:
    """Return a list of names and values."""
    return el("dl", *(part for name, value in rows for part in (el("dt", name), el("dd", value))))


def table(titles: Sequence[str], rows: Iterable[Sequence[Node]], *, classes: Sequence[str] = ()) -> Node:
    """Return a table; *classes* are those of its rows, in order. On a phone each cell is a line with its title."""
    marks = list(classes)
    body = [
        el(
            "tr",
            *(el("td", cell, data_label=title) for title, cell in zip(titles, row, strict=True)),
            class_=marks[n] if n < len(marks) else "",
        )
        for n, row in enumerate(rows)
    ]
    return el("table", el("thead", el("tr", *(el("th", title) for title in titles))), el("tbody", *body))


def line_of(record: Told) -> str:
    """Say in one line what *record* records."""
    words = record.personal.get("text")
    said = f" {quoted(words)}" if isinstance(words, str) else ""
    match record.typed:
        case decision.Decided(calls=calls):
            return f"Decided to act: {'; '.join(plain_name(call.tool) for call in calls)}.{said}"
        case decision.Parked(comes_to="approve"):
            return f"Waits for enrolled people to approve.{said}"
        case decision.Parked(status=status):
            return ("Asked a question back." if status == "asked" else "Waits for a person's yes.") + said
        case decision.Refused(code=code):
            return f"Refused: {meant(code)}.{said}"
        case decision.Step(next_call=n):
            return f"Call {n} is done, goes on with the next."
        case decision.Settled(status=status, code=code) | decision.Closed(status=status, code=code):
            return f"Ended: {status}{f', {meant(code)}' if code else ''}.{said}"
        case decision.InDoubt():
            return "The power went or a fault came while it acted: it may or may not have happened."
        case decision.Resolved(happened=happened, peer=peer):
            return f"A person ({peer}) looked: it {'happened' if happened else 'did not happen'}."
        case decision.Answered(asked_as="approve", yes=yes, origin=origin):
            return f"{who(origin)} {'approved' if yes else 'refused'}."
        case decision.Answered(asked_as=asked_as, yes=yes):
            return ("A person answered." if asked_as == "answer" else f"A person said {'yes' if yes else 'no'}.") + said
        case workflow.Step() as step:
            return f"Workflow {steps_plainly.line(step)}."
        case _:
            return _event(record)


def _laws(read: workflow.LawsRead) -> str:
    """Say which laws are in force from a record on."""
    if read.barred:
        return f"Nothing may act: {read.barred}."
    laws = ", ".join(f"{law.name} version {law.version}" for law in read.laws) or "none"
    whose = f" (set {read.number}, signed by {read.signed_by})" if read.signed_by else ""
    why = f" What lay there was not used: {read.complaints[0]}." if read.complaints else ""
    return f"Laws in force: {laws}{whose}.{why}"


def _event(record: Told) -> str:
    match record.typed:
        case workflow.LawsRead() as read:
            return _laws(read)
        case people.PersonFacts() as person:
            by = f" by {person.by_person}" if person.by_person else ""
            return f"People: {_PEOPLE[person.what]}{f' ({person.name})' if person.name else ''}{by}."
    if record.kind == "maintenance":
        by, why = _text(record.facts.get("by")), record.personal.get("why")
        said = f": {why}" if isinstance(why, str) and why else ""
        return f"Locked for maintenance by {by}{said}." if record.facts.get("on") else f"Lock released by {by}."
    if record.kind == "emergency":
        if not record.facts.get("latched"):
            return f"Emergency stop released by {_text(record.facts.get('peer'))}."
        why = record.personal.get("reason")
        return (
            f"EMERGENCY STOP by {_text(record.facts.get('peer'))}.{f' {why}' if isinstance(why, str) and why else ''}"
        )
    event = record.facts.get("event")
    return f"{_EVENTS.get(record.kind, plain_name(record.kind))}{f': {event}' if isinstance(event, str) else ''}."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "somebody"
