"""Signed documents of a site (root, revocation list, urgent statement) to records whose signers are known.

Each kind has a DSSE payload type of its own: a signature over one can never count for another.

Covers: JSON that can be read in two ways, unknown fields, a key whose id is not its hash, documents of another site.
Does not cover: whether those who signed may; `roots`, `revocation` and `admission` decide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from appliance.contracts.record import Record
from appliance.contracts.trustroot import Revocations, Role, Root, Urgent
from appliance.errors import TrustError
from appliance.trust import dsse, strict_json
from appliance.trust.dsse import Envelope
from appliance.trust.release_keys import ReleasePublicKey
from appliance.trust.untrusted import Untrusted

MAX_DOCUMENT_BYTES: Final = 3 * 2**20

KINDS: Final[dict[type[Record], str]] = {
    Root: "application/vnd.edge-agent-appliance.root.v1+json",
    Revocations: "application/vnd.edge-agent-appliance.revocations.v1+json",
    Urgent: "application/vnd.edge-agent-appliance.urgent.v1+json",
}

_R = TypeVar("_R", bound=Record)


def unsigned(record: Root | Revocations | Urgent) -> Envelope:
    """Return *record* in an envelope that nobody has signed yet."""
    text = json.dumps(record.model_dump(mode="json", exclude_none=True), indent=1, sort_keys=True, ensure_ascii=True)
    return Envelope(KINDS[type(record)], text.encode() + b"\n", ())


def envelope(data: bytes) -> Envelope:
    """Read the file of a document.

    Raises:
        Untrusted: it is none.
    """
    try:
        return dsse.parse(data)
    except ValueError as error:
        raise Untrusted("document", f"not a signed document: {error}") from error


def kind_of(found: Envelope) -> type[Root | Revocations | Urgent]:
    """Return what is in an envelope.

    Raises:
        Untrusted: nothing that this software knows.
    """
    for kind in (Root, Revocations, Urgent):
        if found.payload_type == KINDS[kind]:
            return kind
    raise Untrusted("document", f"{found.payload_type[:100]!a} is no root, revocation list or urgent statement")


def read(found: Envelope, record: type[_R]) -> _R:
    """Return what is in an envelope as *record*; who signed it is another question.

    Raises:
        Untrusted: it is another kind of document, or malformed.
    """
    if found.payload_type != KINDS[record]:
        raise Untrusted("document", f"{found.payload_type[:100]!a} where {KINDS[record]} is wanted")
    try:
        return strict_json.read(found.payload, record, limit_bytes=MAX_DOCUMENT_BYTES)
    except ValueError as error:
        raise Untrusted("document", f"not a {record.__name__.lower()}: {error}") from error


def fingerprint(found: Envelope) -> str:
    """Return the hash of a document's content, which its signatures do not change: what people compare."""
    return hashlib.sha256(found.payload).hexdigest()


def keys_of(root: Root) -> Mapping[str, ReleasePublicKey]:
    """Return the keys of *root* by their ids.

    Raises:
        Untrusted: one is no key, or not the one that its id says.
    """
    keys = {}
    for key_id, known in root.keys.items():
        try:
            key = ReleasePublicKey.from_pem(known.public_key.encode())
        except TrustError as error:
            raise Untrusted("document", f"key {key_id[:16]} of the root: {error}") from error
        if key.key_id != key_id:
            raise Untrusted("document", f"the root calls a key {key_id[:16]} that is {key.key_id[:16]}")
        keys[key_id] = key
    return keys


def signers(found: Envelope, root: Root, role: Role, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    """Return which different keys of *role* signed a document.

    Args:
        without: ids of keys that no longer count.
    """
    keys = keys_of(root)
    return dsse.signers(found, [keys[key_id] for key_id in role.keys if key_id not in set(without)])
