"""One line of JSON to a request with its tools, or a clear word about what is wrong with it.

Keys that are not ours are the caller's own and are ignored; everything that is ours must be right.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn

from appliance.contracts.toolspec import ToolSpec
from appliance.errors import ToolSchemaError, UsageError

MAX_LINE_BYTES: Final = 8 * 2**20
"""A thousand well described tools; more is no request."""

MAX_TOOLS_N: Final = 1024
MAX_DEPTH: Final = 40
"""How deep a line may nest: no schema that means anything goes deeper."""


class BadLine(UsageError):
    """A line that cannot be read; `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestLine(NamedTuple):
    """A request as a line brought it."""

    query: str
    tools: tuple[ToolSpec, ...]
    now: datetime | None


class LineReader:
    """Reads lines; keeps the tools of the last one, because streams repeat them."""

    def __init__(self) -> None:
        self._written = ""
        self._tools: tuple[ToolSpec, ...] = ()

    def read(self, raw: str | bytes) -> RequestLine:
        """Return the request of a line.

        Raises:
            BadLine: it is none; the message says where and why.
        """
        line = _object(raw)
        query = line.get("query")
        if not isinstance(query, str):
            raise BadLine("bad_query", '"query" must be text' if "query" in line else 'the key "query" is missing')
        if any("\ud800" <= c <= "\udfff" for c in query):
            raise BadLine("bad_query", '"query" holds half a character (a lone surrogate)')
        if "tools" not in line:
            raise BadLine("bad_tools", 'the key "tools" is missing')
        return RequestLine(query, self._read_tools(line["tools"]), _now(line.get("context")))

    def _read_tools(self, tools: Any) -> tuple[ToolSpec, ...]:
        if not isinstance(tools, list):
            raise BadLine("bad_tools", '"tools" must be a list')
        if len(tools) > MAX_TOOLS_N:
            raise BadLine("bad_tools", f"{len(tools)} tools: at most {MAX_TOOLS_N}")
        written = json.dumps(tools)
        if written != self._written:
            self._tools = tuple(_tool(n, tool) for n, tool in enumerate(tools))
            self._written = written
            names = [tool.name for tool in self._tools]
            twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
            if twice is not None:
                self._written = ""
                raise BadLine("bad_tools", f"two tools are called {twice!r}")
        return self._tools


def _tool(number: int, tool: Any) -> ToolSpec:
    where = f"tools[{number}]"
    if not isinstance(tool, dict):
        raise BadLine("bad_tools", f"{where} must be an object")
    # The other common form: {"type": "function", "function": {...}}.
    inner = tool["function"] if isinstance(tool.get("function"), dict) and "name" not in tool else tool
    try:
        spec = ToolSpec.from_schema(inner.get("name"), inner.get("description", ""), inner.get("parameters"))
        json.dumps(spec.to_schema(), ensure_ascii=False).encode()
    except ToolSchemaError as error:
        raise BadLine("bad_tools", f"{where}: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:  # a pydantic error is a ValueError
        raise BadLine("bad_tools", f"{where} cannot be used: {_first_line(error)}") from error
    return spec


def _now(context: Any) -> datetime | None:
    if context is None:
        return None
    if not isinstance(context, dict):
        raise BadLine("bad_context", '"context" must be an object')
    now = context.get("now")
    if now is None:
        return None
    try:
        return datetime.fromisoformat(now)
    except (ValueError, TypeError) as error:
        raise BadLine("bad_context", f'"context.now" must be an ISO 8601 time, not {str(now)[:60]!r}') from error


def _object(raw: str | bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise BadLine("too_large", f"the line has {len(raw)} bytes: at most {MAX_LINE_BYTES}")
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadLine("bad_encoding", f"the line is not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as error:
        raise BadLine("too_deep", f"the line nests deeper than {MAX_DEPTH}") from error
    except ValueError as error:
        raise BadLine("bad_json", f"the line is not JSON: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise BadLine("bad_json", "the line must be a JSON object")
    if _depth(value) > MAX_DEPTH:
        raise BadLine("too_deep", f"the line nests deeper than {MAX_DEPTH}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise ValueError(f"the key {twice[:60]!r} stands twice")
    return found


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        entry, depth = waiting.pop()
        deepest = max(deepest, depth)
        if depth > MAX_DEPTH:
            break
        children = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        waiting.extend((child, depth + 1) for child in children if isinstance(child, dict | list))
    return deepest


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
