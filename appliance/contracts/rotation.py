"""A change of a device's key, as the old key and the new one sign it.

The record `key_rotated` of the ledger holds one `SignedRotation` under `facts.rotation`; a controller gets all of them
in `Keys`. Whoever knows any key of the device follows them, one by one, to the present one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from appliance.contracts.record import Record

PublicKeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""The raw 32 bytes of an Ed25519 public key, hexadecimal."""

Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class KeyRotation(Record):
    """What is signed: from here on the device signs with `new_key`."""

    record: Literal["key_rotation"] = "key_rotation"
    version: Literal[1] = 1
    device: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    n: Annotated[int, Field(ge=1, le=1_000_000)]
    """Counts the device's rotations."""

    old_key: PublicKeyHex
    new_key: PublicKeyHex
    at: AwareDatetime
    compromised: bool = False
    """The old key may be in other hands: it vouches for nothing, and whoever trusted it must be told the new one."""


class SignedRotation(Record):
    """A rotation with its signatures, each over the RFC 8785 bytes of the statement."""

    statement: KeyRotation
    old_signature: Signature | None = None
    """The old key passes its trust on; absent when it was compromised."""

    new_signature: Signature
    """Whoever asks for that trust has the new key."""
