"""What lies where, what decides, how its trial does, and whom this device trusts: for people, at a glance.

Covers: everything that a person has to know before they install, activate, roll back or revoke.
Does not cover: judging; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from pydantic import JsonValue

from appliance.agent import trial as trials
from appliance.agent.deliveries import Delivery
from appliance.agent.named_bundle import Named
from appliance.agent.trial import Fared
from appliance.contracts.bundle import Admitted
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.record import JsonObject
from appliance.contracts.slots import Place, Slots, TrialLimits
from appliance.contracts.trustroot import Revocations, Role, Root
from appliance.errors import TrustError

Decides = Place | Literal["settings", "nothing"]
"""What proposes: a place, the folder that the settings name, or no bundle at all."""

REVOKED_N: Final = 12
"""Of a revocation list, the newest entries are listed; `appliance trust status` shows all."""


class Trusts(Protocol):
    """What a device knows of whom it trusts."""

    def root(self) -> Root | None:
        """Return the root of trust in force."""

    def revocations(self) -> Revocations | None:
        """Return the revocation list in force."""

    def why_revoked(self, sha256: str) -> str | None:
        """Return why a bundle must not run."""

    def waits_s(self, sha256: str, *, urgent: bool) -> float:
        """Return how much longer a bundle has to lie here."""


class Trying(NamedTuple):
    """A bundle that the canary looks at now."""

    slot: str
    for_s: float


class Now(NamedTuple):
    """How the bundles of a device are."""

    slots: Slots
    decides: Decides
    named: Named | None
    """The folder that the owner's settings name."""

    is_named: bool
    """It keeps every slot from deciding."""

    fared: Fared | None
    """Of the trial; None while there is none."""

    trying: Trying | None
    deliveries: Sequence[Delivery]


def described(now: Now, trusts: Trusts, limits: TrialLimits) -> JsonObject:
    """Return everything that the console and `appliance bundle list` show."""
    slots = now.slots
    try:
        root, revocations = trusts.root(), trusts.revocations()
        unreadable = ""
    except TrustError as error:
        root, revocations, unreadable = None, None, str(error)
    return {
        "decides": now.decides,
        "chosen": slots.active,
        "before": slots.before,
        "named_in_settings": now.is_named,
        "settings": _in_settings(now.named),
        "shipped": {"name": SHIPPED.name, "release": SHIPPED.release, "sha256": SHIPPED.sha256},
        "a": _slot(slots.a),
        "b": _slot(slots.b),
        "waits_s": {
            place: round(trusts.waits_s(lies.sha256, urgent=lies.urgent), 1) for place, lies in _filled(slots).items()
        },
        "signed_by": {place: _owners(root, lies.signers) for place, lies in _filled(slots).items()},
        "revoked": _revoked(now, trusts),
        "returned": [one.model_dump(mode="json") for one in slots.returned],
        "trial": _trial(now, limits),
        "trying": None if now.trying is None else dict(now.trying._asdict()),
        "root": None if root is None else _root(root),
        "revocations": None if revocations is None else _list(revocations),
        "trust_unreadable": unreadable,
        "deliveries": [dict(one._asdict()) for one in now.deliveries],
    }


def _slot(lies: Admitted | None) -> JsonObject | None:
    return None if lies is None else lies.model_dump(mode="json")


def _filled(slots: Slots) -> dict[str, Admitted]:
    return {place: lies for place, lies in (("a", slots.a), ("b", slots.b)) if lies is not None}


def _in_settings(named: Named | None) -> JsonObject | None:
    if named is None:
        return None
    return {"called": named.called, "sha256": named.sha256, "vouched": named.vouched, "bad": named.bad}


def _revoked(now: Now, trusts: Trusts) -> JsonObject:
    hashes = {"shipped": SHIPPED.sha256, **{place: lies.sha256 for place, lies in _filled(now.slots).items()}}
    if now.named is not None:
        hashes["settings"] = now.named.sha256
    try:
        return {place: why for place, sha256 in hashes.items() if (why := trusts.why_revoked(sha256))}
    except TrustError:
        return {}


def _trial(now: Now, limits: TrialLimits) -> JsonObject | None:
    trial = now.slots.trial
    if trial is None or now.fared is None:
        return None
    fared: JsonObject = dict(now.fared._asdict())
    return {
        **trial.model_dump(mode="json"),
        **fared,
        "usual": round(trials.usual(trial), 3),
        "least_s": limits.least_s,
        "least_n": limits.least_n,
        "longest_s": limits.longest_s,
    }


def _owners(root: Root | None, keys: Sequence[str]) -> list[JsonValue]:
    known = {} if root is None else root.keys
    owners: list[JsonValue] = [*sorted(known[key].owner if key in known else f"key {key[:16]}" for key in keys)]
    return owners


def _root(root: Root) -> JsonObject:
    return {
        "site": root.site,
        "version": root.version,
        "issued_at": root.issued_at.isoformat(),
        "expires_at": root.expires_at.isoformat(),
        "cooldown_days": root.cooldown_days,
        "urgent_needs": root.urgent_threshold,
        "release": _role(root, root.release),
        "revocation": _role(root, root.revocation),
    }


def _role(root: Root, role: Role) -> JsonObject:
    return {"needs": role.threshold, "owners": _owners(root, role.keys)}


def _list(revocations: Revocations) -> JsonObject:
    return {
        "number": revocations.number,
        "issued_at": revocations.issued_at.isoformat(),
        "expires_at": None if revocations.expires_at is None else revocations.expires_at.isoformat(),
        "keys_n": len(revocations.keys),
        "bundles_n": len(revocations.bundles),
        "keys": [one.model_dump(mode="json") for one in revocations.keys[-REVOKED_N:]],
        "bundles": [one.model_dump(mode="json") for one in revocations.bundles[-REVOKED_N:]],
    }
