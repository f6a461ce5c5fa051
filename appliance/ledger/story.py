"""Records to what a person can follow: which of them belong to one request, what was said, what came of it.

Covers: records of other software versions (told by their kind alone), words that are withheld or erased.
Does not cover: proof; whoever tells a story has verified the records or will.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from appliance.contracts import decision, forms
from appliance.contracts.decision import CallFacts, CallResult, Decision, Facts
from appliance.contracts.record import JsonObject
from appliance.ledger.archive_format import RecordLine

_BESIDE: Final = frozenset({"note", "run", "maintenance"})
"""Kinds of a request's records that do not say what became of it."""


class Told(NamedTuple):
    """One record, read."""

    seq: int
    asked: bool
    kind: str
    at: str
    monotonic_s: float
    boot: int
    clock: str
    request_id: str | None
    facts: JsonObject
    typed: Facts | None
    """None for a kind that is none of a request's, or of a form that this software does not know."""

    personal: JsonObject
    """Values by name, as far as they are here."""

    withheld: tuple[str, ...]
    """Names of the values that are committed to and not here."""


class Deed(NamedTuple):
    """One call of a request, from its arguments to what came of it."""

    call: CallFacts
    arguments: JsonObject
    """Personal ones too, as far as they are here."""

    result: CallResult | None
    message: str
    state: str


class Story(NamedTuple):
    """A request, from its first record to its last."""

    request_id: str
    records: tuple[Told, ...]
    decision: Decision | None
    """How it was understood and judged: the newest, where it was judged more than once."""

    decided_at: Told
    words: str | None
    deeds: tuple[Deed, ...]
    status: str
    code: str
    reason: str


class Piece(NamedTuple):
    """A stretch of what was said, and the arguments that it carries (`call.name`)."""

    text: str
    marks: tuple[str, ...]
    ends: tuple[str, ...]
    """Arguments whose words end here."""


def read(line: RecordLine) -> Told:
    """Read one record; whatever its facts are."""
    body: dict[str, Any] = json.loads(line.body)
    kind, facts = str(body["kind"]), body["facts"]
    try:
        typed = forms.read(kind, facts)
    except ValueError:
        typed = None
    kept = line.personal or {}
    return Told(
        seq=line.seq,
        asked=line.asked,
        kind=kind,
        at=str(body["at"]),
        monotonic_s=float(body["monotonic_s"]),
        boot=int(body["boot"]),
        clock=str(body["clock"]),
        request_id=body["request_id"],
        facts=facts,
        typed=typed,
        personal={name: value["value"] for name, value in kept.items()},
        withheld=tuple(sorted(set(body["personal"]) - set(kept))),
    )


def stories(records: Iterable[Told]) -> list[Story]:
    """Return the requests among *records*, in order of their beginning; a person's yes belongs to what it answers."""
    of: dict[str, list[Told]] = {}
    for told in records:
        if told.request_id is not None:
            answers = told.facts.get("of") if told.kind == "note" else None
            of.setdefault(answers if isinstance(answers, str) else told.request_id, []).append(told)
    return [_story(request_id, found) for request_id, found in of.items()]


def pieces(words: str, deeds: Sequence[Deed]) -> list[Piece]:
    """Cut *words* where an argument's words begin or end."""
    spans = [
        (span.start, span.end, f"{n}.{name}")
        for n, deed in enumerate(deeds)
        for name, found in deed.call.spans.items()
        for span in found
        if 0 <= span.start < span.end <= len(words)
    ]
    edges = sorted({0, len(words), *(s for s, _, _ in spans), *(e for _, e, _ in spans)})
    return [
        Piece(
            words[start:end],
            tuple(mark for s, e, mark in spans if s <= start and end <= e),
            tuple(mark for _, e, mark in spans if e == end),
        )
        for start, end in pairwise(edges)
    ]


def _story(request_id: str, records: list[Told]) -> Story:
    whole = [(told, told.typed) for told in records if isinstance(told.typed, Decision)]
    decided_at, judged = whole[-1] if whole else (records[-1], None)
    last = next((told for told in reversed(records) if told.kind not in _BESIDE), records[-1])
    deeds = () if judged is None else tuple(_deeds(judged, decided_at, records))
    return Story(
        request_id=request_id,
        records=tuple(records),
        decision=judged,
        decided_at=decided_at,
        words=next((text for told in records if isinstance(text := told.personal.get("text"), str) and text), None),
        deeds=deeds,
        status=_status(last),
        code=_text(last.facts.get("code")),
        reason=_text(last.personal.get("reason")) or " ".join(deed.message for deed in deeds if deed.message),
    )


def _deeds(judged: Decision, at: Told, records: list[Told]) -> Iterator[Deed]:
    results: dict[str, tuple[CallResult, str]] = {}
    doubtful = None
    for told in records:
        match told.typed:
            case decision.Step(calls=calls) | decision.Settled(calls=calls):
                words = told.personal.get("calls")
                for n, done in enumerate(calls):
                    said = words[n] if isinstance(words, list) and n < len(words) else None
                    results[done.call_id] = done, _text(said.get("message")) if isinstance(said, dict) else ""
            case decision.InDoubt(doubtful_call=n):
                doubtful = n
            case _:
                pass
    hidden = at.personal.get("calls")
    for n, call in enumerate(judged.calls):
        own = hidden[n] if isinstance(hidden, list) and n < len(hidden) else None
        result, message = results.get(call.call_id, (None, ""))
        state = result.state if result else _open(at.kind, n, doubtful)
        yield Deed(call, {**call.arguments, **(own if isinstance(own, dict) else {})}, result, message, state)


def _open(kind: str, n: int, doubtful: int | None) -> str:
    """Name the state of a call that no record says the outcome of."""
    if kind != "decided":
        return "waiting" if kind == "parked" else "not done"
    if doubtful is None:
        return "under way"
    return "indeterminate" if n == doubtful else "skipped"


def _status(last: Told) -> str:
    match last.typed:
        case decision.Resolved(happened=happened):
            return "done" if happened else "failed"
        case decision.Decided() | decision.Step():
            return "under way"
        case _:
            return _text(last.facts.get("status")) or last.kind


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
