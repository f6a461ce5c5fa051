"""A record to the commented file that its owner starts from, and to the page that explains it."""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from appliance.contracts.record import Record

_HEAD = """\
## The settings of this appliance. Lines with one `#` are the defaults: remove the `#` of a key and of its [section]
## and change the value. A change counts from the next start; `appliance doctor` names what it does not understand.
"""


def commented(settings: Record) -> str:
    """Return a file that says every section and key of *settings* with its default, all commented out."""
    sections = [_HEAD]
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        lines = [*_comment(_summary(value, field)), f"#[{name}]"]
        # TOML: a table's own keys come before the tables inside it.
        for key, inner in sorted(type(value).model_fields.items(), key=lambda f: _is_table(getattr(value, f[0]))):
            default = getattr(value, key)
            lines += ["", *_comment(inner.description or "")]
            lines += [f"#{line}" for line in _assignment(name, key, default)]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def reference(settings: Record) -> str:
    """Return the sections and keys of *settings* as Markdown tables, for docs/reference."""
    parts = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        parts += [f"## `[{name}]`", "", _summary(value, field), "", *table(type(value), value), ""]
        for key, inner in type(value).model_fields.items():
            if (record := record_in(inner.annotation)) is not None:
                shape = f"[{name}.{key}]" if isinstance(getattr(value, key), BaseModel) else f"[[{name}.{key}]]"
                parts += [f"### `{shape}`", "", _summary(record, inner), "", *table(record, None), ""]
    return "\n".join(parts)


def table(model: type[BaseModel], values: BaseModel | None = None) -> Iterator[str]:
    """Yield the lines of a Markdown table of *model*'s keys; defaults are those in *values* if given."""
    yield "| key | default | allowed | what it is |"
    yield "|---|---|---|---|"
    for key, field in model.model_fields.items():
        if values is not None:
            default = _brief(getattr(values, key))
        else:
            default = "" if field.is_required() else _brief(field.get_default(call_default_factory=True))
        shown = "**required**" if field.is_required() else f"`{default}`" if default else ""
        row = (f"`{key}`", shown, _allowed(model, key), field.description or "")
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"


def record_in(annotation: Any) -> type[BaseModel] | None:
    """Return the record inside an annotation: itself, the items of a tuple, one side of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        if (found := record_in(argument)) is not None:
            return found
    return None


def _summary(value: BaseModel | type[BaseModel], field: FieldInfo) -> str:
    return field.description or (value.__doc__ or "").strip().split("\n\n")[0]


def _comment(text: str) -> list[str]:
    return [f"## {line}" for line in textwrap.wrap(" ".join(text.split()), 100)]


def _is_table(default: Any) -> bool:
    return isinstance(default, BaseModel) or (
        isinstance(default, tuple) and bool(default) and isinstance(default[0], BaseModel)
    )


def _assignment(section: str, key: str, default: Any) -> Iterator[str]:
    """One key as TOML; a tuple of records as an array of tables."""
    if default is None:
        yield f"# {key} is absent"
    elif isinstance(default, BaseModel):
        yield f"[{section}.{key}]"
        yield from _body(default)
    elif _is_table(default):
        for item in default:
            yield f"[[{section}.{key}]]"
            yield from _body(item)
    else:
        yield f"{key} = {_toml(default)}"


def _body(record: BaseModel) -> Iterator[str]:
    for key, field in type(record).model_fields.items():
        value = getattr(record, key)
        if value is not None and (field.is_required() or value != field.default):
            yield f"{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    """A value in TOML; JSON's strings, numbers, booleans and arrays are TOML's too."""
    if isinstance(value, BaseModel):
        inner = ((key, getattr(value, key)) for key in type(value).model_fields)
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in inner if item is not None) + " }"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (tuple, list, set, frozenset)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _brief(default: Any) -> str:
    if default is None:
        return ""
    text = _toml(default)
    if len(text) <= 60:
        return text
    return f"{len(default)} of them" if isinstance(default, (tuple, dict)) else text[:57] + "..."


def _allowed(model: type[BaseModel], key: str) -> str:
    """What JSON Schema says of a key, in words."""
    schema = model.model_json_schema()
    rule = schema["properties"][key]
    if "$ref" in rule:
        rule = schema["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    choices = [r for r in rule.get("anyOf", [rule]) if r.get("type") != "null"]
    rule = choices[0] if choices else rule
    if "const" in rule:
        return f"`{json.dumps(rule['const'])}`"
    if "enum" in rule:
        return ", ".join(f"`{json.dumps(option)}`" for option in rule["enum"])
    words = {"string": "text", "array": "a list", "object": "a table", "boolean": "true, false"}
    kind = words.get(rule.get("type", ""), rule.get("type", "a table"))
    low = [
        f"{rule[k]:g} or more" if k == "minimum" else f"above {rule[k]:g}"
        for k in ("minimum", "exclusiveMinimum")
        if k in rule
    ]
    high = [
        f"at most {rule[k]:g}" if k == "maximum" else f"below {rule[k]:g}"
        for k in ("maximum", "exclusiveMaximum")
        if k in rule
    ]
    pattern = [f"of the form `{rule['pattern']}`"] if "pattern" in rule else []
    return ", ".join([kind, *low, *high, *pattern])
