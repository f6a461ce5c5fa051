"""A request and the tools at hand to the one sequence that the network reads.

    [CLS] request [SEP]   |tool name: description  |parameter name: description  |option |option  |parameter ...
    |tool ...

Every `|` is a marker: a position that the network fills with what it found out about the tool, parameter or option
behind it. A tool, its parameters and their options are a *block*. A block sees the request and itself, the request
sees everything, and tool markers see each other; every block's positions start anew behind the request. So the order
of the tools does not matter, and a catalogue may be longer than the 512 positions of the encoder.

Text is data: no words of a request or of a tool's description can become a marker, because markers are not written in
text.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from appliance.contracts.record import JsonScalar
from appliance.contracts.toolcall import Span
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.errors import InputTooLong
from appliance.inference.tokenizer import Token, WordPiece

Int32Array = npt.NDArray[np.int32]

POSITIONS_N: Final = 512
"""Rows of the encoder's table of positions: request and longest tool must fit it together."""

SHOWN_OPTIONS_N: Final = 24
"""A longer list of options is not shown: the words are pointed at, and grounding finds the option they name."""

BLOCKS_KEPT_N: Final = 512
"""Tools whose tokens are remembered between calls."""


class Kind(IntEnum):
    """What a position is; a row of the network's own table."""

    REQUEST = 0
    USED = 1
    """A word of the request that an earlier look has already turned into a call."""

    TOOL_TEXT = 2
    PARAMETER_TEXT = 3
    OPTION_TEXT = 4
    TOOL = 5
    OPTION = 6
    STRING = 8
    INTEGER = 10
    NUMBER = 12
    BOOLEAN = 14
    CHOICE = 16
    ARRAY = 18
    OTHER = 20
    """Markers of parameters by type; a required parameter's is one higher."""


KINDS_N: Final = 22

_MARKER_OF: Final = {
    "string": Kind.STRING,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "array": Kind.ARRAY,
}
_WORD_BOUNDARY: Final = re.compile(r"[_\-./:]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class ParameterPlace(NamedTuple):
    """Where a parameter and its options stand in the sequence."""

    parameter: Parameter
    marker: int
    options: tuple[tuple[JsonScalar, int], ...]
    """Value and marker of every option shown."""


class ToolPlace(NamedTuple):
    """Where a tool and its parameters stand in the sequence."""

    tool: ToolSpec
    marker: int
    parameters: tuple[ParameterPlace, ...]


class Encoded(NamedTuple):
    """What the network reads, and how to read its answer.

    Shapes:
        ids, positions, kinds, blocks: (T,)
    """

    ids: Int32Array
    positions: Int32Array
    kinds: Int32Array
    blocks: Int32Array
    """0 for the request, k for the k-th tool."""

    text: str
    request: tuple[Token, ...]
    """Token i of the request is position i + 1 of the sequence."""

    tools: tuple[ToolPlace, ...]

    def characters(self, first: int, last: int) -> Span:
        """The characters of request tokens *first* to *last*, both included."""
        return Span(self.request[first].start, self.request[last].end)


class _Block(NamedTuple):
    """A tool's tokens, its markers counted from the block's own start."""

    ids: tuple[int, ...]
    kinds: tuple[int, ...]
    place: ToolPlace


class Encoder:
    """Lays out requests and tools for one vocabulary."""

    def __init__(self, tokenizer: WordPiece, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        # By identity, the tool kept alive beside its block: a tool may hold a default that cannot be hashed.
        self._blocks: OrderedDict[int, _Block] = OrderedDict()

    def encode(self, text: str, tools: Sequence[ToolSpec], used: Iterable[Span] = ()) -> Encoded:
        """Lay out *text* and *tools*; the words of *used* are marked as already spoken for.

        Raises:
            InputTooLong: they do not fit; the message has the counts.
        """
        request = tuple(self.tokenizer.tokens(text))
        blocks = [self.block(tool) for tool in tools]
        start = len(request) + 2
        total = start + sum(len(block.ids) for block in blocks)
        longest = start + max((len(block.ids) for block in blocks), default=0)
        if total > self.max_tokens or longest > POSITIONS_N:
            raise InputTooLong(
                f"the request is {len(request)} tokens and its {len(tools)} tools {total - start}: {total} together, "
                f"of which the network reads {self.max_tokens} (request and longest tool: {longest} of {POSITIONS_N}); "
                "say it shorter or offer fewer tools"
            )

        spoken_for = tuple(used)
        ids = [self.tokenizer.cls, *(token.id for token in request), self.tokenizer.sep]
        kinds = [int(Kind.REQUEST)] * start
        for place, token in enumerate(request, start=1):
            if any(token.start < span.end and span.start < token.end for span in spoken_for):
                kinds[place] = int(Kind.USED)
        positions, numbers = list(range(start)), [0] * start
        places: list[ToolPlace] = []
        for number, block in enumerate(blocks, start=1):
            places.append(_moved(block.place, len(ids)))
            ids.extend(block.ids)
            kinds.extend(block.kinds)
            positions.extend(range(start, start + len(block.ids)))
            numbers.extend([number] * len(block.ids))
        return Encoded(_row(ids), _row(positions), _row(kinds), _row(numbers), text, request, tuple(places))

    def tokens_of(self, tool: ToolSpec) -> int:
        """How many tokens *tool* costs."""
        return len(self.block(tool).ids)

    def block(self, tool: ToolSpec) -> _Block:
        """The tokens of *tool*, remembered."""
        key = id(tool)
        known = self._blocks.get(key)
        if known is not None:
            return known
        made = self._lay_out(tool)
        self._blocks[key] = made
        if len(self._blocks) > BLOCKS_KEPT_N:
            self._blocks.popitem(last=False)
        return made

    def _lay_out(self, tool: ToolSpec) -> _Block:
        ids: list[int] = []
        kinds: list[int] = []

        def mark(kind: int) -> int:
            ids.append(self.tokenizer.mask)
            kinds.append(kind)
            return len(ids) - 1

        def write(text: str, kind: Kind) -> None:
            pieces = [token.id for token in self.tokenizer.tokens(text)]
            ids.extend(pieces)
            kinds.extend([int(kind)] * len(pieces))

        marker = mark(Kind.TOOL)
        write(_described(tool.name, tool.description), Kind.TOOL_TEXT)
        parameters: list[ParameterPlace] = []
        for parameter in tool.parameters:
            place = mark(_marker_of(parameter))
            write(_described(parameter.name, parameter.description), Kind.PARAMETER_TEXT)
            options: list[tuple[JsonScalar, int]] = []
            for value in shown_options(parameter):
                options.append((value, mark(Kind.OPTION)))
                write(_option_text(value), Kind.OPTION_TEXT)
            parameters.append(ParameterPlace(parameter, place, tuple(options)))
        return _Block(tuple(ids), tuple(kinds), ToolPlace(tool, marker, tuple(parameters)))


def shown_options(parameter: Parameter) -> tuple[JsonScalar, ...]:
    """The closed set of values that the network chooses from; empty where it points at words instead."""
    if parameter.options is not None:
        options = tuple(value for value in parameter.options if value is not None)
        return options if len(options) <= SHOWN_OPTIONS_N else ()
    return (True, False) if parameter.kind == "boolean" else ()


def words(name: str) -> str:
    """An identifier as the words it is made of: `setRoom_level` is `set Room level`."""
    return _WORD_BOUNDARY.sub(" ", name)


def _described(name: str, description: str) -> str:
    return f"{words(name)}: {description}" if description else words(name)


def _option_text(value: JsonScalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return words(value)
    return str(value)


def _marker_of(parameter: Parameter) -> int:
    closed = bool(shown_options(parameter)) and parameter.kind != "boolean"
    kind = Kind.CHOICE if closed else _MARKER_OF.get(parameter.kind, Kind.OTHER)
    return kind + parameter.required


def _moved(place: ToolPlace, by: int) -> ToolPlace:
    return ToolPlace(
        place.tool,
        place.marker + by,
        tuple(
            ParameterPlace(p.parameter, p.marker + by, tuple((value, marker + by) for value, marker in p.options))
            for p in place.parameters
        ),
    )


def _row(numbers: list[int]) -> Int32Array:
    return np.asarray(numbers, dtype=np.int32)
