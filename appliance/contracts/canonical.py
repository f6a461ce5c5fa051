"""Values to canonical bytes and their hash: the one place that defines both.

Source:
    RFC 8785, JSON Canonicalization Scheme, through the `rfc8785` package.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from appliance.errors import WireError


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises:
        WireError: *value* has no canonical form (NaN, an integer beyond 2**53, a lone surrogate).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise WireError(f"no canonical JSON form: {error}") from error


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()
