"""A site's people with their keys, made for one test: roots, bundles, revocation lists, urgent statements."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.contracts.manifest import BundleFile, Manifest
from appliance.contracts.trustroot import KnownKey, Revocations, RevokedBundle, RevokedKey, Role, Root, Urgent
from appliance.trust import bundles, documents, dsse, model_signing, packing
from appliance.trust.release_keys import ReleaseKey

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SCALE = {"bias": 0.0, "weights": {}}


def written(private, path):
    """Write a private key as OpenSSL would."""
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


class Person:
    """Somebody with a key."""

    def __init__(self, name, folder, curve=None):
        private = ec.generate_private_key(curve or ec.SECP256R1())
        self.name = name
        self.path = written(private, folder / f"{name}.pem")
        self.key = ReleaseKey(private)
        self.id = self.key.public.key_id
        self.public = folder / f"{name}.pub"
        self.public.write_bytes(self.key.public.pem)


class Site:
    """Keys of five people; two of the first three release, two of the last three are the root."""

    def __init__(self, folder):
        self.folder = folder
        self.ann, self.bob, self.cem = (Person(name, folder) for name in ("ann", "bob", "cem"))
        self.dot, self.eva = (Person(name, folder) for name in ("dot", "eva"))
        self.stranger = Person("stranger", folder)

    def root(self, version=1, signed_by=None, **changes):
        """A root's file; signed by those who may, unless said otherwise."""
        people = changes.pop("people", (self.ann, self.bob, self.cem, self.dot, self.eva))
        said = {
            "site": "workshop",
            "version": version,
            "issued_at": NOW - timedelta(days=30),
            "expires_at": NOW + timedelta(days=365),
            "keys": {p.id: KnownKey(public_key=p.key.public.pem.decode(), owner=p.name) for p in people},
            "root": Role(keys=(self.cem.id, self.dot.id, self.eva.id), threshold=2),
            "release": Role(keys=(self.ann.id, self.bob.id, self.cem.id), threshold=2),
            "urgent_threshold": 3,
            "revocation": Role(keys=(self.dot.id, self.eva.id), threshold=1),
            "cooldown_days": 7,
        }
        return self.signed(Root(**said | changes), signed_by or (self.dot, self.eva))

    def revocations(self, number=1, keys=(), bundles=(), signed_by=None, **changes):
        """A revocation list's file."""
        said = Revocations(
            site=changes.pop("site", "workshop"),
            number=number,
            issued_at=changes.pop("issued_at", NOW),
            keys=tuple(RevokedKey(key=key, reason="stolen") for key in keys),
            bundles=tuple(RevokedBundle(sha256=sha256, reason="unlocks doors") for sha256 in bundles),
            **changes,
        )
        return self.signed(said, signed_by or (self.dot,))

    def urgent(self, bundle, signed_by, **changes):
        """The file that says that *bundle* cannot wait."""
        whole = bundles.check(bundle)
        said = {
            "site": "workshop",
            "sha256": whole.sha256,
            "name": whole.manifest.name,
            "release": whole.manifest.release,
            "reason": "the present one opens the gate at the word banana",
            "issued_at": NOW,
        }
        return self.signed(Urgent(**said | changes), signed_by)

    def signed(self, record, people):
        """Sign a document by some people."""
        envelope = documents.unsigned(record)
        for person in people:
            envelope = dsse.signed(envelope, person.key)
        return dsse.written(envelope)

    def delivery(self, name="delivery", signed_by=None, urgent=None, files=None, **changes):
        """A delivery as a folder: a small bundle, signed."""
        folder = self.folder / name
        bundle = make_bundle(folder / "bundle", files=files, **changes)
        (folder / "signatures").mkdir()
        for person in signed_by if signed_by is not None else (self.ann, self.bob):
            self.sign(folder, person)
        if urgent is not None:
            (folder / "urgent.json").write_bytes(self.urgent(bundle, urgent))
        return folder

    def sign(self, delivery, person, name=None):
        """Sign the bundle of a delivery."""
        data = model_signing.sign(person.key, "bundle", digests(delivery / "bundle"))
        (delivery / "signatures" / f"{name or person.id[:16]}.sig").write_bytes(data)


def digests(folder):
    """SHA-256 of every file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def make_bundle(folder, files=None, **changes):
    """A bundle that is whole, and much smaller than one that works."""
    contents = {
        "model.tflite": b"\x1c\0\0\0TFL3" + bytes(range(256)) * 16,
        "vocab.txt": b"[PAD]\n[UNK]\nlight\n",
        "golden.jsonl": b'{"request": "light on"}\n',
        "canary.jsonl": b'{"kind": "case"}\n',
        "card.md": b"# A card\n",
        "mlbom.json": b'{"bomFormat": "CycloneDX"}\n',
    } | (files or {})
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    listed = {
        name: BundleFile(sha256=hashlib.sha256(content).hexdigest(), bytes_n=len(content))
        for name, content in contents.items()
    }
    said = {
        "format": "appliance-bundle/2",
        "name": "pointer-small",
        "version": "0.2.0",
        "release": 2,
        "made_at": "2026-11-20T00:00:00+00:00",
        "expires_at": (NOW + timedelta(days=365)).isoformat(),
        "minimum_software": "0.1.0",
        "minimum_revocations": 0,
        "files": {name: file.model_dump() for name, file in listed.items()},
        "network": {
            "inputs": {"ids": "ids", "positions": "positions", "kinds": "kinds", "blocks": "blocks"},
            "outputs": {"scalars": "scalars", "queries": "queries", "keys": "keys"},
            "max_tokens": 1024,
            "parameters_n": 1,
        },
        "calibration": {"call": SCALE, "mention": SCALE, "abstain": SCALE},
        "thresholds": {"act": 0.9, "confirm": 0.5, "abstain": 0.5},
        "tolerance": {"quantized_logit": 1.0, "runtimes_logit": 1.0, "confidence": 0.1},
        "training": {
            "command": "make",
            "seed": 1,
            "steps_n": 1,
            "rows_seen_n": 1,
            "warm_start": {"name": "none", "sha256": "0" * 64, "rows_n": 0},
            "data": [],
        },
    }
    manifest = Manifest.model_validate_json(json.dumps(said | changes))
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return folder


def packed(delivery, target):
    """The tar file of a delivery folder."""
    urgent = delivery / "urgent.json"
    packing.pack(delivery / "bundle", delivery / "signatures", urgent if urgent.exists() else None, target)
    return target
