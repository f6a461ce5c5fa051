"""A file to an Ed25519 key: made at first start, readable by its owner alone, or given by systemd as a credential.

Covers: a power cut while the key is made (whole or absent), two processes that make it at once (one wins, both use
it), a key that others may read (refused). Does not cover: someone who is root, or who takes the SD card out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from appliance import lasting
from appliance.errors import TrustError

DEVICE_KEY = Path("keys/device.key")
CONTROLLER_KEY = Path("keys/controller.key")
CREDENTIAL = "device.key"
"""`LoadCredential=device.key:PATH` of the service, or `LoadCredentialEncrypted=`: systemd keeps the key."""

NEXT_CREDENTIAL = "device.key.next"
"""The key that a rotation is to take, where systemd keeps the keys."""


class PublicKey:
    """A key that checks signatures."""

    def __init__(self, raw: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.raw = raw
        self.key_id = key_id(raw)

    @classmethod
    def from_hex(cls, text: str) -> PublicKey:
        """Read a key as enrolment files hold it.

        Raises:
            TrustError: not 64 hexadecimal digits.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError as error:
            raise TrustError(f"not an Ed25519 public key (64 hexadecimal digits wanted): {text[:80]!r}") from error

    def pem(self) -> bytes:
        """Return the key as other tools read it (SubjectPublicKeyInfo)."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def accepts(self, signature: bytes, data: bytes) -> bool:
        """Tell whether *signature* was made over *data* by the owner of this key."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A key that signs; its secret never leaves this object but for its own file."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def key_id(self) -> str:
        """Which key this is, in 16 hexadecimal digits."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes that only this key can make over *data*."""
        return self._private.sign(data)


def key_id(raw: bytes) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over a raw public key."""
    return hashlib.sha256(raw).hexdigest()[:16]


def credential(name: str = CREDENTIAL, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where systemd has put a key for this process, if it has."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def load_or_make(path: Path) -> SigningKey:
    """Return the key in *path*, made now if there is none.

    Raises:
        TrustError: the file cannot be written or read, others may read it, or it is not such a key.
    """
    if not path.exists():
        _make(path)
    return load(path)


def load(path: Path) -> SigningKey:
    """Return the key in *path*.

    Raises:
        TrustError: absent, unreadable, readable by others, or not an Ed25519 key.
    """
    try:
        if path.exists() and not path.is_file():
            raise TrustError(f"key {path} is no regular file")
        mode = path.stat().st_mode & 0o777
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise TrustError(f"key {path} is missing; restore it, or copy it with the rest of its folder") from error
    except OSError as error:
        raise TrustError(f"key {path}: {error.strerror}; start the appliance as the user who owns it") from error
    # The mask of systemd's access list stands where a group's rights do; others never have any.
    others = 0o007 if path in (credential(), credential(NEXT_CREDENTIAL)) else 0o077
    if mode & others:
        raise TrustError(f"key {path} has mode {mode:04o}: others may read it; make a new one, or `chmod 0400` it")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(f"key {path} is damaged or not a PEM key; restore it from a backup, or enrol again") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise TrustError(f"key {path} is not an Ed25519 key")
    return SigningKey(private)


def make_new(path: Path) -> SigningKey:
    """Make a key in *path*, whatever lay there.

    Raises:
        TrustError: the file cannot be written.
    """
    path.unlink(missing_ok=True)
    return load_or_make(path)


def fleeting() -> SigningKey:
    """Return a new key that is kept nowhere and ends with the process: for simulations."""
    return SigningKey(Ed25519PrivateKey.generate())


def new_pem() -> bytes:
    """Return a new private key, as key files hold it."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _make(path: Path) -> None:
    keep_pem(path, new_pem())


def keep_pem(path: Path, pem: bytes) -> None:
    """Keep a private key in *path*, for its owner alone; one that is there already stays.

    Raises:
        TrustError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        lasting.make_folder(path.parent, 0o700)
        path.parent.chmod(0o700)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        try:
            os.write(handle, pem)
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            # A link never replaces: of two that make a key at once, the first one's stays.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
        lasting.keep_names(path.parent)
    except OSError as error:
        # Half of a key that nobody will ever use, where the disk was full.
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise TrustError(f"cannot make key {path}: {error.strerror}") from error
