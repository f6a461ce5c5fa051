"""The certificates that a device shows and believes: when they end, and a newer one in the place of the old.

The key for the connection is made here and never leaves. A device that has no certificate asks with `first_request`,
and its grant brings the answer (`take`); later it asks with `request`, whoever holds the site's authority signs, and
`renewed` takes the answer from wherever it comes. The connection notices that the file was replaced.

Covers: a certificate of another key, another name or another authority, one that ends no later than the present one
(all refused, the present one stays), intermediate authorities, a power cut while it is written. Does not cover: who may
hand it in; a new authority without a new grant.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from appliance import lasting
from appliance.contracts.enrolment import BrokerSettings
from appliance.errors import TrustError
from appliance.trust import keys

KEY: Final = Path("keys/link.key")
CERTIFICATE: Final = Path("keys/link.pem")
AUTHORITY: Final = Path("keys/link-ca.pem")
"""In a device's home, where its certificate came with its grant."""

MAX_BYTES: Final = 64 * 1024

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class End(NamedTuple):
    """When one of the certificates ends."""

    what: str
    path: str
    serial: int
    at: datetime


def ends(broker: BrokerSettings) -> tuple[End, ...]:
    """Return when the certificates of *broker* end, the first to end first.

    Raises:
        TrustError: a file cannot be read, or holds no certificate.
    """
    named = (("the device's certificate", broker.certificate_file), ("the site's authority", broker.ca_file))
    found = [
        End(what, path, each.serial_number, each.not_valid_after_utc)
        for what, path in named
        if path is not None
        for each in _read(Path(path))
    ]
    return tuple(sorted(found, key=lambda end: end.at))


def first_request(home: Path, name: str) -> bytes:
    """Return a request (PEM, PKCS #10) for a certificate of *name*, for a key that is made now if there is none.

    Raises:
        TrustError: the key cannot be made or used.
    """
    if not (home / KEY).exists():
        made = ec.generate_private_key(ec.SECP256R1())
        keys.keep_pem(home / KEY, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _request(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), _key_in(home / KEY))


def take(home: Path, name: str, *, certificate: str, authority: str) -> None:
    """Keep what a grant brings for the connection of the device *name*; nothing where it brings nothing.

    Raises:
        TrustError: it is for another key or name, not of that authority, or cannot be written.
    """
    if certificate:
        _check(_key_in(home / KEY).public_key(), name, certificate, authority)
    if authority:
        _parse(authority.encode(), "the grant's authority")
        _replace(home / AUTHORITY, authority.encode())
    if certificate:
        _replace(home / CERTIFICATE, certificate.encode())


def check(request: str, name: str, *, certificate: str, authority: str) -> None:
    """Hold a certificate that came from outside against the request of the device *name*.

    Raises:
        TrustError: it is for another key or name, or not of that authority.
    """
    try:
        asked = x509.load_pem_x509_csr(request.encode())
    except ValueError as error:
        raise TrustError(f"{name} sent no request for a certificate; have it ask again: {error}") from error
    _check(asked.public_key(), name, certificate, authority)


def _check(key: object, name: str, certificate: str, authority: str) -> None:
    chain = _parse(certificate.encode(), "the certificate")
    if _public(key) != _public(chain[0].public_key()):
        raise TrustError(f"the certificate is for another key than that of {name}")
    if _name(chain[0]) != name:
        raise TrustError(f"the certificate is for {_name(chain[0])!r}, the device is {name!r}")
    if not _leads(chain, _parse(authority.encode(), "the authority")):
        raise TrustError("the certificate was not issued by the authority beside it")


def read(path: Path) -> str:
    """Return the certificates in *path* as text.

    Raises:
        TrustError: it cannot be read, is too long, or holds none.
    """
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in _read(path))


def write(path: Path, pem: bytes) -> None:
    """Write what holds no secret, whole or not at all.

    Raises:
        TrustError: it cannot be written.
    """
    _replace(path, pem)


def discard(home: Path) -> None:
    """Forget key and certificate: they are another device's."""
    for path in (KEY, CERTIFICATE):
        (home / path).unlink(missing_ok=True)


def ask_ahead(broker: BrokerSettings) -> Path:
    """Write a request for a newer certificate beside the present one; whoever comes by can carry it.

    Raises:
        TrustError: there is no certificate here, or the request cannot be written.
    """
    asked = request(broker)
    assert broker.certificate_file is not None  # `request` has read it
    path = Path(broker.certificate_file).with_suffix(".csr")
    _replace(path, asked)
    return path


def request(broker: BrokerSettings) -> bytes:
    """Return a request (PEM, PKCS #10) for a newer certificate of the present key and name; it holds no secret.

    Raises:
        TrustError: there is no certificate here, or a file cannot be read.
    """
    certificate, key = _present(broker)
    return _request(certificate.subject, key)


def renewed(broker: BrokerSettings, pem: bytes) -> End:
    """Put the certificate in *pem* in the place of the present one; whole or not at all.

    Returns:
        When the new one ends.

    Raises:
        TrustError: it is not this device's, not the site's, or no newer; the present one stays.
    """
    if len(pem) > MAX_BYTES:
        raise TrustError(f"a certificate of {len(pem)} bytes; at most {MAX_BYTES}")
    present, key = _present(broker)
    chain = _parse(pem, "the new certificate")
    new = chain[0]
    if _public(new.public_key()) != _public(key.public_key()):
        raise TrustError("the new certificate is for another key than this device's")
    if _name(new) != _name(present):
        raise TrustError(f"the new certificate is for {_name(new)!r}, this device is {_name(present)!r}")
    if broker.ca_file is None or not _leads(chain, _read(Path(broker.ca_file))):
        raise TrustError("the new certificate was not issued by the site's authority")
    if new.not_valid_after_utc <= present.not_valid_after_utc:
        raise TrustError(f"the new certificate ends {new.not_valid_after_utc}, no later than the present one")
    assert broker.certificate_file is not None  # `_present` has read it
    _replace(Path(broker.certificate_file), pem)
    return End("the device's certificate", broker.certificate_file, new.serial_number, new.not_valid_after_utc)


def _present(broker: BrokerSettings) -> tuple[x509.Certificate, Key]:
    if broker.certificate_file is None or broker.key_file is None:
        raise TrustError("this device shows its broker no certificate")
    return _read(Path(broker.certificate_file))[0], _key_in(Path(broker.key_file))


def _key_in(path: Path) -> Key:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise TrustError(f"{path}: {error}") from error
    if not isinstance(key, Key):
        raise TrustError(f"{path}: a key of a kind that is not used for certificates here")
    return key


def _request(subject: x509.Name, key: Key) -> bytes:
    wanted = x509.CertificateSigningRequestBuilder().subject_name(subject)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return wanted.sign(key, algorithm).public_bytes(Encoding.PEM)


def _read(path: Path) -> list[x509.Certificate]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    return _parse(data, str(path))


def _parse(data: bytes, what: str) -> list[x509.Certificate]:
    if len(data) > MAX_BYTES:
        raise TrustError(f"{what}: longer than {MAX_BYTES} bytes")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise TrustError(f"{what}: no certificate in PEM form: {error}") from error


def _leads(chain: list[x509.Certificate], authorities: list[x509.Certificate]) -> bool:
    """Tell whether each of *chain* was issued by the next, and one of them by one of *authorities*."""
    for place, certificate in enumerate(chain):
        if any(_issued(certificate, each) for each in authorities):
            return True
        if place + 1 == len(chain) or not _issued(certificate, chain[place + 1]):
            return False
    return False


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _public(key: object) -> bytes:
    encode = getattr(key, "public_bytes", None)
    return encode(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if encode is not None else b""


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        lasting.keep_names(path.parent)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
