"""Bytes that several people sign: DSSE envelopes, as Model Signing, in-toto and Sigstore write them.

Covers: a signature is over the payload *and* its type, so that none can be moved to another kind of document; the same
key twice counts once, whatever name it goes by; signatures of strangers count for nothing. Does not cover: what the
payload says.

Source:
    https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md, version 1.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from appliance.trust import strict_json
from appliance.trust.release_keys import ReleaseKey, ReleasePublicKey

MAX_ENVELOPE_BYTES: Final = 4 * 2**20
MAX_SIGNATURES_N: Final = 64


class Signature(NamedTuple):
    """One signature, and the key that it says it is by."""

    key_id: str
    raw: bytes


class Envelope(NamedTuple):
    """A payload with its signatures; nothing is checked yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed_bytes(self) -> bytes:
        """What a signature is over: the pre-authentication encoding of type and payload."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


def signers(envelope: Envelope, keys: Iterable[ReleasePublicKey]) -> tuple[str, ...]:
    """Return the ids of the different *keys* that signed, sorted.

    Whoever signed is found by trying, not by the name that stands beside a signature: that name is not signed.
    """
    data = envelope.signed_bytes
    return tuple(
        sorted({key.key_id for key in keys if any(key.accepts(found.raw, data) for found in envelope.signatures)})
    )


def signed(envelope: Envelope, key: ReleaseKey) -> Envelope:
    """Return *envelope* with a signature by *key*, in the place of an earlier one by the same key."""
    others = tuple(found for found in envelope.signatures if found.key_id != key.public.key_id)
    added = Signature(key.public.key_id, key.sign(envelope.signed_bytes))
    return envelope._replace(signatures=(*others, added))


def parse(data: bytes) -> Envelope:
    """Read an envelope.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    return of_json(strict_json.parse_object(data, limit_bytes=MAX_ENVELOPE_BYTES))


def of_json(value: Any) -> Envelope:
    """Return the envelope in parsed JSON.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    if not isinstance(value, dict) or not isinstance(value.get("payloadType"), str):
        raise ValueError("not a DSSE envelope: no payloadType")  # noqa: TRY004 -- what is read is wrong, not who called
    listed = value.get("signatures")
    if not isinstance(listed, list) or len(listed) > MAX_SIGNATURES_N:
        raise ValueError(f"not a DSSE envelope: a list of at most {MAX_SIGNATURES_N} signatures is wanted")
    found = []
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("keyid", ""), str):
            raise ValueError("not a DSSE envelope: a signature is an object with sig and keyid")  # noqa: TRY004 -- what is read is wrong, not who called
        found.append(Signature(entry.get("keyid", ""), _decoded(entry.get("sig"), "a signature")))
    return Envelope(value["payloadType"], _decoded(value.get("payload"), "the payload"), tuple(found))


def as_json(envelope: Envelope) -> dict[str, Any]:
    """Return *envelope* as the JSON that it travels as."""
    return {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [{"sig": base64.b64encode(s.raw).decode(), "keyid": s.key_id} for s in envelope.signatures],
    }


def written(envelope: Envelope) -> bytes:
    """Return the file of *envelope*."""
    return json.dumps(as_json(envelope), indent=1).encode() + b"\n"


def _decoded(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise ValueError(f"not a DSSE envelope: {what} is missing")  # noqa: TRY004 -- what is read is wrong, not who called
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not a DSSE envelope: {what} is not base64") from error
