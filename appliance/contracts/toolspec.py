"""A tool's declaration: JSON Schema in, typed parameters out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field, field_serializer

from appliance.contracts.record import JsonObject, JsonScalar, Record
from appliance.errors import ToolSchemaError

Kind = Literal["string", "integer", "number", "boolean", "array", "object", "unsupported"]

MAX_PARAMETERS_N: Final = 64
MAX_OPTIONS_N: Final = 256
MAX_NAME_CHARS: Final = 256
MAX_DESCRIPTION_CHARS: Final = 8192

# Names that other catalogues use for the JSON Schema types.
_KIND_ALIASES: Final[Mapping[str, Kind]] = {
    "string": "string", "str": "string", "text": "string", "date": "string", "time": "string",
    "integer": "integer", "int": "integer", "long": "integer",
    "number": "number", "float": "number", "double": "number", "decimal": "number",
    "boolean": "boolean", "bool": "boolean",
    "array": "array", "list": "array", "tuple": "array", "set": "array",
    "object": "object", "dict": "object", "dictionary": "object", "map": "object",
    "any": "string", "": "string",
}  # fmt: skip


class Risk(StrEnum):
    """What a wrong call of this tool can cost."""

    READ = "read"
    """Changes nothing."""

    LOW = "low"
    """Changes something that a person can change back at once."""

    HIGH = "high"
    """Opens, unlocks, heats, spends: always confirmed by a person."""


class Parameter(Record):
    """One parameter of a tool."""

    name: str
    description: str = ""
    kind: Kind = "string"
    required: bool = False
    options: tuple[JsonScalar, ...] | None = None
    """The closed set of values (`enum` or `const`), in the order declared."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    """JSON Schema's `format`: date, time, date-time, duration, email, uri, uuid ..."""

    unit: str | None = None
    """The unit that the value is in (`x-unit`), when declared."""

    entities: tuple[str, ...] = ()
    """Names that exist at this site (`x-entities`): resolved by the linker, never shown to the network."""

    items: Parameter | None = None
    """What an array holds."""

    min_items: int | None = None
    max_items: int | None = None
    properties: tuple[Parameter, ...] = ()
    """What an object holds."""

    default: Any = None

    @classmethod
    def from_schema(
        cls, name: str, schema: Any, *, required: bool, root: Mapping[str, Any], depth: int = 0
    ) -> Parameter:
        """Read one property of a JSON Schema; *root* resolves local `$ref`s.

        Raises:
            ToolSchemaError: the schema is not one we can read.
        """
        schema = _resolved(name, schema, root)
        if depth > 4:
            return cls(name=name, required=required, kind="unsupported")
        kind = _kind(name, schema)
        options = schema.get("enum")
        if options is None and "const" in schema:
            options = [schema["const"]]
        if options is not None:
            if not isinstance(options, list) or not options or len(options) > MAX_OPTIONS_N:
                raise ToolSchemaError(f"parameter {name!r}: enum must be a list of 1 to {MAX_OPTIONS_N} values")
            if not all(isinstance(o, str | int | float | bool) or o is None for o in options):
                raise ToolSchemaError(f"parameter {name!r}: enum may hold text, numbers and booleans only")
        items = None
        if kind == "array":
            items = cls.from_schema("item", schema.get("items", {}) or {}, required=True, root=root, depth=depth + 1)
        properties: tuple[Parameter, ...] = ()
        if kind == "object":
            inner = schema.get("properties") or {}
            if not isinstance(inner, Mapping):
                raise ToolSchemaError(f"parameter {name!r}: properties must be an object")
            needed = schema.get("required") if isinstance(schema.get("required"), list) else []
            properties = tuple(
                cls.from_schema(str(k), v, required=k in (needed or []), root=root, depth=depth + 1)
                for k, v in inner.items()
            )
        return cls(
            name=_name("parameter", name),
            description=_description(name, schema.get("description")),
            kind=kind,
            required=required,
            options=None if options is None else tuple(options),
            minimum=_number(name, schema, "minimum"),
            maximum=_number(name, schema, "maximum"),
            exclusive_minimum=_number(name, schema, "exclusiveMinimum"),
            exclusive_maximum=_number(name, schema, "exclusiveMaximum"),
            multiple_of=_number(name, schema, "multipleOf"),
            min_length=_count(schema, "minLength"),
            max_length=_count(schema, "maxLength"),
            pattern=schema["pattern"] if isinstance(schema.get("pattern"), str) else None,
            format=schema["format"] if isinstance(schema.get("format"), str) else _format_alias(schema),
            unit=schema["x-unit"] if isinstance(schema.get("x-unit"), str) else None,
            entities=tuple(str(e) for e in schema.get("x-entities") or ()),
            items=items,
            min_items=_count(schema, "minItems"),
            max_items=_count(schema, "maxItems"),
            properties=properties,
            default=schema.get("default"),
        )

    def to_schema(self) -> JsonObject:
        """Write the property back as JSON Schema."""
        out: JsonObject = {}
        if self.kind != "unsupported":
            out["type"] = self.kind
        if self.description:
            out["description"] = self.description
        if self.options is not None:
            out["enum"] = list(self.options)
        for key, value in (
            ("minimum", self.minimum), ("maximum", self.maximum),
            ("exclusiveMinimum", self.exclusive_minimum), ("exclusiveMaximum", self.exclusive_maximum),
            ("multipleOf", self.multiple_of), ("minLength", self.min_length), ("maxLength", self.max_length),
            ("pattern", self.pattern), ("format", self.format), ("x-unit", self.unit),
            ("minItems", self.min_items), ("maxItems", self.max_items), ("default", self.default),
        ):  # fmt: skip
            if value is not None:
                out[key] = value
        if self.entities:
            out["x-entities"] = list(self.entities)
        if self.items is not None:
            out["items"] = self.items.to_schema()
        if self.properties:
            out["properties"] = {p.name: p.to_schema() for p in self.properties}
            out["required"] = [p.name for p in self.properties if p.required]
        return out


class ToolSpec(Record):
    """A tool as every proposer sees it."""

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    risk: Risk = Risk.LOW
    undoable: bool = False
    family: str = ""
    tags: frozenset[str] = Field(default=frozenset())

    @field_serializer("tags", when_used="json")
    def _in_order(self, tags: frozenset[str]) -> list[str]:
        return sorted(tags)  # a set has none, and what is hashed must not change from start to start

    def parameter(self, name: str) -> Parameter | None:
        """Return the parameter called *name*, if there is one."""
        return next((p for p in self.parameters if p.name == name), None)

    @classmethod
    def from_schema(cls, name: Any, description: Any = "", parameters: Any = None) -> ToolSpec:
        """Read a tool as function-calling catalogues write it.

        Args:
            parameters: a JSON Schema object, its `properties` alone, or nothing.

        Raises:
            ToolSchemaError: it cannot be read; the message names the parameter.
        """
        clean = _name("tool", name)
        if parameters is None:
            parameters = {}
        if not isinstance(parameters, Mapping):
            raise ToolSchemaError(f"tool {clean!r}: parameters must be a JSON Schema object")
        # Some catalogues write the properties flat and mark each one `required` itself.
        flat = "properties" not in parameters and not (
            {"type", "$ref", "required"} & set(map(str, parameters)) and isinstance(parameters.get("type", ""), str)
        )
        properties = parameters if flat else parameters.get("properties") or {}
        if not isinstance(properties, Mapping):
            raise ToolSchemaError(f"tool {clean!r}: properties must be an object")
        if len(properties) > MAX_PARAMETERS_N:
            raise ToolSchemaError(f"tool {clean!r}: more than {MAX_PARAMETERS_N} parameters")
        needed = parameters.get("required", []) if not flat else []
        if not isinstance(needed, list):
            needed = []
        found = []
        for key, schema in properties.items():
            own = isinstance(schema, Mapping) and schema.get("required") is True
            found.append(Parameter.from_schema(str(key), schema, required=own or key in needed, root=parameters))
        return cls(name=clean, description=_description(clean, description), parameters=tuple(found))

    def to_schema(self) -> JsonObject:
        """Write the tool as `{"name", "description", "parameters": JSON Schema}`."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {
                "type": "object",
                "properties": {p.name: p.to_schema() for p in self.parameters},
                "required": [p.name for p in self.parameters if p.required],
                "additionalProperties": False,
            },
        }


def _name(what: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ToolSchemaError(f"a {what} needs a name")
    if len(name) > MAX_NAME_CHARS:
        raise ToolSchemaError(f"{what} name of {len(name)} characters: at most {MAX_NAME_CHARS}")
    return name


def _description(owner: str, text: Any) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ToolSchemaError(f"{owner!r}: the description must be text")
    if len(text) > MAX_DESCRIPTION_CHARS:
        raise ToolSchemaError(f"{owner!r}: description of {len(text)} characters, at most {MAX_DESCRIPTION_CHARS}")
    return text


def _resolved(name: str, schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a local `$ref` and the one alternative of a nullable `anyOf`."""
    for _ in range(8):
        if not isinstance(schema, Mapping):
            if isinstance(schema, bool):
                return {}
            raise ToolSchemaError(f"parameter {name!r}: its schema must be an object")
        reference = schema.get("$ref")
        choices = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str):
            target: Any = root
            for part in reference.removeprefix("#/").split("/"):
                target = target.get(part) if isinstance(target, Mapping) else None
            if not reference.startswith("#/") or target is None:
                raise ToolSchemaError(f"parameter {name!r}: $ref {reference!r} points nowhere")
            schema = target
        elif isinstance(choices, list):
            real = [c for c in choices if isinstance(c, Mapping) and c.get("type") != "null"]
            if not real:
                return {}
            rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
            schema = {**real[0], **rest}
        else:
            return schema
    raise ToolSchemaError(f"parameter {name!r}: $ref goes in a circle")


def _kind(name: str, schema: Mapping[str, Any]) -> Kind:
    declared = schema.get("type")
    if isinstance(declared, list):
        declared = next((t for t in declared if t != "null"), "string")
    if declared is None:
        sample = next(iter(schema.get("enum") or []), None)
        match sample:
            case bool():
                return "boolean"
            case int():
                return "integer"
            case float():
                return "number"
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    if not isinstance(declared, str):
        raise ToolSchemaError(f"parameter {name!r}: type must be a name, not {declared!r}")
    return _KIND_ALIASES.get(declared.strip().lower().split("[")[0].split("(")[0], "unsupported")


def _format_alias(schema: Mapping[str, Any]) -> str | None:
    declared = schema.get("type")
    return declared if declared in ("date", "time") else None


def _number(name: str, schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolSchemaError(f"parameter {name!r}: {key} must be a number, not {value!r}")
    return float(value)


def _count(schema: Mapping[str, Any], key: str) -> int | None:
    value = schema.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
