"""A root of trust brought to a device: taken as the first by a person, or because the present one signs it.

Covers: a root by others (chain), a version skipped or repeated, one that its own keys do not sign, too few different
keys, a first root that is not the one the person was told (fingerprint). An expired root still passes its trust on:
what expires is what it lets in. Does not cover: a threshold of root keys in wrong hands; the ceremony keeps them apart.
"""

from __future__ import annotations

import hmac

from appliance.contracts.trustroot import Root
from appliance.trust import documents
from appliance.trust.dsse import Envelope
from appliance.trust.untrusted import Untrusted

MIN_FINGERPRINT_CHARS = 32


def first(found: Envelope, fingerprint: str) -> Root:
    """Return the root that a person brings to a device that has none, or gives to another owner.

    Args:
        fingerprint: of its content, as the person was told by somebody else than who brought the file; its first 32
            digits are enough, blanks do not count.

    Raises:
        Untrusted: it is another one, is malformed, or is not signed by enough of its own keys.
    """
    said = "".join(fingerprint.split()).lower()
    known = documents.fingerprint(found)
    if len(said) < MIN_FINGERPRINT_CHARS or not hmac.compare_digest(known[: len(said)].encode(), said.encode()):
        raise Untrusted(
            "chain",
            f"this root has the fingerprint {grouped(known)}; ask who issued it, not who brought it, and say at least"
            f" the first {MIN_FINGERPRINT_CHARS} digits",
        )
    root = documents.read(found, Root)
    _check_enough(found, root, root, "its own")
    return root


def next_(found: Envelope, present: Root) -> Root:
    """Return the root that follows *present*.

    Raises:
        Untrusted: it does not follow, or is not signed by enough keys of both.
    """
    root = documents.read(found, Root)
    if root.site != present.site:
        raise Untrusted("chain", f"a root of {root.site!a}; this device belongs to {present.site!a}")
    if root.version <= present.version:
        raise Untrusted("rollback", f"root {root.version}; this device has {present.version} already")
    if root.version != present.version + 1:
        raise Untrusted(
            "chain", f"root {root.version} does not follow {present.version}; bring the ones between, in their order"
        )
    _check_enough(found, present, root, "the present root's")
    _check_enough(found, root, root, "its own")
    return root


def grouped(digest: str) -> str:
    """Return a hash as people read it to each other."""
    return " ".join(digest[n : n + 4] for n in range(0, len(digest), 4))


def _check_enough(found: Envelope, by: Root, root: Root, whose: str) -> None:
    signed = documents.signers(found, by, by.root)
    if len(signed) < by.root.threshold:
        raise Untrusted(
            "threshold",
            f"root {root.version} is signed by {len(signed)} of {whose} root keys; {by.root.threshold} different ones"
            " are needed",
        )
