"""OpenSSF Model Signing v1.0 with elliptic-curve keys: written and checked here, and by anybody with `model_signing`.

A signature file is a Sigstore bundle around a DSSE envelope around an in-toto statement that lists every file of a
folder with its SHA-256. This is that much of it that a device needs, on `cryptography` alone; the public package brings
a web client, a certificate store and protobuf. Tests hold the two against each other, both ways.

Covers: a file altered, added, removed or renamed; a list with a name twice, or with a hash of another kind; a signature
that leaves files out (`ignore_paths` is never believed: the list must be the whole folder); statements of the format
before 1.0. Does not cover: who has the key, and whether one signature is enough; `admission` counts.

Source:
    https://github.com/ossf/model-signing-spec, version 1.0; model_signing 1.1.1 of PyPI.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from appliance.trust import dsse, strict_json
from appliance.trust.dsse import Envelope
from appliance.trust.release_keys import ReleaseKey, ReleasePublicKey
from appliance.trust.untrusted import Untrusted

MAX_SIGNATURE_BYTES: Final = 256 * 1024

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_PREDICATE: Final = "https://model_signing/signature/v1.0"


def sign(key: ReleaseKey, name: str, digests: Mapping[str, str]) -> bytes:
    """Return the signature file of *key* over a folder called *name*.

    Args:
        digests: every file's SHA-256, in hexadecimal.
    """
    envelope = dsse.signed(Envelope(_PAYLOAD_TYPE, _statement(name, digests), ()), key)
    # The public command looks a key up by this hint, and knows no name beside a signature.
    content = dsse.as_json(envelope._replace(signatures=(envelope.signatures[0]._replace(key_id=""),)))
    material = {"publicKey": {"hint": key.public.key_id}, "tlogEntries": []}
    bundle = {"mediaType": _MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": content}
    return json.dumps(bundle).encode() + b"\n"


def signer(data: bytes, digests: Mapping[str, str], keys: Iterable[ReleasePublicKey]) -> str | None:
    """Return which of *keys* signed exactly the files in *digests*; None when it was none of them.

    Args:
        data: the signature file.

    Raises:
        Untrusted: it is no such file, or one of *keys* signed other files than these.
    """
    try:
        envelope = _envelope(data)
        found = dsse.signers(envelope, keys)
        if not found:
            return None
        signed = _digests(strict_json.parse_object(envelope.payload, limit_bytes=MAX_SIGNATURE_BYTES))
    except ValueError as error:
        raise Untrusted("signature", f"not a Model Signing signature: {error}") from error
    if signed != dict(digests):
        raise Untrusted("signature", _difference(signed, digests))
    return found[0]


def hint(data: bytes) -> str:
    """Return the id of the key that *data* says it is signed by; for people, it proves nothing.

    Raises:
        Untrusted: it is no signature file.
    """
    try:
        bundle = strict_json.parse_object(data, limit_bytes=MAX_SIGNATURE_BYTES)
        return str(_at(bundle, "verificationMaterial", "publicKey", "hint"))
    except ValueError as error:
        raise Untrusted("signature", f"not a Model Signing signature: {error}") from error


def _statement(name: str, digests: Mapping[str, str]) -> bytes:
    ordered = sorted(digests.items())
    together = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in ordered)).hexdigest()
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": together}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
            "resources": [{"name": n, "algorithm": "sha256", "digest": digest} for n, digest in ordered],
        },
    }
    return json.dumps(statement, indent=1).encode()


def _envelope(data: bytes) -> Envelope:
    bundle = strict_json.parse_object(data, limit_bytes=MAX_SIGNATURE_BYTES)
    if bundle.get("mediaType") != _MEDIA_TYPE:
        raise ValueError(f"mediaType is not {_MEDIA_TYPE}")
    envelope = dsse.of_json(bundle.get("dsseEnvelope"))
    if envelope.payload_type != _PAYLOAD_TYPE:
        raise ValueError(f"its payload is not {_PAYLOAD_TYPE}")
    if len(envelope.signatures) != 1:
        raise ValueError("exactly one signature is wanted in a file: the public command looks at the first alone")
    return envelope


def _digests(statement: Any) -> dict[str, str]:
    """Return what the statement says of every file."""
    if _at(statement, "_type") != _STATEMENT or _at(statement, "predicateType") != _PREDICATE:
        raise ValueError("its statement is not of version 1.0; sign again with a newer model_signing")
    how = _at(statement, "predicate", "serialization")
    if not isinstance(how, dict) or (how.get("method"), how.get("hash_type")) != ("files", "sha256"):
        raise ValueError("it is not over whole files with SHA-256; sign with the defaults of `model_signing sign key`")
    resources, found = _at(statement, "predicate", "resources"), {}
    if not isinstance(resources, list):
        raise ValueError("it lists no files")  # noqa: TRY004 -- what is read is wrong, not who called
    for resource in resources:
        name, digest = _at(resource, "name"), _at(resource, "digest")
        if not isinstance(name, str) or not isinstance(digest, str) or _at(resource, "algorithm") != "sha256":
            raise ValueError("a file without name, or with another hash than SHA-256")
        if name in found:
            raise ValueError(f"it lists {name[:100]!a} twice")
        found[name] = digest
    _check_together(statement, list(found.values()))
    return found


def _check_together(statement: Any, digests: list[str]) -> None:
    subjects = _at(statement, "subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise ValueError("it has not exactly one subject")
    together = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()
    if _at(subjects[0], "digest", "sha256") != together:
        raise ValueError("its subject is not the hash over the files that it lists")


def _difference(signed: Mapping[str, str], here: Mapping[str, str]) -> str:
    for name in sorted({*signed, *here}):
        if name not in here:
            return f"the signature is over a file that is not here: {name[:100]!a}"
        if name not in signed:
            return f"the signature is not over {name[:100]!a}, which is here"
        if signed[name] != here[name]:
            return f"the signature is over another {name[:100]!a} than the one that is here"
    raise AssertionError("called without a difference")


def _at(value: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise ValueError(f"{'.'.join(path)} is missing")
        value = value[name]
    return value
