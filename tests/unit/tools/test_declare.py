"""Typed functions, records and JSON Schemas become the same tool."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

import pytest
from pydantic import Field

from appliance.contracts.record import Record
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk
from appliance.errors import ToolSchemaError
from appliance.tools import declare
from appliance.tools.declare import Claims, Did, Entities, Unit
from appliance.tools.outputs import Outputs
from appliance.tools.registry import Registry

ROOMS = ("barn", "dairy")
LOOKS = Claims(Risk.READ, family="milk")


@declare.tool(risk=Risk.READ, family="milk")
def pour(
    room: Annotated[str, Entities("rooms")],
    litres: Annotated[float, Field(gt=0, le=80), Unit("l")],
    cup: Literal["tin", "glass"],
    *,
    cold: bool,
    times: Annotated[int, Field(ge=1, multiple_of=1)] = 1,
    names: list[str] | None = None,
    on: date | None = None,
) -> Did:
    """Pour milk into cups.

    It takes a while.

    Args:
        room: where to pour,
            in the dairy for example
        litres: how much, in litres
        cup: what to pour into
        names: who drinks
    """
    return Did(f"{room} {litres} {cup} {cold} {times} {names} {on!r}")


class Pour(Record):
    """Pour milk into cups."""

    room: Annotated[str, Entities("rooms")]
    """where to pour, in the dairy for example"""
    litres: Annotated[float, Field(gt=0, le=80), Unit("l")]
    """how much, in litres"""
    cup: Literal["tin", "glass"]
    """what to pour into"""
    cold: bool
    times: Annotated[int, Field(ge=1, multiple_of=1)] = 1
    names: list[str] | None = None
    """who drinks"""
    on: date | None = None


SCHEMA = {
    "name": "pour",
    "description": "Pour milk into cups.",
    "parameters": {
        "type": "object",
        "properties": {
            "room": {"type": "string", "x-entities": "rooms", "description": "where to pour, in the dairy for example"},
            "litres": {
                "type": "number", "exclusiveMinimum": 0, "maximum": 80, "x-unit": "l",
                "description": "how much, in litres",
            },
            "cup": {"type": "string", "enum": ["tin", "glass"], "description": "what to pour into"},
            "cold": {"type": "boolean"},
            "times": {"type": "integer", "minimum": 1, "multipleOf": 1, "default": 1},
            "names": {"type": "array", "items": {"type": "string"}, "description": "who drinks"},
            "on": {"type": "string", "format": "date"},
        },
        "required": ["room", "litres", "cup", "cold"],
    },
}  # fmt: skip


def test_function_record_and_schema_give_the_same_tool():
    names = {"rooms": ROOMS}

    from_function = declare.of(pour, names=names)
    from_record = declare.from_record(Pour, pour, LOOKS, names=names)
    from_schema = declare.from_schema(SCHEMA, pour, LOOKS, names=names)

    assert from_function.spec == from_record.spec == from_schema.spec
    assert from_function.spec.parameter("room").entities == ROOMS
    assert from_function.spec.parameter("litres").unit == "l"


def test_arguments_arrive_as_the_types_that_the_function_declares():
    @declare.tool(risk=Risk.READ, family="time")
    def note_times(at: datetime, day: date, hour: time, length: timedelta, names: list[str]) -> Did:
        """Take times.

        Args:
            at: an instant
        """
        return Did(repr([at, day, hour, length, names]))

    tool = declare.of(note_times)
    result = Registry([tool], Outputs({})).perform(
        GroundedCall(
            tool="note_times",
            arguments={
                "at": "2026-11-22T07:00:00", "day": "2026-11-22", "hour": "07:00:00", "length": "PT90S", "names": ["a"],
            },
        )
    )  # fmt: skip

    assert result.message == repr(
        [datetime(2026, 11, 22, 7), date(2026, 11, 22), time(7), timedelta(seconds=90), ["a"]]  # noqa: DTZ001 -- naive
    )
    assert [tool.spec.parameter(n).format for n in ("at", "day", "hour", "length")] == [
        "date-time", "date", "time", "duration",
    ]  # fmt: skip


def test_a_name_inside_an_optional_parameter_is_resolved_too():
    @declare.tool(risk=Risk.READ, family="milk")
    def look(room: Annotated[str, Entities("rooms")] | None = None) -> Did:
        """Look."""
        return Did(str(room))

    assert declare.of(look, names={"rooms": ROOMS}).spec.parameter("room").entities == ROOMS


def test_a_tool_that_acts_without_a_check_is_refused():
    with pytest.raises(ToolSchemaError, match=r"'open_tap' acts .* needs a check"):

        @declare.tool(risk=Risk.LOW, family="milk")
        def open_tap() -> Did:
            """Open the tap."""
            return Did("")

    with pytest.raises(ToolSchemaError, match="needs a check"):
        declare.from_schema({"name": "open_tap"}, lambda: Did(""), Claims(Risk.HIGH))


def test_a_parameter_without_a_type_is_named():
    with pytest.raises(ToolSchemaError, match="parameter 'how' has no type"):

        @declare.tool(risk=Risk.READ, family="milk")
        def stir(how) -> Did:
            """Stir."""
            return Did(str(how))


def test_a_type_that_cannot_be_found_is_named():
    with pytest.raises(ToolSchemaError, match="'stir': name 'Spoon' is not defined"):

        @declare.tool(risk=Risk.READ, family="milk")
        def stir(how: "Spoon") -> Did:  # noqa: F821 -- the point of the test
            """Stir."""
            return Did(str(how))


def test_a_description_of_a_parameter_that_does_not_exist_is_named():
    with pytest.raises(ToolSchemaError, match="describes hwo"):

        @declare.tool(risk=Risk.READ, family="milk")
        def stir(how: str) -> Did:
            """Stir.

            Args:
                hwo: in which manner
            """
            return Did(how)


def test_a_kind_of_name_that_the_site_lacks_is_named():
    with pytest.raises(ToolSchemaError, match="no list of rooms"):
        declare.of(pour)


def test_a_method_that_needs_a_name_is_left_out_where_there_is_none():
    class Family:
        @declare.tool(risk=Risk.READ, family="milk")
        def look(self, room: Annotated[str, Entities("rooms")]) -> Did:
            """Look."""
            return Did(room)

        @declare.tool(risk=Risk.READ, family="milk")
        def listen(self) -> Did:
            """Listen."""
            return Did("")

    assert [t.spec.name for t in declare.bound(Family(), names={"rooms": ()})] == ["listen"]
    assert [t.spec.name for t in declare.bound(Family(), names={"rooms": ROOMS})] == ["look", "listen"]


def test_an_unknown_key_in_a_declaration_is_named():
    with pytest.raises(ToolSchemaError, match="not risk"):
        declare.from_schema({"name": "x", "risk": "read"}, lambda: Did(""), LOOKS)
