"""Several calls of one request: whose words are whose, in which order, none twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from appliance.contracts.toolcall import GroundedCall, Mention, Span, ToolCall
from appliance.contracts.toolspec import ToolSpec

_AMOUNTS: Final = frozenset({"integer", "number"})


def own_words(calls: Sequence[ToolCall], specs: Mapping[str, ToolSpec]) -> tuple[ToolCall, ...]:
    """Take an amount away from a call that borrowed it, so that it is asked for instead.

    A name may be shared ("turn off and lock the hall"). An amount may not be shared by calls of two tools when it was
    said before the second was asked for ("heat for ten minutes and run the fan"), nor by two parameters of one call.
    """
    cleared = [_within_one(call, specs.get(call.tool)) for call in calls]
    for later in range(len(cleared)):
        for earlier in range(len(cleared)):
            first, second = cleared[earlier], cleared[later]
            if first.tool != second.tool and _starts_after(second, first):
                cleared[later] = _without_borrowed(second, first, specs)
    return tuple(cleared)


def outdone(call: ToolCall, other: ToolCall, *, complete: bool) -> bool:
    """Return whether *other*, a complete call, says all that *call* says about the same words.

    One clause asks for one act: "bedside lamp to fifteen percent" is not also a wish to switch it on. A call goes only
    where nothing is lost with it: each of its words is a word of the other, and it is incomplete, says less, or is less
    sure.
    """
    if call.tool == other.tool or call.anchor is None or other.anchor is None:
        return False
    if call.anchor.start >= other.anchor.end or other.anchor.start >= call.anchor.end:
        return False
    mine, others = _words(call), _words(other)
    if not mine <= others:
        return False
    # A complete call without words of its own ("turn the heating off") is an act that nothing else says.
    return not complete or (bool(mine) and (len(mine) < len(others) or call.confidence < other.confidence))


def arrange(calls: Sequence[GroundedCall]) -> tuple[GroundedCall, ...]:
    """Return the calls in the order in which they were asked for, none twice."""
    kept: list[GroundedCall] = []
    for call in sorted(calls, key=_position):
        if not any(k.tool == call.tool and k.arguments == call.arguments for k in kept):
            kept.append(call)
    return tuple(kept)


def _words(call: ToolCall) -> frozenset[int]:
    return frozenset(at for m in call.mentions.values() for s in m.spans for at in range(s.start, s.end))


def _position(call: GroundedCall) -> tuple[int, int]:
    values = min((s.start for spans in call.spans.values() for s in spans), default=0)
    return (call.anchor.start if call.anchor is not None else values, values)


def _within_one(call: ToolCall, spec: ToolSpec | None) -> ToolCall:
    """Leave an amount to the parameter that the network is surest of."""
    owner: dict[tuple[Span, ...], str] = {}
    dropped: set[str] = set()
    for name, mention in sorted(call.mentions.items(), key=lambda item: (-item[1].confidence, item[0])):
        if not _is_amount(spec, name) or not mention.spans:
            continue
        if mention.spans in owner:
            dropped.add(name)
        owner.setdefault(mention.spans, name)
    return _dropping(call, dropped)


def _starts_after(second: ToolCall, first: ToolCall) -> bool:
    return first.anchor is not None and second.anchor is not None and second.anchor.start > first.anchor.start


def _without_borrowed(second: ToolCall, first: ToolCall, specs: Mapping[str, ToolSpec]) -> ToolCall:
    assert second.anchor is not None
    lent = {s for n, m in first.mentions.items() if _is_amount(specs.get(first.tool), n) for s in m.spans}
    borrowed = {
        name
        for name, mention in second.mentions.items()
        if _is_amount(specs.get(second.tool), name)
        and mention.spans
        and all(s in lent and s.end <= second.anchor.start for s in mention.spans)
    }
    return _dropping(second, borrowed)


def _dropping(call: ToolCall, names: set[str]) -> ToolCall:
    if not names:
        return call
    kept: dict[str, Mention] = {n: m for n, m in call.mentions.items() if n not in names}
    return call.model_copy(update={"mentions": kept})


def _is_amount(spec: ToolSpec | None, name: str) -> bool:
    parameter = spec.parameter(name) if spec is not None else None
    return parameter is not None and parameter.kind in _AMOUNTS and parameter.options is None
