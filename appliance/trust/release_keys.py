"""PEM files to the elliptic-curve keys that people sign with: releases, roots, revocations.

Their kind is what OpenSSF Model Signing takes (P-256, P-384, P-521), so that one key serves its public command and
ours. Devices sign with Ed25519 keys of their own (`keys`).

Covers: one key written in several ways (compressed points, other line ends) has one id; other curves and other kinds
of keys are refused. Does not cover: where a private key is kept; it should be a machine without a network.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.errors import TrustError

MAX_PEM_BYTES: Final = 8192
_HASHES: Final[dict[str, type[HashAlgorithm]]] = {"secp256r1": SHA256, "secp384r1": SHA384, "secp521r1": SHA512}


class ReleasePublicKey:
    """A key that checks what a person signed."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        if key.curve.name not in _HASHES:
            raise TrustError(f"a key on the curve {key.curve.name}; P-256, P-384 or P-521 is wanted")
        self._key = key
        self._hash = _HASHES[key.curve.name]()
        self.curve = key.curve.name
        self.pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = hashlib.sha256(self.pem).hexdigest()

    @classmethod
    def from_pem(cls, pem: bytes) -> ReleasePublicKey:
        """Read a public key.

        Raises:
            TrustError: it is none of the kind that is wanted.
        """
        try:
            key = load_pem_public_key(pem[: MAX_PEM_BYTES + 1])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TrustError("not a public key in PEM form (`openssl ec -in KEY -pubout` makes one)") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TrustError("not an elliptic-curve key; P-256, P-384 or P-521 is wanted")
        return cls(key)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Tell whether *signature* was made over *data* by the owner of this key."""
        try:
            self._key.verify(signature, data, ec.ECDSA(self._hash))
        except InvalidSignature:
            return False
        return True


class ReleaseKey:
    """A person's private key, as long as the signing takes."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = ReleasePublicKey(private.public_key())
        self._hash = _HASHES[self.public.curve]()

    def sign(self, data: bytes) -> bytes:
        """Return a DER signature over *data*."""
        return self._private.sign(data, ec.ECDSA(self._hash))


def load_public(path: Path) -> ReleasePublicKey:
    """Return the public key in the file at *path*.

    Raises:
        TrustError: absent, unreadable, or not such a key.
    """
    try:
        return ReleasePublicKey.from_pem(_read(path))
    except TrustError as error:
        raise TrustError(f"{path}: {error}") from error


def load_private(path: Path, passphrase: bytes | None = None) -> ReleaseKey:
    """Return the private key in the file at *path*.

    Raises:
        TrustError: absent, unreadable, readable by others, not such a key, or the passphrase is wrong.
    """
    pem = _read(path)
    if path.stat().st_mode & 0o077:
        raise TrustError(f"{path}: others may read this private key; `chmod 0600` it")
    try:
        private = load_pem_private_key(pem, passphrase)
    except TypeError as error:
        raise TrustError(f"{path}: {_about_passphrase(passphrase)}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError(f"{path}: not a private key in PEM form, or the passphrase is wrong") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TrustError(f"{path}: not an elliptic-curve key; P-256, P-384 or P-521 is wanted")
    try:
        return ReleaseKey(private)
    except TrustError as error:
        raise TrustError(f"{path}: {error}") from error


def is_encrypted(path: Path) -> bool:
    """Tell whether the private key at *path* asks for a passphrase.

    Raises:
        TrustError: it cannot be read.
    """
    return b"ENCRYPTED" in _read(path)


def _about_passphrase(passphrase: bytes | None) -> str:
    return "it is encrypted; give its passphrase" if passphrase is None else "it is not encrypted; give no passphrase"


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise TrustError(f"{path}: no regular file")
        with path.open("rb") as file:
            return file.read(MAX_PEM_BYTES)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
