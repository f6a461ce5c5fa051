"""A revocation list brought to a device (a file on a stick, a message): taken if it is newer and takes nothing back.

Covers: older lists, lists that leave out what was revoked before, numbers far ahead (after which no list could
follow), too few signatures, other sites. A root can say that a list is forgotten, when the keys behind it were stolen.
Does not cover: a list that never arrives; a bundle says which number was out when it was made, and a list may say until
when it is good.
"""

from __future__ import annotations

from typing import Final

from appliance.contracts.trustroot import Revocations, Root
from appliance.trust import documents
from appliance.trust.dsse import Envelope
from appliance.trust.untrusted import Untrusted

MAX_STEP: Final = 1000
"""How far a number may be ahead, of none as well: somebody who numbers 2**31 - 1 would have the last word."""


def next_(found: Envelope, root: Root, present: Revocations | None) -> tuple[Revocations, tuple[str, ...]]:
    """Return the list that takes the place of *present*, and who signed it.

    Raises:
        Untrusted: it does not follow, or too few of the keys that may revoke signed it.
    """
    revocations = documents.read(found, Revocations)
    signed = documents.signers(found, root, root.revocation)
    if len(signed) < root.revocation.threshold:
        raise Untrusted(
            "threshold",
            f"list {revocations.number} is signed by {len(signed)} of the keys that may revoke;"
            f" {root.revocation.threshold} different ones are needed",
        )
    if revocations.site != root.site:
        raise Untrusted("chain", f"a list of {revocations.site!a}; this device belongs to {root.site!a}")
    before = present.number if present else 0
    if revocations.number < before or (revocations.number == before and revocations != present):
        raise Untrusted("rollback", f"list {revocations.number}; this device has list {before} already")
    if revocations.number > before + MAX_STEP:
        raise Untrusted(
            "fast-forward",
            f"list {revocations.number} after {before}: at most {MAX_STEP} are skipped; bring an older list first",
        )
    if present is not None:
        kept = {*(k.key for k in revocations.keys), *(b.sha256 for b in revocations.bundles)}
        dropped = [x for x in (*(k.key for k in present.keys), *(b.sha256 for b in present.bundles)) if x not in kept]
        if dropped:
            raise Untrusted("rollback", f"it no longer revokes {dropped[0][:16]}; what was revoked stays revoked")
    return revocations, signed


def revoked_keys(revocations: Revocations | None) -> frozenset[str]:
    """Return the keys whose signatures over bundles no longer count."""
    return frozenset(key.key for key in revocations.keys) if revocations else frozenset()


def why_revoked(revocations: Revocations | None, sha256: str) -> str | None:
    """Return why the bundle *sha256* must not run; None when it may."""
    if revocations is None:
        return None
    return next((b.reason for b in revocations.bundles if b.sha256 == sha256), None)
