"""A site's certificate authority: a folder with its certificate and its key, and what it issues.

Devices keep their keys: what they carry to the authority is a request that holds none. Certificates of a broker or a
controller are made with a key beside them, on the machine where they are wanted.

Covers: a folder that is an authority already (stays as it is), a key that others may read (refused), a request by
somebody who has not its key, for another name, or with a weak key (refused), another key for a name that has one
(refused until somebody says that it is meant: `issued/` holds the last certificate of each name). Does not cover: names
that were certified before `issued/` was there, lists of what was revoked (`openssl ca` makes them), an authority whose
key lies in hardware: what such a one issues comes in as files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance import lasting
from appliance.errors import TrustError

CERTIFICATE: Final = "ca.pem"
KEY: Final = "ca.key"
ISSUED: Final = "issued"
"""The last certificate of each name, so that a name keeps its key."""

AUTHORITY_DAYS: Final = 20 * 365
MEMBER_DAYS: Final = 825
BACKDATED: Final = timedelta(days=1)
"""Certificates begin a day before they are made: clocks of a site differ."""

LEAST_RSA_BITS: Final = 2048
LEAST_EC_BITS: Final = 256
MAX_REQUEST_BYTES: Final = 16 * 1024

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Authority(NamedTuple):
    """Who issues; its key stays within this module."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """Its certificate, for everybody who is to believe it."""
        return self.certificate.public_bytes(Encoding.PEM)


def make(folder: Path, name: str, *, now: datetime) -> Authority:
    """Make an authority called *name* in *folder*.

    Raises:
        TrustError: there is one, or the folder cannot be written.
    """
    if (folder / KEY).exists() or (folder / CERTIFICATE).exists():
        raise TrustError(f"{folder} holds an authority already; name another folder")
    key = ec.generate_private_key(ec.SECP256R1())
    usage = _usage(signs_certificates=True)
    builder = _builder(_named(name), _named(name), key.public_key(), now=now, days=AUTHORITY_DAYS)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Authority(folder, certificate, key)
    _write(folder / KEY, _secret(key), mode=0o600)
    _write(folder / CERTIFICATE, made.pem, mode=0o644)
    return made


def load(folder: Path) -> Authority:
    """Open the authority in *folder*.

    Raises:
        TrustError: there is none, others may read its key, or the two do not fit together.
    """
    try:
        if (folder / KEY).stat().st_mode & 0o077:
            raise TrustError(f"{folder / KEY}: others may read this key; chmod 0600 it")
        key = load_pem_private_key((folder / KEY).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
    except OSError as error:
        raise TrustError(
            f"{error.filename}: {error.strerror}; `fleet authority {folder}` makes an authority"
        ) from error
    except (ValueError, TypeError) as error:
        raise TrustError(f"{folder}: no authority of ours: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise TrustError(f"{folder}: {CERTIFICATE} and {KEY} do not fit together")
    return Authority(folder, certificate, key)


def issue(
    authority: Authority,
    request: bytes,
    name: str,
    *,
    now: datetime,
    days: int = MEMBER_DAYS,
    is_new_key: bool = False,
) -> bytes:
    """Return the certificate (PEM) for the *request* (PKCS #10, PEM) of *name*.

    Args:
        is_new_key: somebody says that *name* has another key from now on.

    Raises:
        TrustError: it is no request, not signed by its own key, for another name, its key is weak, or not the one that
            was certified for *name* before.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise TrustError(f"a request of {len(request)} bytes; at most {MAX_REQUEST_BYTES}")
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not asked.is_signature_valid:
            raise TrustError("the request is not signed by its own key; ask for a new one")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(f"no request for a certificate in PEM form: {error}") from error
    if [each.value for each in names] != [name]:
        raise TrustError(f"the request is for {[each.value for each in names]}, not for {name!r}")
    if not isinstance(key, PublicKey) or _is_weak(key):
        raise TrustError("the request's key is of a kind or size that is not used here")
    if not is_new_key:
        _check_known(authority, name, key)
    return _issued(authority, name, key, (), now=now, days=days)


def certify(
    authority: Authority,
    name: str,
    out: Path,
    *,
    addresses: Sequence[str] = (),
    now: datetime,
    days: int = MEMBER_DAYS,
    is_new_key: bool = False,
) -> Path:
    """Write a certificate for *name* to *out*, with its key beside it; a key that is there already is used again.

    Args:
        addresses: names and numbers under which it is reached, for a broker.
        is_new_key: somebody says that *name* has another key from now on.

    Returns:
        The file of its key.

    Raises:
        TrustError: an address is none, the key beside it cannot be used or is not the one that was certified for *name*
            before, or a file cannot be written.
    """
    key_file = out.with_suffix(".key")
    if key_file == out:
        raise TrustError(f"{out}: a certificate's file may not end in .key; name it {out.with_suffix('.pem')}")
    key = _key_in(key_file) if key_file.exists() else ec.generate_private_key(ec.SECP256R1())
    if not is_new_key:
        _check_known(authority, name, key.public_key())
    if not key_file.exists():
        _write(key_file, _secret(key), mode=0o600)
    _write(out, _issued(authority, name, key.public_key(), addresses, now=now, days=days), mode=0o644)
    return key_file


def _issued(
    authority: Authority, name: str, key: PublicKey, addresses: Sequence[str], *, now: datetime, days: int
) -> bytes:
    until = now + timedelta(days=days)
    if until > authority.certificate.not_valid_after_utc:
        raise TrustError(
            f"the authority itself ends on {authority.certificate.not_valid_after_utc:%Y-%m-%d}: fewer days"
        )
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if addresses else [])]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(_named(name), authority.certificate.subject, key, now=now, days=days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(issuer, critical=False)
    )
    if addresses:
        builder = builder.add_extension(x509.SubjectAlternativeName([_address(a) for a in addresses]), critical=False)
    issued = builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    _write(_last(authority, name), issued, mode=0o644)
    return issued


def _check_known(authority: Authority, name: str, key: PublicKey) -> None:
    """Hold *key* against the one that *name* was certified with before, if it was.

    Raises:
        TrustError: it is another one.
    """
    path = _last(authority, name)
    try:
        last = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise TrustError(f"{path}: which key {name} has cannot be read ({error}); restore it from a backup") from error
    if last.public_key() != key:
        raise TrustError(
            f"{name} was certified with another key ({path}), and who asks now may be somebody else. If its key was"
            f" replaced, say --new-key; its old certificate is good until {last.not_valid_after_utc:%Y-%m-%d}"
        )


def _last(authority: Authority, name: str) -> Path:
    return authority.folder / ISSUED / f"{quote(name, safe='')}.pem"


def _is_weak(key: PublicKey) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < LEAST_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_EC_BITS


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, *, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise TrustError(f"{name!r} cannot be the name of a certificate: {error}") from error


def _address(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise TrustError(f"{text!r} is no address: {error}") from error


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key_in(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise TrustError(f"{path}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _is_weak(key.public_key()):
        raise TrustError(f"{path}: a key of a kind or size that is not made here; move it away, or give its request")
    return key


def _write(path: Path, data: bytes, *, mode: int) -> None:
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        lasting.keep_names(path.parent)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
