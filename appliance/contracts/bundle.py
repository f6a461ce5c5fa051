"""What a device answers when a bundle, a root of trust or a revocation list is brought to it."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from appliance.contracts.manifest import BundleName, Release, Sha256
from appliance.contracts.record import Record

Code = Literal[
    "unreadable",
    "archive",
    "files",
    "manifest",
    "software",
    "no-root",
    "root-expired",
    "document",
    "signature",
    "threshold",
    "chain",
    "revoked",
    "revocations-behind",
    "expired",
    "rollback",
    "equivocation",
    "fast-forward",
    "cooldown",
]
"""Why not, for machines; docs/reference/bundle.md tells what each means, a person reads the reason."""


class NotAdmitted(Record):
    """No: nothing was changed."""

    code: Code
    reason: str
    """What is wrong, where, and what to do."""


class Admitted(Record):
    """A bundle that this device may use, now or when it has waited."""

    sha256: Sha256
    """Of its manifest, which holds the hash of every other file: the bundle's name everywhere."""

    name: BundleName
    version: str
    release: Release
    expires_at: AwareDatetime
    signers: tuple[Sha256, ...]
    """Key ids of the different release keys whose signatures count."""

    urgent: bool = False
    """A higher threshold of keys says that it cannot wait."""

    waits_s: float = Field(default=0.0, ge=0)
    """Powered time that it still has to wait before it may be activated."""


DocumentKind = Literal["root", "revocations"]
"""Of a signed document that a device takes."""


class Accepted(Record):
    """A root of trust or a revocation list that is in force now."""

    kind: DocumentKind
    number: int
    signers: tuple[Sha256, ...]
