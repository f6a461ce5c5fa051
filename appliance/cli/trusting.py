"""show, status, install: whose word counts for bundles, on a device and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from appliance import settings
from appliance.cli import documents as files
from appliance.cli.lazy import Lazy
from appliance.cli.signing import Signature, signed
from appliance.contracts.bundle import NotAdmitted
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.contracts.trustroot import Root
from appliance.errors import TrustError
from appliance.terminal import tell, tell_json
from appliance.trust import documents

TRUST_VERBS: Final = {
    # Write
    "new-root": "appliance.cli.ceremony:new_root",
    "new-revocations": "appliance.cli.ceremony:new_revocations",
    "new-urgent": "appliance.cli.ceremony:new_urgent",
    "cosign": "appliance.cli.ceremony:cosign",
    # Look
    "show": "appliance.cli.trusting:show",
    "status": "appliance.cli.trusting:status",
    # Bring to a device
    "install": "appliance.cli.trusting:install",
}
"""Verb to `module:command`; help lists them in this order."""

_path = click.Path(path_type=Path)
_out = click.option("--out", type=_path, required=True, help="The file to write; nobody has signed it yet.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group(cls=Lazy, verbs=TRUST_VERBS)
def trust() -> None:
    """Say whose bundles count: roots of trust, revocation lists, urgent statements."""


@click.command()
@click.argument("file", type=_path)
@click.option("--root", "root_path", type=_path, help="The root by whose keys the signatures are read.")
def show(file: Path, root_path: Path | None) -> None:
    """Say what a root, a revocation list or an urgent statement says, and who signed it."""
    for line in files.told(files.read_envelope(file), None if root_path is None else files.read_as(root_path, Root)):
        tell(line)


@click.command()
@_as_json
@click.pass_obj
def status(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say whose word counts on this device, and which revocation list it has."""
    root, revocations = files.in_force(home)
    own_days = settings.load(home.root).bundles.cooldown_days
    if as_json:
        facts: JsonObject = {
            "cooldown_days": None if root is None else max(root.cooldown_days, own_days),
            "root": None if root is None else root.model_dump(mode="json"),
            "revocations": None if revocations is None else revocations.model_dump(mode="json"),
        }
        tell_json(facts)
        return
    if root is None:
        tell("This device trusts nobody's bundles: the one that came with the software decides.")
        return
    for record in (root, revocations):
        if record is not None:
            for line in list(files.told(documents.unsigned(record), root, cooldown_days=own_days))[:-2]:
                tell(line)
    if revocations is None:
        tell("no revocation list yet")


@click.command()
@click.argument("file", type=_path)
@click.option("--fingerprint", default="", help="Of a first root: what its owner told you; 32 digits are enough.")
@click.option("--replace", is_flag=True, help="This device changes hands: take another owner's first root.")
@_as_json
@signed
@click.pass_obj
def install(
    home: Home,
    file: Path,
    fingerprint: str,
    replace: bool,  # noqa: FBT001 -- click passes flags
    as_json: bool,  # noqa: FBT001 -- click passes flags
    by: Signature,
) -> None:
    """Bring a root or a revocation list to this device. Later roots need no fingerprint: the present one signs them."""
    from appliance.cli.bringing import bring

    answer = bring(home, file, by, fingerprint=fingerprint, replace=replace)
    if as_json:
        tell_json(answer)
    elif not isinstance(answer, NotAdmitted):
        what = "root" if answer.kind == "root" else "revocation list"
        tell(f"{what} {answer.number} is in force, signed by {', '.join(key[:16] for key in answer.signers)}")
    if isinstance(answer, NotAdmitted):
        if as_json:
            raise click.exceptions.Exit(TrustError.exit_code)
        raise TrustError(f"{file}: {answer.reason}")
