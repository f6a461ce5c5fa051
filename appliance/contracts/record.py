"""The form every record shares: frozen, strict, nothing extra."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

JsonScalar = str | int | float | bool | None
"""A JSON value that holds no others."""

JsonObject = dict[str, JsonValue]
"""A JSON object, already parsed."""


class Record(BaseModel):
    """An immutable record; unknown fields and silent conversions are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)
