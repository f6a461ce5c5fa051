"""A whole bundle and its signatures to yes or no, by what the device knows: pure, the same for stick and network.

What it refuses are the attacks of The Update Framework, as far as a device without a network can know them
(docs/reference/bundle.md has the table, `tests/unit/trust/test_attacks.py` shows each).

Covers: arbitrary bundles, wrong thresholds, mix and match, rollback, equivocation, fast-forward, freeze (as far as the
device knows the time), revoked keys and bundles. Does not cover: endless data (`opening`), altered files (`bundles`),
waiting (`agent.admission`), and what signed weights do (the canary).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts.trustroot import Revocations, Root, Urgent
from appliance.trust import documents, model_signing, opening, revocation
from appliance.trust.bundles import WholeBundle
from appliance.trust.release_keys import ReleasePublicKey
from appliance.trust.untrusted import Untrusted

MAX_STEP: Final = 1000
"""How far a release may be ahead of the last one: somebody who numbers 2**31 - 1 would have the last word."""


class Floor(NamedTuple):
    """The release that a device goes on from."""

    release: int
    sha256: str | None
    """Of the bundle that had this number here; None where a root has set the floor."""


class Standing(NamedTuple):
    """What a device knows when it judges a bundle."""

    root: Root | None
    revocations: Revocations | None
    floor: Floor | None
    """Of bundles of this name."""

    now: datetime
    """The latest moment that it can vouch for: it may be later, never earlier."""

    software: str


class Vouched(NamedTuple):
    """Enough different keys say that this bundle was released."""

    signers: tuple[str, ...]
    urgent: Urgent | None


def judge(bundle: WholeBundle, delivery: Path, standing: Standing) -> Vouched:
    """Return who vouches for *bundle*, which lies in *delivery*.

    Raises:
        Untrusted: it may not be installed, and why.
    """
    manifest, root = bundle.manifest, _root(standing)
    vouched = vouch(bundle, delivery, root, standing.revocations)
    if _numbers(standing.software) < _numbers(manifest.minimum_software):
        wanted = f"needs software {manifest.minimum_software} or newer; this is {standing.software}"
        raise Untrusted("software", f"{_name(bundle)} {wanted}")
    if standing.now >= root.expires_at:
        raise Untrusted("root-expired", f"the root of trust expired on {root.expires_at:%Y-%m-%d}; bring its successor")
    if standing.now >= manifest.expires_at:
        raise Untrusted("expired", f"{_name(bundle)} expired on {manifest.expires_at:%Y-%m-%d}; ask for a newer one")
    _check_revocations(bundle, standing)
    _check_floor(bundle, standing.floor)
    return vouched


def vouch(bundle: WholeBundle, delivery: Path, root: Root, revocations: Revocations | None) -> Vouched:
    """Return who vouches for *bundle*, whatever its age; what runs already is asked no more than this.

    Raises:
        Untrusted: it was revoked, or too few keys that still count signed it.
    """
    if why := revocation.why_revoked(revocations, bundle.sha256):
        raise Untrusted("revoked", f"{_name(bundle)} was revoked: {why}")
    revoked = revocation.revoked_keys(revocations)
    keys = documents.keys_of(root)
    counting = {key_id: keys[key_id] for key_id in root.release.keys if key_id not in revoked}
    signers = _signers(bundle, delivery / opening.SIGNATURES, counting)
    if len(signers) < root.release.threshold:
        lost = sorted(revoked & set(root.release.keys))
        more = f"; {len(lost)} release keys were revoked, {lost[0][:16]} among them" if lost else ""
        raise Untrusted(
            "threshold",
            f"{_name(bundle)} is signed by {len(signers)} release keys that count; {root.release.threshold} different"
            f" ones are needed{more}",
        )
    return Vouched(signers, _urgent(bundle, delivery / opening.URGENT, root, revoked))


def _signers(bundle: WholeBundle, folder: Path, keys: Mapping[str, ReleasePublicKey]) -> tuple[str, ...]:
    """Return which different *keys* signed; a signature that is over other files than these refuses the whole."""
    found = set()
    for name, data in _side_files(folder):
        try:
            key_id = model_signing.signer(data, bundle.digests, keys.values())
        except Untrusted as error:
            raise Untrusted(error.code, f"{opening.SIGNATURES}/{name}: {error.reason}") from error
        if key_id is not None:
            found.add(key_id)
    return tuple(sorted(found))


def _side_files(folder: Path) -> list[tuple[str, bytes]]:
    try:
        paths = sorted(folder.iterdir())[: opening.MAX_FILES_N]
        return [(path.name, _read(path)) for path in paths]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Untrusted("unreadable", f"{error.filename or folder}: {error.strerror}") from error


def _urgent(bundle: WholeBundle, path: Path, root: Root, revoked: frozenset[str]) -> Urgent | None:
    """Return the statement that the bundle cannot wait; one that is there and does not hold refuses the whole."""
    if not path.exists():
        return None
    try:
        found = documents.envelope(_read(path))
    except OSError as error:
        raise Untrusted("unreadable", f"{path}: {error.strerror}") from error
    urgent = documents.read(found, Urgent)
    said = (urgent.site, urgent.sha256, urgent.name, urgent.release)
    if said != (root.site, bundle.sha256, bundle.manifest.name, bundle.manifest.release):
        raise Untrusted(
            "signature", f"{opening.URGENT} is about another bundle, {urgent.name} release {urgent.release}"
        )
    signers = documents.signers(found, root, root.release, without=revoked)
    if root.urgent_threshold is None or len(signers) < root.urgent_threshold:
        needed = f"{root.urgent_threshold} different ones are needed" if root.urgent_threshold else "nobody can say so"
        raise Untrusted(
            "threshold",
            f"{opening.URGENT} is signed by {len(signers)} release keys that count; {needed}. Without that file the"
            " bundle waits like any other",
        )
    return urgent


def _check_revocations(bundle: WholeBundle, standing: Standing) -> None:
    number = standing.revocations.number if standing.revocations else 0
    wanted = bundle.manifest.minimum_revocations
    if number < wanted:
        raise Untrusted(
            "revocations-behind",
            f"{_name(bundle)} was made when revocation list {wanted} was out, and this device has"
            f" {f'list {number}' if number else 'none'}; bring the newest list first",
        )
    expires_at = standing.revocations.expires_at if standing.revocations else None
    if expires_at is not None and standing.now >= expires_at:
        raise Untrusted("expired", f"revocation list {number} expired on {expires_at:%Y-%m-%d}; bring a newer one")


def _check_floor(bundle: WholeBundle, floor: Floor | None) -> None:
    release = bundle.manifest.release
    if floor is None:
        return
    if release < floor.release:
        raise Untrusted("rollback", f"{_name(bundle)} is older than release {floor.release}, which this device has had")
    if release == floor.release and floor.sha256 is not None and floor.sha256 != bundle.sha256:
        raise Untrusted(
            "equivocation",
            f"{_name(bundle)} has the number of another bundle that this device has had ({floor.sha256[:16]}); every"
            " release has a number of its own",
        )
    if release > floor.release + MAX_STEP:
        raise Untrusted(
            "fast-forward",
            f"{_name(bundle)} after release {floor.release}: at most {MAX_STEP} are skipped; a root can set the floor",
        )


def _root(standing: Standing) -> Root:
    if standing.root is None:
        raise Untrusted(
            "no-root", "this device trusts nobody's bundles yet; install your site's root: `appliance trust install`"
        )
    return standing.root


def _name(bundle: WholeBundle) -> str:
    return f"{bundle.manifest.name} release {bundle.manifest.release}"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(opening.MAX_SIDE_BYTES + 1)


def _numbers(version: str) -> tuple[int, ...]:
    """`1.2.3` as numbers; what follows them (`.dev1`, `rc2`) does not count."""
    numbers = []
    for part in version.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
