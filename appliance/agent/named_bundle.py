"""The folder that `[model] bundle` names, to whether it may decide here: a line of settings outranks no signature.

A device that has a root of trust takes the folder only as a delivery: `bundle/` with `signatures/` beside it, signed
by enough people, judged anew at every start; or if it is what came with the software. A device without a root is
somebody's workbench: there the folder decides, and everything that tells of bundles says that nobody signed it.

Covers: a folder that is missing, altered, revoked, unsigned, or signed by people who do not count; a root or a list
that cannot be read any more (then the folder counts as unsigned).
Does not cover: cooldown, numbers and the canary, which a person who writes the settings goes without; somebody who
exchanges the folder between this look and the loading: they can write the device's disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts.pinned import SHIPPED
from appliance.contracts.slots import BUNDLE
from appliance.contracts.trustroot import Revocations, Root
from appliance.errors import TrustError
from appliance.trust import admission, bundles, opening, revocation

Trusted = tuple[Root | None, Revocations | None]
"""Whose word counts on this device."""

BY_NOBODY: Final = "signed by nobody"
BY_ENOUGH: Final = "signed by enough people whom this device trusts"
BY_SOFTWARE: Final = "the bundle that came with the software"


class Named(NamedTuple):
    """The folder in the settings, as it was judged."""

    folder: Path
    sha256: str = ""
    called: str = ""
    vouched: str = BY_NOBODY
    bad: str = ""
    """Why it may not decide; empty where it may."""

    is_bound: bool = True
    """This device has a root of trust: what is bad is passed over, and another bundle decides."""


def judge(folder: Path, trusted: Callable[[], Trusted]) -> Named:
    """Judge the model's *folder*; its signatures lie beside it if it is part of a delivery.

    Args:
        trusted: returns whose word counts; one that raises `TrustError` leaves only what came with the software.
    """
    try:
        root, revocations = trusted()
        unreadable = ""
    except TrustError as error:
        root, revocations, unreadable = None, None, str(error)
    # A root that nobody can read any more frees nobody.
    is_bound = root is not None or bool(unreadable)
    try:
        manifest, sha256 = bundles.read_manifest(folder)
    except (OSError, TrustError) as error:
        return Named(folder, bad=f"{folder}: {_told(error)}", is_bound=is_bound)
    named = Named(folder, sha256, f"{manifest.name} {manifest.version}", is_bound=is_bound)
    if why := revocation.why_revoked(revocations, sha256):
        return named._replace(bad=f"it was revoked: {why}", is_bound=True)
    if sha256 == SHIPPED.sha256:
        return named._replace(vouched=BY_SOFTWARE)
    if root is None:
        return named._replace(bad=unreadable)
    delivery = folder.parent
    if folder.name != BUNDLE or not (delivery / opening.SIGNATURES).is_dir():
        return named._replace(
            bad=f"it is {BY_NOBODY}; this device has a root of trust, so the folder has to be a delivery, with"
            f" {BUNDLE}/ and {opening.SIGNATURES}/"
        )
    try:
        admission.vouch(bundles.check(folder), delivery, root, revocations)
    except TrustError as error:
        return named._replace(bad=str(error))
    return named._replace(vouched=BY_ENOUGH)


def _told(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
