"""The form of bundles, deliveries and signed documents, as docs/reference/bundle.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pydantic import BaseModel

from appliance.contracts.bundle import Admitted, Code
from appliance.contracts.manifest import (
    BundleFile,
    Calibration,
    DataSource,
    Manifest,
    NetworkShape,
    Scale,
    Thresholds,
    Tolerance,
    Training,
)
from appliance.contracts.record import Record
from appliance.contracts.trustroot import KnownKey, Revocations, RevokedBundle, RevokedKey, Role, Root, Urgent
from appliance.trust import admission, bundles, documents, opening, revocation

FILES: Final = {
    bundles.MANIFEST: "what the bundle is; size and SHA-256 of every other file. Its own SHA-256 is the bundle's name",
    "model.tflite": "the int8 network",
    "vocab.txt": "one token a line",
    "golden.jsonl": "requests with the answers that the float network gave; replayed on the device",
    "canary.jsonl": "requests with right answers, most of them about when *not* to act; replayed on the device",
    "card.md": "the model card, for people",
    "mlbom.json": "CycloneDX 1.6 bill of materials, `machine-learning-model` with model card",
}

CODES: Final[dict[Code, str]] = {
    "unreadable": "a file or folder cannot be read, or there is no room for the copy",
    "archive": "not in the one form of a delivery: links, strange names, too large, cut short, bytes behind the end",
    "files": "a file is missing, too many, altered, or holds something else than its ending says",
    "manifest": "the manifest cannot be read, or in two ways",
    "software": "it needs newer software",
    "no-root": "this device trusts nobody yet",
    "root-expired": "the root of trust is past its date; a newer one is still taken",
    "document": "a root, list or statement is malformed or of another kind",
    "signature": "a signature is over other files than these, or an urgent statement is about another bundle",
    "threshold": "too few different keys that count have signed",
    "chain": "a root that the present one does not lead to, another site's document, another fingerprint",
    "revoked": "the bundle was revoked",
    "revocations-behind": "it was made when a newer revocation list was out than this device has",
    "expired": "the bundle or the revocation list is past its date",
    "rollback": "older than what this device has had, or a list that takes back a revocation",
    "equivocation": "the number of a bundle that this device has had, with other content",
    "fast-forward": f"more than {admission.MAX_STEP} ahead of what this device has had",
    "cooldown": "it has not lain on this device for long enough; nothing is wrong with it",
}


PARTS: Final[dict[str, type[Record]]] = {
    "Each of `files`": BundleFile,
    "`network`": NetworkShape,
    "`calibration`": Calibration,
    "`call`, `mention` and `abstain` of `calibration`": Scale,
    "`thresholds`": Thresholds,
    "`tolerance`": Tolerance,
    "`training`": Training,
    "`warm_start` and each of `data` in `training`": DataSource,
}
"""What a manifest holds that holds more."""


class Attack(NamedTuple):
    """One of the attacks that The Update Framework names, and what becomes of it here."""

    name: str
    done: str
    codes: tuple[Code, ...]
    shown_by: str
    """The file with its tests in tests/unit/trust; `test_every_attack.py` carries each out to each of its codes."""


ATTACKS: Final = (
    Attack(
        "arbitrary installation",
        "only what enough release keys of the site's root signed",
        ("threshold", "no-root"),
        "test_attacks.py",
    ),
    Attack(
        "endless data",
        f"every file and the whole have limits; a copy stops at them ({opening.MAX_BYTES >> 20} MiB together)",
        ("archive",),
        "test_opening.py",
    ),
    Attack("extraneous files", "the folder is the manifest's files, and nothing else", ("files",), "test_bundles.py"),
    Attack(
        "fast-forward",
        f"at most {admission.MAX_STEP} numbers are skipped; a root can set the floor anew",
        ("fast-forward",),
        "test_attacks.py",
    ),
    Attack(
        "indefinite freeze",
        "bundles, roots and (if the site wants) revocation lists expire; a bundle names the list that was out",
        ("expired", "root-expired", "revocations-behind"),
        "test_attacks.py",
    ),
    Attack(
        "key compromise",
        "thresholds of different keys, revocation by key, roots that rotate, a cooldown on the device",
        ("threshold", "revoked", "cooldown"),
        "test_attacks.py",
    ),
    Attack(
        "mix and match",
        "every signature is over every file; statements name the bundle by its hash",
        ("signature", "files"),
        "test_attacks.py",
    ),
    Attack(
        "rollback",
        "the number of a release never falls on a device, nor below what came with its software",
        ("rollback", "equivocation"),
        "test_attacks.py",
    ),
    Attack(
        "slow retrieval",
        "nothing is fetched here: what comes by network is a whole file before it is looked at",
        (),
        "",
    ),
    Attack(
        "vulnerability to one key",
        "roots and bundles take two different keys at least; the same key twice is one",
        ("threshold",),
        "test_attacks.py",
    ),
    Attack(
        "wrong software",
        "a document of another site, of another kind, or for newer software",
        ("chain", "document", "software"),
        "test_attacks.py",
    ),
)


def page(stamp: str) -> str:
    """Return docs/reference/bundle.md."""
    return "\n".join([*_forms(stamp), *_documents(), *_refusals()]) + "\n"


def _forms(stamp: str) -> Iterator[str]:
    yield f"# Bundles, deliveries and whose word counts\n\n{stamp}"
    yield "How to use it: [hold a key ceremony](../how-to/hold-a-key-ceremony.md),"
    yield "[release a bundle](../how-to/release-a-bundle.md), [revoke a bundle or a key](../how-to/revoke.md). Why:"
    yield "[trusting what is installed](../explanation/trust.md).\n"
    yield "## A bundle\n"
    yield "A flat folder of data. No code, no pickle, no links, no folder in it; every file is in the manifest.\n"
    yield "| file | what it is |\n|---|---|"
    yield from (f"| `{name}` | {what} |" for name, what in FILES.items())
    yield "\nOther files may be added by a later format; what a file holds is judged by its ending (`.tflite`, `.json`,"
    yield "`.jsonl`, `.txt`, `.md`; no other is taken): JSON without a name twice, text in UTF-8, a TFLite header.\n"
    yield "### `manifest.json`\n"
    yield from _fields(Manifest)
    for part, record in PARTS.items():
        yield f"{part}: {record.__doc__}\n"
        yield from _fields(record)
    yield "## A delivery\n"
    yield "A folder, or a tar file of it, that holds\n"
    yield "| path | what it is |\n|---|---|"
    yield f"| `{opening.BUNDLE}/…` | the bundle; what is signed |"
    yield f"| `{opening.SIGNATURES}/NAME.sig` | one OpenSSF Model Signing v1.0 file for each release key, any name |"
    yield f"| `{opening.URGENT}` | optional: the signed statement that it cannot wait |"
    yield "\nThe tar file has exactly one byte form, which `appliance bundle pack` and GNU tar write alike: plain files"
    yield "in order of their names, `--format=ustar --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0`. Any"
    yield "other header, order or byte is refused; nothing is ever decompressed.\n"
    yield "| at most | |\n|---|---:|"
    yield f"| everything together | {opening.MAX_BYTES >> 20} MiB, {opening.MAX_FILES_N} files |"
    yield f"| `*.tflite` | {opening.MAX_NETWORK_BYTES >> 20} MiB |"
    yield f"| another file of the bundle | {opening.MAX_FILE_BYTES >> 20} MiB |"
    yield f"| the manifest; a `.json` file; a line of `.jsonl` | {bundles.MAX_JSON_BYTES >> 20} MiB |"
    yield f"| a signature, an urgent statement | {opening.MAX_SIDE_BYTES >> 10} KiB |"
    yield f"| a root, a revocation list | {documents.MAX_DOCUMENT_BYTES >> 20} MiB |\n"
    yield "### Signatures\n"
    yield "Sigstore bundle v0.3 JSON, DSSE envelope, in-toto statement, predicate"
    yield "`https://model_signing/signature/v1.0`, whole files, SHA-256; elliptic-curve keys (P-256, P-384, P-521)."
    yield "Made by `appliance bundle sign` or `model_signing sign key`, checked by the device and by"
    yield "`model_signing verify key`. `ignore_paths` is not believed: a signature counts if it lists every file of the"
    yield "folder and nothing else. A key's id is `sha256sum` of its public PEM file as OpenSSL writes it.\n"


def _documents() -> Iterator[str]:
    yield "## Signed documents\n"
    yield "DSSE envelopes (JSON: `payload`, `payloadType`, `signatures`) that several people sign in turn.\n"
    for record, inner in ((Root, (KnownKey, Role)), (Revocations, (RevokedKey, RevokedBundle)), (Urgent, ())):
        yield f"### {record.__name__}: `{documents.KINDS[record]}`\n"
        yield f"{record.__doc__}\n"
        yield from _fields(record)
        for part in inner:
            yield f"{part.__name__}: {part.__doc__}\n"
            yield from _fields(part)
    yield "A root is taken if it is signed by the threshold of root keys of the root before it *and* by its own; its"
    yield "version is one more. A first root is taken with its fingerprint (SHA-256 of the payload). A revocation list"
    yield f"is taken if it is newer, at most {revocation.MAX_STEP} ahead, and holds all that the one before it held.\n"


def _refusals() -> Iterator[str]:
    yield "## Yes or no\n"
    yield "USB, network and console get the same answer, in this order: form, files, manifest, revocation, signatures,"
    yield "urgent statement, software, dates, revocation list, number. Yes is\n"
    yield from _fields(Admitted)
    yield "and no is a code with a sentence:\n"
    yield "| code | why |\n|---|---|"
    yield from (f"| `{code}` | {why} |" for code, why in CODES.items())
    yield "\n## The attacks of The Update Framework\n"
    yield "| attack | here | refused as | shown by |\n|---|---|---|---|"
    for attack in ATTACKS:
        codes = ", ".join(f"`{code}`" for code in attack.codes) or "-"
        where = f"`tests/unit/trust/{attack.shown_by}`" if attack.shown_by else "-"
        yield f"| {attack.name} | {attack.done} | {codes} | {where} |"


def _fields(record: type[BaseModel]) -> Iterator[str]:
    yield "| field | | what it is |\n|---|---|---|"
    for name, field in record.model_fields.items():
        needed = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        what = " ".join((field.description or "").split())
        yield f"| `{name}` | {needed} | {what} |"
    yield ""
