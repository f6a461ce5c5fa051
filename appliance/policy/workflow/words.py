"""The small words of the language: names, durations, times of day, selections of tools."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from appliance.contracts.record import JsonScalar, Record
from appliance.policy.workflow import grammar
from appliance.policy.workflow.reader import shown

MAX_NAME_CHARS: Final = 64
MAX_DURATION_S: Final = 366 * 86_400.0
RETURN: Final = "return"
"""Target of an arrow that ends an interrupt."""

RESERVED: Final = grammar.KEYWORDS | {RETURN, "interrupted", "self"}

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|min|h|d))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_PATTERN: Final = re.compile(r"(?:(?:tag|family|risk):)?[a-z0-9_*?-]+(?: [a-z0-9_*?-]+)*")

Role = Literal["viewer", "operator", "approver", "admin", "controller", "timer", "system"]
PEOPLE: Final[tuple[Role, ...]] = ("operator", "approver", "admin")
"""Who may say an event that names nobody: people at the device who may act."""

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _is_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        raise PydanticCustomError(
            "name",
            "{shown} is no name: a to z, digits and _, beginning with a letter, at most 64",
            {"shown": shown(name)},
        )
    if name in RESERVED:
        raise PydanticCustomError(
            "name", "{shown} is a word of the language; take another name", {"shown": shown(name)}
        )
    return name


def _is_target(name: str) -> str:
    return name if name == RETURN else _is_name(name)


def seconds(text: Any) -> float:
    """Read `90s`, `10min`, `2h30min`.

    Raises:
        PydanticCustomError: it is no duration.
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise PydanticCustomError(
            "duration",
            "{shown} is no duration; write 500ms, 90s, 10min, 2h30min or 1d",
            {"shown": repr(text)},
        )
    found = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
    if found > MAX_DURATION_S:
        raise PydanticCustomError("duration", "{shown} is longer than a year", {"shown": repr(text)})
    return found


def duration(length_s: float) -> str:
    """Write seconds as an author would: `2h30min`."""
    if length_s < 1:
        return f"{length_s * 1000:g}ms"
    parts, left = [], length_s
    for unit in ("d", "h", "min"):
        n = int(left // _SECONDS[unit])
        left -= n * _SECONDS[unit]
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts) + (f"{left:g}s" if left or not parts else "")


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text) or len(text) > MAX_NAME_CHARS:
        raise PydanticCustomError(
            "selection",
            "{shown} selects no tool; write a name, a glob (open_*), tag:NAME, family:NAME or risk:read",
            {"shown": shown(text)},
        )
    kind, _, rest = text.partition(":")
    if kind == "risk" and rest not in {"read", "low", "high"}:
        raise PydanticCustomError("selection", "{shown}: a risk is read, low or high", {"shown": shown(text)})
    return text


Name = Annotated[str, AfterValidator(_is_name), Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_]{0,63}$"})]
Target = Annotated[str, AfterValidator(_is_target), Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_]{0,63}$"})]
Duration = Annotated[
    float,
    BeforeValidator(seconds, json_schema_input_type=Annotated[str, Field(pattern=r"^(\d+(\.\d+)?(ms|s|min|h|d))+$")]),
    Field(gt=0),
]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Expression = Annotated[str, Field(min_length=1, max_length=grammar.MAX_CHARS)]
Line = Annotated[str, Field(max_length=200)]
Prose = Annotated[str, Field(max_length=2000)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class Bounds(Record):
    """A number's range, ends included."""

    min: float | None = None
    max: float | None = None


Wanted = Bounds | list[JsonScalar] | str | bool | int | float
"""What an argument must be: a value, one of several, or in a range."""


class Selection(Record):
    """Which calls are meant."""

    tool: Pattern
    """A tool's name, a glob over names, `tag:NAME`, `family:NAME` or `risk:read`."""

    where: dict[str, Wanted] = Field(default_factory=dict)
    """What its arguments must be; a call that leaves one of them out is not meant."""


class Act(Record):
    """A call that the law itself makes."""

    call: Name
    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    """Its arguments, as literals."""


def selected(value: Any) -> Any:
    """Let a selection of a tool alone be written as its name."""
    return {"tool": value} if isinstance(value, str) else value
