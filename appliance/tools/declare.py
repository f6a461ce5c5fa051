"""A typed function, a record or a JSON Schema to a tool: what it takes and risks, how it is checked and taken back.

The three forms give the same `ToolSpec`, because all go through JSON Schema:

    @tool(...) on a function or method -> a record made from its signature -> JSON Schema -> ToolSpec
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, GetJsonSchemaHandler, JsonValue, PydanticUserError, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.errors import ToolSchemaError
from appliance.tools import signature

INTERNAL: Final = "internal"
"""Tag of a tool that is never offered to the model: called by timers and by undo, through the same gate."""

DEFAULT_TIMEOUT_S: Final = 5.0
"""A relay answers in microseconds and a sysfs sensor within 0.8 s; whatever takes longer hangs."""

_DECLARATION: Final = "__tool_declaration__"

Names = Mapping[str, Sequence[str]]
"""Kind of entity to the names that exist at this site."""


class Did(NamedTuple):
    """The act is made; the look afterwards comes next."""

    message: str
    """One sentence for the person who asked."""

    output: JsonValue = None
    undo: ToolCall | None = None
    """For tools that make something: the call that removes it, known only now."""


class CannotDo(NamedTuple):
    """Nothing was done, and why, in one sentence."""

    message: str


Run = Callable[..., Did | CannotDo]
Check = Callable[..., bool]
"""Takes the `Did` first, then the arguments by name; reads the device back and compares."""

Undo = Callable[..., ToolCall | None]
"""Takes the arguments by name, before the act: the state to return to is still there to be read."""

F = TypeVar("F", bound=Run)


class Unit(NamedTuple):
    """Mark a number's unit: `Annotated[float, Unit("min")]`."""

    unit: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "x-unit": self.unit}


class Entities(NamedTuple):
    """Mark a name of this site: `Annotated[str, Entities("rooms")]`, or the names themselves."""

    of: str | tuple[str, ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "x-entities": self.of if isinstance(self.of, str) else list(self.of)}


class Claims(NamedTuple):
    """What a tool says about itself beyond its parameters."""

    risk: Risk
    family: str = ""
    check: Check | None = None
    undo: Undo | None = None
    undoable: bool = False
    """Set by hand only where the act itself returns its undo (`Did.undo`)."""

    timeout_s: float = DEFAULT_TIMEOUT_S
    tags: frozenset[str] = frozenset()


class Tool(NamedTuple):
    """A tool that can be performed."""

    spec: ToolSpec
    typed: Callable[[JsonObject], dict[str, Any]]
    """Grounded JSON values to the types that `run` declares."""

    run: Run
    check: Check | None
    undo: Undo | None
    timeout_s: float


class _Declaration(NamedTuple):
    name: str
    arguments: type[BaseModel]
    claims: Claims


def tool(
    *,
    risk: Risk,
    family: str,
    check: Check | None = None,
    undo: Undo | None = None,
    undoable: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    tags: frozenset[str] = frozenset(),
) -> Callable[[F], F]:
    """Declare the function or method below as a tool; `of` and `bound` make it performable.

    Its first docstring paragraph is the description, its `Args` section describes the parameters.

    Raises:
        ToolSchemaError: the signature cannot be a tool's, or an acting tool has no check.
    """

    def declare(function: F) -> F:
        name = function.__name__
        claims = Claims(risk, family, check, undo, undoable, timeout_s, tags)
        setattr(function, _DECLARATION, _Declaration(name, signature.arguments_of(name, function), claims))
        _require_check(name, claims)
        return function

    return declare


def of(function: Run, *, names: Names | None = None) -> Tool:
    """Make a function that carries `@tool` performable.

    Raises:
        ToolSchemaError: it carries no declaration, or wants names of a kind that *names* lacks.
    """
    declaration = getattr(function, _DECLARATION, None)
    if declaration is None:
        raise ToolSchemaError(f"{function!r} is not declared as a tool; put @tool(risk=..., family=...) above it")
    return _from_record(declaration.name, declaration.arguments, function, declaration.claims, names or {})


def bound(family: object, *, names: Names | None = None) -> tuple[Tool, ...]:
    """Make every `@tool` method of *family* performable, in the order of its source.

    A tool that requires a name is left out where there is nothing to name: no `open_gate` at a site without gates.
    """
    names = names or {}
    found = []
    for attribute in vars(type(family)).values():
        declaration = getattr(attribute, _DECLARATION, None)
        if declaration is None or _is_idle(declaration.arguments, names):
            continue
        claims = declaration.claims
        own = claims._replace(
            check=None if claims.check is None else claims.check.__get__(family),
            undo=None if claims.undo is None else claims.undo.__get__(family),
        )
        found.append(_from_record(declaration.name, declaration.arguments, attribute.__get__(family), own, names))
    return tuple(found)


def wanted(family: type) -> dict[str, tuple[str, ...]]:
    """Return by name of each `@tool` method the kinds of entities without which it is left out."""
    declared = (getattr(attribute, _DECLARATION, None) for attribute in vars(family).values())
    return {d.name: tuple(k for k in _required(d.arguments) if isinstance(k, str)) for d in declared if d is not None}


def from_record(
    arguments: type[BaseModel], run: Run, claims: Claims, *, name: str | None = None, names: Names | None = None
) -> Tool:
    """Make a tool of a pydantic model: its docstring describes the tool, its fields the parameters.

    Args:
        name: the tool's name; the model's own in snake_case when absent.

    Raises:
        ToolSchemaError: the model has no JSON Schema, or an acting tool has no check.
    """
    name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", arguments.__name__).lower()
    _require_check(name, claims)
    return _from_record(name, arguments, run, claims, names or {})


def from_schema(declaration: Mapping[str, Any], run: Run, claims: Claims, *, names: Names | None = None) -> Tool:
    """Make a tool of `{"name", "description", "parameters": JSON Schema}`; *run* gets the JSON values as they are.

    Raises:
        ToolSchemaError: the declaration cannot be read, or an acting tool has no check.
    """
    unknown = sorted(set(map(str, declaration)) - {"name", "description", "parameters"})
    if unknown:
        raise ToolSchemaError(f"a tool's declaration has name, description and parameters; not {', '.join(unknown)}")
    name = str(declaration.get("name", ""))
    _require_check(name, claims)
    parameters = _with_names(name, declaration.get("parameters"), names or {})
    spec = _spec(declaration.get("name"), declaration.get("description", ""), parameters, claims)
    return Tool(spec, dict, run, claims.check, claims.undo, claims.timeout_s)


def call(tool: Run, **literals: JsonValue) -> ToolCall:
    """Write the call of a declared tool with *literals*: what undo functions return."""
    return ToolCall(tool=getattr(tool, _DECLARATION).name, literals=literals)


def _from_record(name: str, arguments: type[BaseModel], run: Run, claims: Claims, names: Names) -> Tool:
    try:
        schema = arguments.model_json_schema()
    except PydanticUserError as error:
        raise ToolSchemaError(f"tool {name!r}: {error.message}") from error
    description = inspect.cleandoc(arguments.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    spec = _spec(name, description, _with_names(name, schema, names), claims)

    def typed(values: JsonObject) -> dict[str, Any]:
        try:
            record = arguments.model_validate_json(json.dumps(values), strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "arguments"
            raise ToolSchemaError(f"{where}: {first['msg']}") from error
        return {field: getattr(record, field) for field in arguments.model_fields}

    return Tool(spec, typed, run, claims.check, claims.undo, claims.timeout_s)


def _spec(name: Any, description: Any, parameters: Any, claims: Claims) -> ToolSpec:
    return ToolSpec.from_schema(name, description, parameters).model_copy(
        update={
            "risk": claims.risk,
            "undoable": claims.undoable or claims.undo is not None,
            "family": claims.family,
            "tags": claims.tags,
        }
    )


def _is_idle(arguments: type[BaseModel], names: Names) -> bool:
    kinds = _required(arguments)
    return any(not (names.get(kind, ("",)) if isinstance(kind, str) else kind) for kind in kinds)


def _required(arguments: type[BaseModel]) -> list[str | tuple[str, ...]]:
    return [
        mark.of
        for field in arguments.model_fields.values()
        if field.is_required()
        for mark in field.metadata
        if isinstance(mark, Entities)
    ]


def _require_check(name: str, claims: Claims) -> None:
    if claims.risk is not Risk.READ and claims.check is None:
        raise ToolSchemaError(f"tool {name!r} acts (risk {claims.risk}) and needs a check that reads its effect back")


def _with_names(name: str, schema: Any, names: Names) -> Any:
    """Replace `"x-entities": "rooms"`, however deep, by the rooms that exist here."""
    if isinstance(schema, list):
        return [_with_names(name, item, names) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _with_names(name, value, names) for key, value in schema.items()}
    kind = found.get("x-entities")
    if isinstance(kind, str):
        if kind not in names:
            raise ToolSchemaError(f"tool {name!r}: x-entities: this site has no list of {kind}")
        found["x-entities"] = list(names[kind])
    return found
