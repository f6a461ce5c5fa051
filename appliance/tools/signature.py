"""A function's signature and docstring to a record of its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import BaseModel, Field, PydanticUserError, create_model
from pydantic.fields import FieldInfo

from appliance.contracts.record import Record
from appliance.errors import ToolSchemaError

_ARGS_SECTION = re.compile(r"^Args:\s*$(?P<body>(?:\n(?:[ \t]+.*|[ \t]*))*)", re.MULTILINE)
_ARG_LINE = re.compile(r"^(?P<indent>[ \t]+)(?P<name>\w+)(?:\s*\([^)]*\))?:\s*(?P<text>.*)$")


def arguments_of(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """Make the record whose fields are the parameters of *function*, with the descriptions of its `Args` section.

    Args:
        name: the tool's name, for messages.

    Raises:
        ToolSchemaError: a parameter has no type or cannot be passed by name, or `Args` names one that is not there.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolSchemaError(f"tool {name!r}: {error}; a type of a tool stands at the top of its module") from error
    descriptions = _described(function.__doc__ or "")
    fields: dict[str, Any] = {}
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if position == 0 and parameter.name == "self":
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolSchemaError(f"tool {name!r}: {parameter} cannot be filled by name")
        if parameter.name not in hints:
            raise ToolSchemaError(f"tool {name!r}: parameter {parameter.name!r} has no type")
        default = ... if parameter.default is parameter.empty else parameter.default
        field: FieldInfo = Field(default, description=descriptions.pop(parameter.name, None))
        fields[parameter.name] = (hints[parameter.name], field)
    if descriptions:
        raise ToolSchemaError(f"tool {name!r}: Args describes {', '.join(descriptions)}, which it does not take")
    paragraph = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
    try:
        return create_model(name, __base__=Record, __doc__=paragraph, **fields)
    except PydanticUserError as error:
        raise ToolSchemaError(f"tool {name!r}: {error}") from error


def _described(docstring: str) -> dict[str, str]:
    """Read the `Args` section of a Google docstring."""
    section = _ARGS_SECTION.search(inspect.cleandoc(docstring))
    found: dict[str, str] = {}
    if section is None:
        return found
    outer: str | None = None
    last = ""
    for line in section["body"].splitlines():
        match = _ARG_LINE.match(line)
        if match is not None and (outer is None or match["indent"] == outer):
            outer, last = match["indent"], match["name"]
            found[last] = match["text"].strip()
        elif last and line.strip():
            found[last] = f"{found[last]} {line.strip()}".strip()
    return found
