"""Bytes of a stream to requests of the local protocol: limits, strict parsing, and an answer to what is neither."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.local import MAX_LINE_BYTES, VERSION, Hello, LocalReply, LocalRequest
from appliance.errors import WireError

_REQUEST: Final[TypeAdapter[LocalRequest]] = TypeAdapter(LocalRequest)

TOO_LONG: Final = LocalReply(
    ok=False, error="too_long", message=f"a request line is at most {MAX_LINE_BYTES} bytes; send less text"
)


class LineBuffer:
    """Cuts a stream of bytes into lines; None stands for a line beyond the limit, whose bytes are not kept."""

    def __init__(self, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept = b""
        self._skipping = False

    def feed(self, received: bytes) -> list[bytes | None]:
        """Take *received* and return the lines that it completes."""
        lines: list[bytes | None] = []
        *complete, rest = (self._kept + received).split(b"\n")
        for line in complete:
            if self._skipping:
                self._skipping = False  # its beginning was answered when it passed the limit
            else:
                lines.append(line if len(line) <= self._limit_bytes else None)
        if self._skipping or len(rest) > self._limit_bytes:
            if not self._skipping:
                lines.append(None)
            self._skipping, rest = True, b""
        self._kept = rest
        return lines

    def end(self) -> list[bytes | None]:
        """Return what stands after the last newline when the stream has ended."""
        rest, self._kept = self._kept, b""
        return [rest] if rest and not self._skipping else []


def parse(line: bytes) -> LocalRequest | LocalReply:
    """Read a request line; a line that is none becomes the reply that says why."""
    try:
        request = _REQUEST.validate_json(line)
        # Numbers and text that have no canonical form could not be recorded later.
        canonical(request.model_dump(mode="json"))
    except ValidationError as error:
        return _explained(line, error)
    except WireError as error:
        return LocalReply(ok=False, error="malformed", message=str(error))
    if isinstance(request, Hello) and request.protocol != VERSION:
        return LocalReply(
            ok=False, error="malformed", message=f"protocol {request.protocol}: this daemon speaks protocol {VERSION}"
        )
    return request


def _explained(line: bytes, error: ValidationError) -> LocalReply:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return LocalReply(
            ok=False, error="unknown_op", message=f"op {first['ctx']['tag']!r}: one of {first['ctx']['expected_tags']}"
        )
    if first["type"] == "union_tag_not_found":
        return LocalReply(ok=False, error="malformed", message='a request is a JSON object with an "op"')
    where = ".".join(str(part) for part in first["loc"][1:])
    return LocalReply(ok=False, error="malformed", message=f"{where}: {first['msg']}" if where else first["msg"])


def render(reply: LocalReply) -> bytes:
    """Write a reply as one line."""
    try:
        return reply.model_dump_json().encode() + b"\n"
    except (ValueError, UnicodeError):
        # A lone surrogate in a result: escaped, it travels.
        return json.dumps(reply.model_dump(mode="python"), default=str).encode() + b"\n"
