"""inspect, verify, sign, pack: model bundles in the hands of those who make, check and bring them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from appliance import __version__
from appliance.cli.lazy import Lazy
from appliance.cli.passphrase import confirmed, private_key
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.contracts.trustroot import Revocations, Root
from appliance.errors import StorageError, TrustError, UsageError
from appliance.terminal import tell, tell_json
from appliance.trust import admission, bundles, documents, model_signing, opening, packing
from appliance.trust.admission import Standing
from appliance.trust.bundles import WholeBundle
from appliance.trust.untrusted import Untrusted

BUNDLE_VERBS: Final = {
    # Make
    "sign": "appliance.cli.bundles:sign",
    "pack": "appliance.cli.bundles:pack",
    # Look
    "inspect": "appliance.cli.bundles:inspect_",
    "verify": "appliance.cli.bundles:verify_",
    # Use
    "list": "appliance.cli.slots:list_",
    "install": "appliance.cli.slots:install",
    "activate": "appliance.cli.slots:activate",
    "rollback": "appliance.cli.slots:rollback",
    "revoke": "appliance.cli.slots:revoke",
}
"""Verb to `module:command`; help lists them in this order."""

_path = click.Path(path_type=Path)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group(cls=Lazy, verbs=BUNDLE_VERBS)
def bundle() -> None:
    """Make, check and bring model bundles. Whose bundles count is said by `appliance trust`."""


@click.command()
@click.argument("folder", type=_path)
@click.option("--key", "key_path", type=_path, required=True, help="Your private release key, a PEM file.")
@click.option("--out", type=_path, required=True, help="Folder for the signature; never the bundle's own.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def sign(folder: Path, key_path: Path, out: Path, yes: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Sign the bundle in FOLDER as OpenSSF Model Signing v1.0; `model_signing sign key` makes the same.

    The bundle is checked first. Every release key signs for itself, on its own machine, best without a network.
    """
    whole = bundles.check(folder)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out {out}: a signature lies outside of what it is over")
    for line in bundles.told(whole):
        tell(line)
    confirmed("Sign this bundle?", yes=yes)
    key = private_key(key_path)
    path = out / f"{key.public.key_id[:16]}.sig"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model_signing.sign(key, folder.name, whole.digests))
    except OSError as error:
        raise TrustError(f"{error.filename or path}: {error.strerror}") from error
    tell(f"signed by {key.public.key_id[:16]}: {path}")


@click.command()
@click.argument("folder", type=_path)
@click.option("--signatures", type=_path, required=True, help="Folder with the signatures of all who signed.")
@click.option("--urgent", type=_path, help="The statement that it cannot wait (`appliance trust new-urgent`).")
@click.option("--out", type=_path, required=True, help="The file to write, e.g. pointer-small-2.tar")
def pack(folder: Path, signatures: Path, urgent: Path | None, out: Path) -> None:
    """Pack the bundle in FOLDER and its signatures into the one file that travels."""
    bundles.check(folder)
    bytes_n = packing.pack(folder, signatures, urgent, out)
    tell(f"{out}: {bytes_n:,} bytes")


@click.command(name="inspect")
@click.argument("source", type=_path)
@_as_json
def inspect_(source: Path, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say what is in SOURCE: a bundle's folder, a delivery's, or its tar. It proves nothing about who made it."""
    with _opened(source) as (delivery, whole):
        names = sorted(path.name for path in (delivery / opening.SIGNATURES).glob("*.sig")) if delivery else []
        hints = {name: _hint(delivery / opening.SIGNATURES / name) for name in names} if delivery else {}
        if as_json:
            manifest = whole.manifest.model_dump(mode="json")
            facts: JsonObject = {"sha256": whole.sha256, "manifest": manifest, "signatures": {**hints}}
            tell_json(facts)
            return
        for line in bundles.told(whole):
            tell(line)
        for name, hint in hints.items():
            tell(f"signature  {name}, says it is by {hint[:16]}")
        if not hints:
            tell("signature  none here")


@click.command(name="verify")
@click.argument("source", type=_path)
@click.option("--root", "root_path", type=_path, help="The site's root; this device's, when absent.")
@click.option("--revocations", "list_path", type=_path, help="The newest revocation list; with --root.")
@_as_json
@click.pass_obj
def verify_(
    home: Home,
    source: Path,
    root_path: Path | None,
    list_path: Path | None,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Check who released SOURCE: every byte, every signature, revocations, dates. Changes nothing.

    What only a device knows (older releases it has had, how long the bundle has lain there) is asked when it is
    installed. Exit code 0: enough different keys that count signed it; 7: it may not be installed, and why.
    """
    root, revocations = _given(root_path, list_path) if root_path else _of_device(home)
    with _opened(source) as (delivery, whole):
        if delivery is None:
            raise UsageError(f"{source} is a bundle without its signatures; give the delivery that holds both")
        standing = Standing(root, revocations, None, datetime.now(UTC), __version__)
        vouched = admission.judge(whole, delivery, standing)
    if as_json:
        facts: JsonObject = {
            "sha256": whole.sha256,
            "name": whole.manifest.name,
            "release": whole.manifest.release,
            "signers": [*vouched.signers],
            "urgent": vouched.urgent.reason if vouched.urgent else None,
        }
        tell_json(facts)
        return
    for line in bundles.told(whole):
        tell(line)
    for key_id in vouched.signers:
        owner = root.keys[key_id].owner if root else ""
        tell(f"signed by  {key_id[:16]}  {owner}")
    if vouched.urgent:
        tell(f"urgent     {vouched.urgent.reason}")
    tell("verified: enough different release keys signed exactly these files")


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Path | None, WholeBundle]]:
    """Lend a delivery, as a private copy, and the bundle in it; of a bundle's own folder there is no delivery."""
    if (source / bundles.MANIFEST).is_file():
        yield None, bundles.check(source)
        return
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        copy = Path(folder) / "copy"
        opening.open_delivery(source, copy)
        yield copy, bundles.check(copy / opening.BUNDLE)


def _hint(path: Path) -> str:
    try:
        return model_signing.hint(path.read_bytes())
    except Untrusted as error:
        return str(error)


def _given(root_path: Path, list_path: Path | None) -> tuple[Root, Revocations | None]:
    """Read a root and a list that somebody keeps as files."""
    from appliance.cli.documents import read_envelope
    from appliance.trust import revocation, roots

    envelope = read_envelope(root_path)
    root = roots.first(envelope, documents.fingerprint(envelope))
    if list_path is None:
        return root, None
    found = read_envelope(list_path)
    # Followed by itself: which list a device has, and how far it may skip, is not known here.
    return root, revocation.next_(found, root, documents.read(found, Revocations))[0]


def _of_device(home: Home) -> tuple[Root | None, Revocations | None]:
    from appliance.cli.documents import in_force

    try:
        return in_force(home)
    except StorageError as error:
        raise UsageError(f"no --root was given, and this device has none: {error}") from error
