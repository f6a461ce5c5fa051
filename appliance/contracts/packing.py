"""A payload to fewer bytes and back; the content type says which it is.

Covers: a message that would unpack to more than either side accepts (refused before it takes memory), one cut off, one
with something behind its end. Does not cover: what is inside; it is signed, and checked after.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.errors import WireError

PLAIN: Final = "application/json"
PACKED: Final = "application/json+gzip"
"""The suffix is registered (RFC 8460, section 6.5); MQTT has no header for an encoding."""

_GZIP: Final = 31
"""For zlib: a gzip header, the largest window."""

_LEVEL: Final = 6


def packed(payload: bytes, *, from_bytes: int) -> tuple[bytes, str]:
    """Return *payload* as it goes on the wire, and its content type; below *from_bytes*, or with 0, as it is."""
    if not from_bytes or len(payload) < from_bytes:
        return payload, PLAIN
    # Without a time inside, the same payload is the same bytes.
    small = gzip.compress(payload, compresslevel=_LEVEL, mtime=0)
    return (small, PACKED) if len(small) < len(payload) else (payload, PLAIN)


def unpacked(payload: bytes, content_type: str | None, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return what was packed; a payload of another content type as it is.

    Raises:
        WireError: no gzip, cut off, longer than *limit_bytes* inside, or followed by something.
    """
    if content_type != PACKED:
        return payload
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(payload, limit_bytes + 1)
    except zlib.error as error:
        raise WireError(f"not the gzip that its content type says: {error}") from error
    if len(plain) > limit_bytes:
        raise WireError(f"{len(payload)} bytes that unpack to more than {limit_bytes}")
    if not stream.eof:
        raise WireError("the gzip ends too early")
    if stream.unused_data:
        raise WireError("something follows the gzip")
    return plain
