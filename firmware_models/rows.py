"""Lines of a corpus to typed rows; a line that cannot be used is counted, never trained on by accident."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.toolcall import Span
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import ToolSchemaError


class LabelledArgument(Record):
    """What a parameter should become, and the words that say so."""

    value: JsonValue
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def words(self) -> tuple[Span, ...]:
        """The evidence as spans, in the order given."""
        return tuple(Span(*span) for span in self.spans)


class LabelledCall(Record):
    """One call that the request asks for; incomplete where a required value was not said."""

    name: str
    arguments: dict[str, LabelledArgument] = Field(default_factory=dict)
    anchor: tuple[int, int] | None = None


class Declaration(Record):
    """A tool as a catalogue writes it."""

    name: str
    description: str = ""
    parameters: JsonObject = Field(default_factory=dict)


class Line(Record, extra="ignore"):
    """A line of a corpus file; `firmware_models.corpus` documents the format."""

    request: str
    tools: tuple[Declaration, ...]
    calls: tuple[LabelledCall, ...] = ()
    kind: str = ""
    expect: Literal["call", "ask", "refuse"] = "call"
    family: str = ""
    phrasing: str = ""
    now: str | None = None


class Row(Record, arbitrary_types_allowed=True):
    """A line with its tools parsed."""

    line: Line
    tools: tuple[ToolSpec, ...]


def read(paths: Iterable[Path], unusable: Counter[str] | None = None) -> Iterator[Row]:
    """Yield the rows of corpus files, in order; why a line was left out is counted in *unusable*."""
    counted = Counter[str]() if unusable is None else unusable
    for path in paths:
        with path.open("rb") as lines:
            for text in lines:
                row = parse(text)
                if isinstance(row, Row):
                    yield row
                else:
                    counted[row] += 1


def parse(text: bytes) -> Row | str:
    """Read one line; a line that cannot be used gives the reason instead."""
    try:
        line = Line.model_validate_json(text)
        tools = tuple(ToolSpec.from_schema(t.name, t.description, t.parameters) for t in line.tools)
    except ValidationError as fault:
        return f"not a row: {fault.errors()[0]['loc']} {fault.errors()[0]['type']}"
    except ToolSchemaError:
        return "tool not readable"
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        return "two tools of one name"
    for call in line.calls:
        tool = next((t for t in tools if t.name == call.name), None)
        if tool is None:
            return "call of a tool that is not offered"
        if any(tool.parameter(name) is None for name in call.arguments):
            return "argument that the tool does not have"
    return Row(line=line, tools=tools)
