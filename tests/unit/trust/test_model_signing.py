"""OpenSSF Model Signing v1.0: the public command and ours agree, both ways, without a network."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.settings import shipped_bundle
from appliance.trust import dsse, model_signing
from appliance.trust.dsse import Envelope
from appliance.trust.untrusted import Untrusted

COMMAND = Path(sys.executable).with_name("model_signing")
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def outside(*arguments):
    """Run the public command where no network can be reached."""
    # A network namespace of its own needs rights that a plain user may lack; a proxy that refuses needs none.
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"}
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, env=nowhere)


def forged(statement, key, media="application/vnd.dev.sigstore.bundle.v0.3+json"):
    """A signature file with whatever statement one likes."""
    envelope = dsse.signed(Envelope("application/vnd.in-toto+json", json.dumps(statement).encode(), ()), key)
    return json.dumps({"mediaType": media, "dsseEnvelope": dsse.as_json(envelope)}).encode()


def statement_of(data):
    return json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]))


@pytest.fixture
def folder(tmp_path, ceremony):
    return ceremony.make_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_public_command_verifies_what_we_sign(folder, tmp_path, ceremony, curve):
    ann = ceremony.Person("ann", tmp_path, curve)
    (tmp_path / "ann.sig").write_bytes(model_signing.sign(ann.key, "bundle", ceremony.digests(folder)))
    verify = ("verify", "key", "--public_key", ann.public, "--signature", tmp_path / "ann.sig", folder)

    first = outside(*verify)
    (folder / "vocab.txt").write_bytes(b"another")
    second = outside(*verify)

    assert first.returncode == 0, first.stderr
    assert second.returncode != 0


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_we_verify_what_the_public_command_signs(folder, tmp_path, ceremony, curve):
    ann, bob = (ceremony.Person(name, tmp_path, curve) for name in ("ann", "bob"))
    done = outside("sign", "key", "--private_key", ann.path, "--signature", tmp_path / "ann.sig", folder)
    assert done.returncode == 0, done.stderr
    data, digests = (tmp_path / "ann.sig").read_bytes(), ceremony.digests(folder)

    assert model_signing.signer(data, digests, [bob.key.public, ann.key.public]) == ann.id
    assert model_signing.signer(data, digests, [bob.key.public]) is None
    assert model_signing.hint(data) == ann.id
    with pytest.raises(Untrusted, match=r"over another 'vocab\.txt'"):
        model_signing.signer(data, digests | {"vocab.txt": "0" * 64}, [ann.key.public])


def test_both_agree_on_the_bundle_that_ships(tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)
    digests = ceremony.digests(shipped_bundle())
    (tmp_path / "ann.sig").write_bytes(model_signing.sign(ann.key, "pointer-small", digests))

    done = outside("verify", "key", "--public_key", ann.public, "--signature", tmp_path / "ann.sig", shipped_bundle())

    assert done.returncode == 0, done.stderr


def test_the_public_command_refuses_a_file_too_many_and_so_do_we(folder, tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)
    data = model_signing.sign(ann.key, "bundle", ceremony.digests(folder))
    (tmp_path / "ann.sig").write_bytes(data)
    (folder / "more.txt").write_bytes(b"x")

    done = outside("verify", "key", "--public_key", ann.public, "--signature", tmp_path / "ann.sig", folder)

    assert done.returncode != 0
    with pytest.raises(Untrusted, match=r"not over 'more\.txt'"):
        model_signing.signer(data, ceremony.digests(folder), [ann.key.public])


def test_a_folder_may_have_any_name_and_a_bundle_signed_under_another_one_holds(folder, tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)

    data = model_signing.sign(ann.key, "another-name", ceremony.digests(folder))

    assert model_signing.signer(data, ceremony.digests(folder), [ann.key.public]) == ann.id


def test_paths_that_a_signer_wants_ignored_are_not(folder, tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)
    ignore = ("--ignore-paths", folder / "model.tflite")
    outside("sign", "key", *ignore, "--private_key", ann.path, "--signature", tmp_path / "ann.sig", folder)

    with pytest.raises(Untrusted, match=r"not over 'model\.tflite'"):
        model_signing.signer((tmp_path / "ann.sig").read_bytes(), ceremony.digests(folder), [ann.key.public])


def _changed(statement, *path, to):
    *way, last = path
    at = statement
    for step in way:
        at = at[step]
    at[last] = to
    return statement


@pytest.mark.parametrize(
    ("path", "to", "told"),
    [
        (("_type",), "https://in-toto.io/Statement/v0.1", "version 1.0"),
        (("predicateType",), "https://model_signing/Digests/v0.1", "version 1.0"),
        (("predicate", "serialization", "hash_type"), "blake2", "whole files with SHA-256"),
        (("predicate", "serialization", "method"), "shards", "whole files with SHA-256"),
        (("predicate", "serialization"), None, "whole files with SHA-256"),
        (("predicate", "resources"), {}, "lists no files"),
        (("predicate", "resources", 0, "algorithm"), "sha512", "another hash"),
        (("predicate", "resources", 0, "digest"), "no hex", "hexadecimal"),
        (("predicate", "resources", 0, "name"), "vocab.txt", "twice"),
        (("predicate", "resources", 0, "name"), 7, "without name"),
        (("subject",), [], "one subject"),
        (("subject", 0, "digest", "sha256"), "0" * 64, "not the hash over the files"),
        (("predicate",), [], "is missing"),
    ],
)
def test_a_statement_that_is_signed_and_not_of_the_format_is_refused(folder, tmp_path, ceremony, path, to, told):
    ann = ceremony.Person("ann", tmp_path)
    digests = ceremony.digests(folder)
    statement = _changed(statement_of(model_signing.sign(ann.key, "bundle", digests)), *path, to=to)

    with pytest.raises(Untrusted, match=told):
        model_signing.signer(forged(statement, ann.key), digests, [ann.key.public])


def test_a_statement_that_names_a_file_twice_in_json_is_refused(folder, tmp_path, ceremony):
    ann = ceremony.Person("ann", tmp_path)
    digests = ceremony.digests(folder)
    text = json.dumps(statement_of(model_signing.sign(ann.key, "bundle", digests)))
    twice = text.replace('"predicate": {', '"predicate": {"resources": [], ')
    envelope = dsse.signed(Envelope("application/vnd.in-toto+json", twice.encode(), ()), ann.key)
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    data = json.dumps({"mediaType": media, "dsseEnvelope": dsse.as_json(envelope)}).encode()

    with pytest.raises(Untrusted, match="same name twice"):
        model_signing.signer(data, digests, [ann.key.public])


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b"{" + b" " * 300_000 + b"}", b'{"mediaType": "x"}']
)
def test_nonsense_is_no_signature(junk, site):
    with pytest.raises(Untrusted, match="not a Model Signing signature"):
        model_signing.signer(junk, {}, [site.ann.key.public])


def test_two_signatures_in_one_file_are_refused(folder, site, ceremony):
    digests = ceremony.digests(folder)
    bundle = json.loads(model_signing.sign(site.ann.key, "bundle", digests))
    bundle["dsseEnvelope"]["signatures"] *= 2

    with pytest.raises(Untrusted, match="exactly one signature"):
        model_signing.signer(json.dumps(bundle).encode(), digests, [site.ann.key.public])
