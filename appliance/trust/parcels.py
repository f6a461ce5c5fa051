"""What travels on a stick, encrypted to the controller: HPKE (RFC 9180), one parcel a file.

Two lines of head, each with its line end, then bytes:

    edge-agent-appliance/parcel/1
    {"controller": ..., "device": ..., "last": true, "made_at": ..., "n": 1}     canonical JSON
    the encapsulated key, 32 bytes, and the ciphertext of what gzip made of the content

Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode; `info` is both lines of the head, so that
none of it can be exchanged. Everything inside is signed by the device besides: a parcel proves nothing by itself.

Covers: a parcel that was cut, altered or extended, one for another controller, one that would unpack to more than is
taken. Does not cover: who made it; whether the stick was read by others on its way (they learn the head and the size).
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import AwareDatetime, Field, ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import KeyId
from appliance.contracts.record import Record
from appliance.contracts.topics import Name
from appliance.errors import TrustError, WireError
from appliance.trust import keys

SEALING_KEY: Final = Path("keys/controller.sealing.key")
MAGIC: Final = b"edge-agent-appliance/parcel/1\n"
MAX_HEAD_BYTES: Final = 1024
MAX_PARCEL_BYTES: Final = 4 * 2**20
MAX_CONTENT_BYTES: Final = 16 * 2**20
"""Of what is inside, unpacked."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_GZIP: Final = 31


class Head(Record):
    """What anybody may read of a parcel."""

    device: Name
    controller: KeyId
    made_at: AwareDatetime
    n: Annotated[int, Field(ge=1, le=100_000)]
    last: bool
    """Whether it is the last one of its export."""


class OpeningKey:
    """A controller's key that opens parcels; its secret never leaves this object but for its own file."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def opened(self, sealed: bytes, info: bytes) -> bytes:
        """Return the content of *sealed*.

        Raises:
            TrustError: it was not sealed to this key, or altered.
        """
        try:
            return _SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError) as error:
            raise TrustError("it was not sealed for this controller, or it was altered on the way") from error


def load_or_make(path: Path) -> OpeningKey:
    """Return the key in *path*, made now if there is none.

    Raises:
        TrustError: the file cannot be written or read, others may read it, or it is not such a key.
    """
    if not path.exists():
        pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        keys.keep_pem(path, pem)
    try:
        if path.stat().st_mode & 0o077:
            raise TrustError(f"key {path}: others may read it; make a new one, or `chmod 0400` it")
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise TrustError(f"key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise TrustError(f"key {path} is damaged or no PEM key; restore it from a backup") from error
    if not isinstance(private, X25519PrivateKey):
        raise TrustError(f"key {path} is no X25519 key")
    return OpeningKey(private)


def seal(content: bytes, head: Head, to: bytes) -> bytes:
    """Return *content* as a parcel that only the controller with the X25519 public key *to* opens."""
    info = MAGIC + canonical(head.model_dump(mode="json")) + b"\n"
    public = X25519PublicKey.from_public_bytes(to)
    return info + _SUITE.encrypt(gzip.compress(content, compresslevel=6, mtime=0), public, info)


def read_head(parcel: bytes) -> tuple[Head, bytes, bytes]:
    """Return the head of *parcel*, its bytes, and what is sealed.

    Raises:
        WireError: it is no parcel.
    """
    if len(parcel) > MAX_PARCEL_BYTES:
        raise WireError(f"a parcel of {len(parcel)} bytes; at most {MAX_PARCEL_BYTES}")
    if not parcel.startswith(MAGIC):
        raise WireError("not a parcel of ours")
    end = parcel.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEAD_BYTES)
    if end < 0:
        raise WireError("a parcel without a head")
    info = parcel[: end + 1]
    try:
        head = Head.model_validate_json(info[len(MAGIC) : -1])
    except ValidationError as error:
        raise WireError(f"a parcel's head that cannot be read: {error.errors()[0]['msg']}") from error
    return head, info, parcel[end + 1 :]


def open_parcel(parcel: bytes, key: OpeningKey) -> tuple[Head, bytes]:
    """Return the head and the content of *parcel*.

    Raises:
        WireError: it is no parcel, or more is in it than is taken.
        TrustError: it is not for this controller, or was altered.
    """
    head, info, sealed = read_head(parcel)
    packed = key.opened(sealed, info)
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(packed, MAX_CONTENT_BYTES + 1)
    except zlib.error as error:
        raise WireError(f"a parcel that cannot be unpacked: {error}") from error
    if len(content) > MAX_CONTENT_BYTES or not unpacker.eof:
        raise WireError(f"a parcel with more than {MAX_CONTENT_BYTES} bytes in it, or one that was cut")
    return head, content
