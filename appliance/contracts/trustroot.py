"""What a site's people sign: whose keys count for what, what no longer counts, what cannot wait.

Each travels as a DSSE envelope (`appliance.trust.dsse`) with a payload type of its own, so that a signature over one
can never be read as a signature over another.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from appliance.contracts.manifest import MAX_RELEASE, BundleName, Release, Sha256
from appliance.contracts.record import Record

KeyId = Sha256
"""SHA-256 of the public key's PEM file as OpenSSL writes it: `sha256sum key.pub`."""

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]
MAX_KEYS_N: Final = 32
MAX_REVOKED_N: Final = 4096
MAX_COOLDOWN_DAYS: Final = 365


class KnownKey(Record):
    """A public key, and who keeps its private half."""

    public_key: Annotated[str, StringConstraints(max_length=2000)]
    """PEM, SubjectPublicKeyInfo; P-256, P-384 or P-521."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Role(Record):
    """Some keys, and how many different ones of them it takes."""

    keys: tuple[KeyId, ...] = Field(min_length=1, max_length=MAX_KEYS_N)
    threshold: int = Field(ge=1, le=MAX_KEYS_N)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("a key is named twice; the same key twice is one")
        if self.threshold > len(self.keys):
            raise ValueError(f"a threshold of {self.threshold} cannot be reached with {len(self.keys)} keys")
        return self


class Root(Record):
    """Whose keys count on this site's devices; each version is signed by the one before it."""

    format: Literal["appliance-root/1"] = "appliance-root/1"
    site: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    version: Release
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    """From then on nothing new is installed under it; a newer root still is accepted."""

    keys: dict[KeyId, KnownKey] = Field(max_length=MAX_KEYS_N)
    root: Role
    """Who may say who counts: signs roots."""

    release: Role
    """Who releases bundles."""

    urgent_threshold: int | None = Field(default=None, ge=3, le=MAX_KEYS_N)
    """How many release keys it takes to say that a bundle cannot wait; nobody can, when absent."""

    revocation: Role
    """Who may take trust away."""

    cooldown_days: int = Field(default=7, ge=0, le=MAX_COOLDOWN_DAYS)
    """Days of powered time that a bundle lies on a device before it may be activated."""

    floors: dict[BundleName, Release] = Field(default_factory=dict, max_length=256)
    """The lowest release that a device takes from now on, whatever it has had: what undoes a fast-forward."""

    forget_revocations: bool = False
    """The list that devices have was made with stolen keys and is forgotten; a new one comes with this root."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = {*self.root.keys, *self.release.keys, *self.revocation.keys}
        if missing := sorted(named - set(self.keys)):
            raise ValueError(f"key {missing[0][:16]} has a role and is not among the keys")
        if idle := sorted(set(self.keys) - named):
            raise ValueError(f"key {idle[0][:16]} has no role")
        if self.root.threshold < 2 or self.release.threshold < 2:
            raise ValueError("roots and bundles take at least two different keys: one can be stolen")
        if self.urgent_threshold is not None and not (
            self.release.threshold < self.urgent_threshold <= len(self.release.keys)
        ):
            raise ValueError("urgent_threshold must be above the release threshold and within the release keys")
        if self.expires_at <= self.issued_at:
            raise ValueError("it expires before it is issued")
        return self


class RevokedKey(Record):
    """A release key whose signatures no longer count, whenever they were made."""

    key: KeyId
    reason: Reason


class RevokedBundle(Record):
    """A bundle that must not run."""

    sha256: Sha256
    """Of its manifest."""

    reason: Reason


class Revocations(Record):
    """Everything that was revoked so far; a newer list holds all of the older one."""

    format: Literal["appliance-revocations/1"] = "appliance-revocations/1"
    site: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    number: Release
    issued_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    """From then on nothing new is installed until a newer list is there; never, when absent."""

    keys: tuple[RevokedKey, ...] = Field(default=(), max_length=MAX_REVOKED_N)
    bundles: tuple[RevokedBundle, ...] = Field(default=(), max_length=MAX_REVOKED_N)


class Urgent(Record):
    """One bundle that cannot wait, and why: shown where it is activated, and recorded."""

    format: Literal["appliance-urgent/1"] = "appliance-urgent/1"
    site: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    sha256: Sha256
    name: BundleName
    release: Annotated[int, Field(ge=1, le=MAX_RELEASE)]
    reason: Reason
    issued_at: AwareDatetime
