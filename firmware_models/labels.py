"""A row and its encoding to what every head should say about it."""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from appliance.contracts.record import JsonScalar
from appliance.contracts.toolcall import Span
from appliance.contracts.toolspec import ToolSpec
from appliance.inference.encoding import Encoded, Encoder, ParameterPlace
from firmware_models.rows import LabelledCall, Row

OUTCOMES: Final = {"call": 0, "ask": 1, "refuse": 2}
"""Columns of act, ask, refuse."""


FEWER_SHARE: Final = 0.15
"""Rows that lose some of the tools nobody asked for: a catalogue of one tool must not mean that it is called."""


class ToolLabel(NamedTuple):
    """A tool marker: should it be called, and again after that?"""

    marker: int
    called: bool
    again: bool


class ParameterLabel(NamedTuple):
    """A parameter marker of a called tool: was it said?"""

    marker: int
    present: bool
    required: bool


class PointerLabel(NamedTuple):
    """A marker and the request tokens it points at: first and last token of every span."""

    marker: int
    spans: tuple[tuple[int, int], ...]


class OptionLabel(NamedTuple):
    """The markers of a parameter's options, and which of them is meant."""

    markers: tuple[int, ...]
    meant: int


class Example(NamedTuple):
    """One sequence to learn from."""

    encoded: Encoded
    tools: tuple[ToolLabel, ...]
    parameters: tuple[ParameterLabel, ...]
    pointers: tuple[PointerLabel, ...]
    options: tuple[OptionLabel, ...]
    outcome: int | None


def example(row: Row, encoder: Encoder, chance: random.Random, crowd: Sequence[ToolSpec] = ()) -> Example:
    """Lay out *row* with its tools in a random order, for a row of repeated calls at a random stage of them.

    Args:
        crowd: tools of other families, to stand beside the row's own as far as they fit.

    Raises:
        InputTooLong: the row does not fit.
    """
    tools = _company(row, encoder, chance, crowd)
    calls = row.line.calls
    done = _already_done(calls, chance)
    used = [span for call in done for span in spans_of(call)]
    encoded = encoder.encode(row.line.request, tools, used)
    waiting = [call for call in calls if call not in done]
    # Out of range is refused by grounding, which can say why; to the network it is a call like any other.
    read_elsewhere = row.line.expect == "refuse" and bool(calls)
    return _label(encoded, waiting, None if done or read_elsewhere else OUTCOMES[row.line.expect])


def _company(row: Row, encoder: Encoder, chance: random.Random, crowd: Sequence[ToolSpec]) -> list[ToolSpec]:
    """The row's tools, now and then fewer of those nobody asked for, or more; in random order."""
    called = {call.name for call in row.line.calls}
    tools = list(row.tools)
    if len(tools) > 1 and called and chance.random() < FEWER_SHARE:
        tools = [tool for tool in tools if tool.name in called or chance.random() < 0.5]
    room = encoder.max_tokens - len(encoder.tokenizer.tokens(row.line.request)) - 2 - sum(map(encoder.tokens_of, tools))
    for tool in crowd:
        cost = encoder.tokens_of(tool)
        if cost <= room and all(tool.name != other.name for other in tools):
            tools.append(tool)
            room -= cost
    chance.shuffle(tools)
    return tools


def spans_of(call: LabelledCall) -> tuple[Span, ...]:
    """All the words that a call took: its arguments' and its anchor's."""
    words = [span for argument in call.arguments.values() for span in argument.words]
    return (*words, *((Span(*call.anchor),) if call.anchor else ()))


def option_index(options: Sequence[JsonScalar], value: object) -> int | None:
    """Which option *value* is; 1 is not true, and 1.0 is 1."""
    for place, option in enumerate(options):
        if option == value and isinstance(option, bool) == isinstance(value, bool):
            return place
    return None


def _already_done(calls: Sequence[LabelledCall], chance: random.Random) -> list[LabelledCall]:
    """The calls an earlier look has made: some of those of a tool called more than once, rarely the only one."""
    repeated = sorted({call.name for call in calls if sum(c.name == call.name for c in calls) > 1})
    if repeated:
        same = [call for call in calls if call.name == chance.choice(repeated)]
        return same[: chance.randint(0, len(same))] if chance.random() < 0.6 else []
    # Without these the network never sees that a request can be finished.
    return list(calls) if len(calls) == 1 and calls[0].arguments and chance.random() < 0.03 else []


def _label(encoded: Encoded, calls: Sequence[LabelledCall], outcome: int | None) -> Example:
    tools: list[ToolLabel] = []
    parameters: list[ParameterLabel] = []
    pointers: list[PointerLabel] = []
    options: list[OptionLabel] = []
    for tool in encoded.tools:
        mine = [call for call in calls if call.name == tool.tool.name]
        tools.append(ToolLabel(tool.marker, bool(mine), len(mine) > 1))
        if not mine:
            continue
        call = mine[0]
        if call.anchor is not None:
            _point(pointers, encoded, tool.marker, (Span(*call.anchor),))
        for place in tool.parameters:
            argument = call.arguments.get(place.parameter.name)
            parameters.append(ParameterLabel(place.marker, argument is not None, place.parameter.required))
            if argument is None:
                continue
            _point(pointers, encoded, place.marker, argument.words)
            _choose(options, place, argument.value)
    return Example(encoded, tuple(tools), tuple(parameters), tuple(pointers), tuple(options), outcome)


def _point(pointers: list[PointerLabel], encoded: Encoded, marker: int, spans: Sequence[Span]) -> None:
    found = tuple(tokens for span in sorted(spans) if (tokens := _tokens(encoded, span)) is not None)
    if found:
        pointers.append(PointerLabel(marker, found))


def _choose(options: list[OptionLabel], place: ParameterPlace, value: object) -> None:
    meant = option_index([option for option, _ in place.options], value)
    if meant is not None and len(place.options) > 1:
        options.append(OptionLabel(tuple(marker for _, marker in place.options), meant))


def _tokens(encoded: Encoded, span: Span) -> tuple[int, int] | None:
    """First and last request token that *span* touches."""
    touched = [i for i, token in enumerate(encoded.request) if token.start < span.end and span.start < token.end]
    return (touched[0], touched[-1]) if touched else None
