"""A key is what it is: however it is written, it is one, and other kinds are none."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.errors import TrustError
from appliance.trust import release_keys
from appliance.trust.release_keys import ReleasePublicKey


def public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def openssl(*words, cwd):
    return subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True).stdout


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_the_id_of_a_key_is_the_hash_of_the_file_that_openssl_writes(tmp_path, curve):
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", "k.pem", cwd=tmp_path)
    openssl("ec", "-in", "k.pem", "-pubout", "-out", "k.pub", cwd=tmp_path)

    assert (
        release_keys.load_public(tmp_path / "k.pub").key_id
        == hashlib.sha256((tmp_path / "k.pub").read_bytes()).hexdigest()
    )


def test_one_key_written_in_several_ways_is_one(tmp_path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "k.pem", cwd=tmp_path)
    plain = openssl("ec", "-in", "k.pem", "-pubout", cwd=tmp_path)
    compressed = openssl("ec", "-in", "k.pem", "-pubout", "-conv_form", "compressed", cwd=tmp_path)
    ways = [plain, compressed, plain.replace(b"\n", b"\r\n"), b"a comment\n" + plain, plain + b"\n\n"]

    assert compressed != plain
    assert len({ReleasePublicKey.from_pem(way).key_id for way in ways}) == 1


@pytest.mark.parametrize(
    "pem",
    [
        public(ed25519.Ed25519PrivateKey.generate()),
        public(rsa.generate_private_key(65537, 2048)),
        public(dsa.generate_private_key(2048)),
        public(ec.generate_private_key(ec.SECP256K1())),
        b"",
        b"nonsense",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ],
    ids=["ed25519", "rsa", "dsa", "secp256k1", "empty", "nonsense", "broken"],
)
def test_other_kinds_of_keys_are_refused(pem):
    with pytest.raises(TrustError):
        ReleasePublicKey.from_pem(pem)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_a_key_signs_it_accepts_and_nothing_else(tmp_path, ceremony, curve):
    ann, bob = (ceremony.Person(name, tmp_path, curve) for name in ("ann", "bob"))
    signature = ann.key.sign(b"this")

    assert ann.key.public.accepts(signature, b"this")
    assert not ann.key.public.accepts(signature, b"that")
    assert not bob.key.public.accepts(signature, b"this")
    assert not ann.key.public.accepts(b"", b"this")
    assert not ann.key.public.accepts(bytes(64), b"this")


def test_a_private_key_of_another_kind_is_refused_by_name(tmp_path):
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k.pem").write_bytes(pem)
    (tmp_path / "k.pem").chmod(0o600)

    with pytest.raises(TrustError, match="not an elliptic-curve key"):
        release_keys.load_private(tmp_path / "k.pem")


def test_a_passphrase_that_is_missing_or_too_much_is_said(tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)
    openssl("ec", "-in", "ann.pem", "-aes256", "-passout", "pass:abc", "-out", "locked.pem", cwd=tmp_path)
    (tmp_path / "locked.pem").chmod(0o600)

    assert release_keys.is_encrypted(tmp_path / "locked.pem")
    assert release_keys.load_private(tmp_path / "locked.pem", b"abc").public.key_id == ann.id
    with pytest.raises(TrustError, match="it is encrypted"):
        release_keys.load_private(tmp_path / "locked.pem")
    with pytest.raises(TrustError, match="it is not encrypted"):
        release_keys.load_private(ann.path, b"abc")


def test_a_key_file_that_is_not_there_or_no_file_is_named(tmp_path):
    with pytest.raises(TrustError, match="nobody"):
        release_keys.load_public(tmp_path / "nobody.pub")
    with pytest.raises(TrustError, match="no regular file"):
        release_keys.load_public(tmp_path)
