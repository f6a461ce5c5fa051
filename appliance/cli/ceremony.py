"""new-root, new-revocations, new-urgent, cosign: what a site's people write and sign, best without a network."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError

from appliance.cli import documents as files
from appliance.cli.passphrase import confirmed, private_key
from appliance.contracts.record import Record
from appliance.contracts.trustroot import KnownKey, Revocations, RevokedBundle, RevokedKey, Role, Root, Urgent
from appliance.errors import UsageError
from appliance.terminal import tell
from appliance.trust import bundles, documents, dsse, release_keys

_path = click.Path(path_type=Path)
_out = click.option("--out", type=_path, required=True, help="The file to write; nobody has signed it yet.")

_R = TypeVar("_R", bound=Record)


@click.command(name="new-root")
@click.option("--after", type=_path, help="The present root: what is not said below is taken from it.")
@click.option("--site", help="Whose devices these are.")
@click.option("--root-key", "root_keys", multiple=True, metavar="OWNER=FILE.pub", help="May sign roots.")
@click.option("--root-threshold", type=click.IntRange(2), help="How many different ones it takes.  [default: 2]")
@click.option("--release-key", "release_keys_", multiple=True, metavar="OWNER=FILE.pub", help="May release bundles.")
@click.option("--release-threshold", type=click.IntRange(2), help="How many different ones it takes.  [default: 2]")
@click.option("--urgent-threshold", type=click.IntRange(3), help="How many say that a bundle cannot wait.")
@click.option("--revocation-key", "revocation_keys", multiple=True, metavar="OWNER=FILE.pub", help="May revoke.")
@click.option("--revocation-threshold", type=click.IntRange(1), help="How many different ones it takes.  [default: 1]")
@click.option("--cooldown-days", type=click.IntRange(0), help="Running time that a bundle waits.  [default: 7]")
@click.option("--days", type=click.IntRange(1), default=730, show_default=True, help="How long it is good.")
@click.option(
    "--floor", "floors", multiple=True, metavar="NAME=N", help="Go on from this release, whatever was before."
)
@click.option("--forget-revocations", is_flag=True, help="The present list was made with stolen keys.")
@_out
def new_root(
    *,
    after: Path | None,
    site: str | None,
    root_keys: tuple[str, ...],
    root_threshold: int | None,
    release_keys_: tuple[str, ...],
    release_threshold: int | None,
    urgent_threshold: int | None,
    revocation_keys: tuple[str, ...],
    revocation_threshold: int | None,
    cooldown_days: int | None,
    days: int,
    floors: tuple[str, ...],
    forget_revocations: bool,
    out: Path,
) -> None:
    """Write a root of trust: whose keys count for what. `cosign` it with the keys of the old root and of the new."""
    before = None if after is None else files.read_as(after, Root)
    if before is None and not (site and root_keys and release_keys_ and revocation_keys):
        raise UsageError("a first root needs --site, --root-key, --release-key and --revocation-key; or give --after")
    known: dict[str, KnownKey] = dict(before.keys) if before else {}
    roles = {
        "root": _role(known, root_keys, root_threshold, before.root if before else None, 2),
        "release": _role(known, release_keys_, release_threshold, before.release if before else None, 2),
        "revocation": _role(known, revocation_keys, revocation_threshold, before.revocation if before else None, 1),
    }
    named = {key for role in roles.values() for key in role.keys}
    now = datetime.now(UTC).replace(microsecond=0)
    root = _made(
        Root,
        site=site or (before.site if before else ""),
        version=before.version + 1 if before else 1,
        issued_at=now,
        expires_at=now + timedelta(days=days),
        keys={key: owner for key, owner in known.items() if key in named},
        urgent_threshold=urgent_threshold or (before.urgent_threshold if before else None),
        cooldown_days=cooldown_days if cooldown_days is not None else (before.cooldown_days if before else 7),
        floors=dict(map(_floor, floors)),
        forget_revocations=forget_revocations,
        **roles,
    )
    _written(out, root)


@click.command(name="new-revocations")
@click.option("--root", "root_path", type=_path, required=True, help="The site's present root.")
@click.option("--after", type=_path, help="The present list; a newer one holds all of it.")
@click.option("--key", "keys", multiple=True, metavar="FILE.pub|ID", help="A release key that counts no more.")
@click.option("--bundle", "bundles_", multiple=True, metavar="FOLDER|SHA256", help="A bundle that must not run.")
@click.option("--reason", required=True, help="Why; devices show it.")
@click.option("--days", type=click.IntRange(1), help="Devices install nothing new without a newer list after these.")
@_out
def new_revocations(
    root_path: Path,
    after: Path | None,
    keys: tuple[str, ...],
    bundles_: tuple[str, ...],
    reason: str,
    days: int | None,
    out: Path,
) -> None:
    """Write a revocation list: the present one and what is revoked now. `cosign` it with keys that may revoke."""
    root = files.read_as(root_path, Root)
    before = None if after is None else files.read_as(after, Revocations)
    now = datetime.now(UTC).replace(microsecond=0)
    added_keys = [RevokedKey(key=_key_id(key, root), reason=reason) for key in keys]
    added_bundles = [RevokedBundle(sha256=_bundle_id(said), reason=reason) for said in bundles_]
    there = {k.key for k in before.keys} | {b.sha256 for b in before.bundles} if before else set()
    revocations = _made(
        Revocations,
        site=root.site,
        number=before.number + 1 if before else 1,
        issued_at=now,
        expires_at=now + timedelta(days=days) if days else None,
        keys=(*(before.keys if before else ()), *(k for k in added_keys if k.key not in there)),
        bundles=(*(before.bundles if before else ()), *(b for b in added_bundles if b.sha256 not in there)),
    )
    _written(out, revocations)


@click.command(name="new-urgent")
@click.argument("folder", type=_path)
@click.option("--root", "root_path", type=_path, required=True, help="The site's present root.")
@click.option("--reason", required=True, help="Why it cannot wait; devices show it.")
@_out
def new_urgent(folder: Path, root_path: Path, reason: str, out: Path) -> None:
    """Write that the bundle in FOLDER cannot wait. `cosign` it with more release keys than a release takes."""
    root = files.read_as(root_path, Root)
    whole = bundles.check(folder)
    urgent = _made(
        Urgent,
        site=root.site,
        sha256=whole.sha256,
        name=whole.manifest.name,
        release=whole.manifest.release,
        reason=reason,
        issued_at=datetime.now(UTC).replace(microsecond=0),
    )
    _written(out, urgent)


@click.command()
@click.argument("file", type=_path)
@click.option("--key", "key_path", type=_path, required=True, help="Your private key, a PEM file.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cosign(file: Path, key_path: Path, yes: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Show what FILE says, and add your signature to it."""
    envelope = files.read_envelope(file)
    for line in files.told(envelope, None):
        tell(line)
    confirmed("Sign this?", yes=yes)
    key = private_key(key_path)
    files.write(file, dsse.signed(envelope, key))
    tell(f"signed by {key.public.key_id[:16]}: {file}")


def _made(record: type[_R], **fields: object) -> _R:
    try:
        return record(**fields)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{f'{where}: ' if where else ''}{problem['msg'].removeprefix('Value error, ')}") from error


def _written(out: Path, record: Root | Revocations | Urgent) -> None:
    envelope = documents.unsigned(record)
    files.write(out, envelope)
    for line in files.told(envelope, None):
        tell(line)
    tell(f"written to {out}; sign it with `appliance trust cosign`")


def _role(
    known: dict[str, KnownKey], said: Iterable[str], threshold: int | None, before: Role | None, default: int
) -> Role:
    """Return a role of the keys that were *said*, or of those that it had; every key becomes *known*."""
    keys = tuple(_owned(known, text) for text in said) or (before.keys if before else ())
    return _made(Role, keys=keys, threshold=threshold or (before.threshold if before else default))


def _owned(known: dict[str, KnownKey], said: str) -> str:
    owner, equals, path = said.partition("=")
    if not equals or not owner.strip():
        raise UsageError(f"{said!r}: say whose key it is, OWNER=FILE.pub")
    key = release_keys.load_public(Path(path))
    known[key.key_id] = KnownKey(public_key=key.pem.decode(), owner=owner.strip())
    return key.key_id


def _floor(said: str) -> tuple[str, int]:
    name, _, number = said.partition("=")
    if not number.isdecimal():
        raise UsageError(f"--floor {said!r}: NAME=N is wanted")
    return name, int(number)


def _key_id(said: str, root: Root) -> str:
    """Return the id of a key that is said by a file, or by the beginning of its id."""
    if Path(said).is_file():
        return release_keys.load_public(Path(said)).key_id
    found = [key_id for key_id in root.release.keys if len(said) >= 8 and key_id.startswith(said.lower())]
    if len(found) != 1:
        raise UsageError(f"--key {said!r}: neither a file nor the beginning of one release key's id")
    return found[0]


def _bundle_id(said: str) -> str:
    if Path(said).is_dir():
        try:
            return bundles.read_manifest(Path(said))[1]
        except OSError as error:
            raise UsageError(f"--bundle {said}: {error.strerror}") from error
    if len(said) != 64 or set(said) - set("0123456789abcdef"):
        raise UsageError(f"--bundle {said!r}: neither a bundle's folder nor the 64 digits of its hash")
    return said
