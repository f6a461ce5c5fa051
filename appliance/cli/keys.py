"""show, rotate, retired: the device's keys, those in use and those of before."""

from __future__ import annotations

from typing import Final

import click

from appliance.cli.lazy import Lazy
from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import RotateKey
from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError, DaemonUnavailable, StorageError, UsageError
from appliance.storage.ownership import owner
from appliance.terminal import tell, tell_json
from appliance.transport.local import LocalClient
from appliance.trust import keys as key_files
from appliance.trust import rotation
from appliance.trust.keys import PublicKey

KEY_VERBS: Final = {
    "show": "appliance.cli.keys:show",
    "rotate": "appliance.cli.keys:rotate",
    "retired": "appliance.cli.keys:retired",
}
"""Verb to `module:command`; help lists them in this order."""

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group(cls=Lazy, verbs=KEY_VERBS)
def keys() -> None:
    """Look at the device's key, or give it a new one."""


@click.command()
@_as_json
@click.pass_obj
def show(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Print the present key: its id, its public half, and the form that checkpoint verifiers take."""
    key = rotation.current(home.root)
    rotations = rotation.kept(home.root)
    facts: JsonObject = {
        "key_id": key.key_id,
        "public_key": key.public.raw.hex(),
        "verifier": _verifier(home, key.public),
        "kept_by": "systemd" if key_files.credential() else "file",
        "rotations": len(rotations),
    }
    if as_json:
        tell_json(facts)
        return
    tell(f"key        {facts['key_id']}")
    tell(f"public     {facts['public_key']}")
    tell(f"verifier   {facts['verifier'] or 'not yet: the appliance makes it at its first start'}")
    where = "a systemd credential" if facts["kept_by"] == "systemd" else str(home.root / key_files.DEVICE_KEY)
    tell(f"kept in    {where}")
    tell(f"rotations  {len(rotations)}{', `appliance keys retired` lists them' if rotations else ''}")


@click.command()
@click.option("--reason", required=True, help="Why, for the record; it stays on the device.")
@click.option("--compromised", is_flag=True, help="The old key may be in other hands: it shall vouch for nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed
@_as_json
@click.pass_obj
def rotate(
    home: Home,
    reason: str,
    compromised: bool,  # noqa: FBT001 -- click passes flags
    yes: bool,  # noqa: FBT001
    by: Signature,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Give the device a new key and destroy the old one; the change is written into the ledger."""
    if not reason.strip():
        raise UsageError("--reason: say why; whoever reads the ledger later will ask")
    if compromised and not yes and not as_json:
        click.confirm(
            "Nobody who trusted the old key will trust the new one by itself: auditors need the new verifier from you,"
            " and an enrolled device has to be enrolled again. Go on?",
            abort=True,
        )
    done = _rotated(home, reason.strip(), by, compromised=compromised)
    if as_json:
        tell_json(done)
        return
    tell(f"The device signs with {done['key_id']} now; {done['key_id_before']} was destroyed.")
    if compromised:
        tell("Give auditors the new verifier (`appliance keys show`), and enrol the device again if it was.")
    else:
        tell("The old key vouches for the new one: whoever has the old verifier goes on with it.")


@click.command()
@_as_json
@click.pass_obj
def retired(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """List the keys of before, with the statements that replaced them."""
    rotations = rotation.kept(home.root)
    if as_json:
        tell_json([rotated.model_dump(mode="json") for rotated in rotations])
        return
    if not rotations:
        tell("The device has its first key still.")
    for rotated in rotations:
        said = rotated.statement
        how = "was compromised" if said.compromised else "vouched for"
        old, new = PublicKey.from_hex(said.old_key), PublicKey.from_hex(said.new_key)
        tell(f"{said.n:>3}  until {said.at:%Y-%m-%d %H:%M}  {old.key_id}  {how}  {new.key_id}")
        tell(f"     {said.old_key}")


def _rotated(home: Home, reason: str, by: Signature, *, compromised: bool) -> JsonObject:
    try:
        reply = LocalClient(home.root).request(RotateKey(reason=reason, compromised=compromised, **by.fields()))
    except DaemonUnavailable:
        if owner(home) is not None or by.person:
            # It runs and does not answer: two that rotate at once would be one too many. Or nobody looks at the PIN.
            raise
        return _rotated_here(home, reason, compromised=compromised)
    if not reply.ok:
        raise ApplianceError(reply.message)
    return reply.result


def _rotated_here(home: Home, reason: str, *, compromised: bool) -> JsonObject:
    """Do it without a daemon, under its lock."""
    import os

    from appliance import settings
    from appliance.agent import rekeying
    from appliance.agent.clock import SystemClock
    from appliance.storage import database, meta
    from appliance.storage.ownership import own
    from appliance.trust import enrolment

    if not home.database.exists():
        raise StorageError(f"no database at {home.database}; start the appliance once, a rotation is a record of it")
    with own(home):
        db = database.open_database(home.database).db
        try:
            clock = SystemClock(int(meta.get(db, "boot") or 0))
            cosign = rekeying.cosigning(db, home.signed, clock)
            rekeying.finish(home.root, db, cosign)
            old = rotation.current(home.root)
            granted = enrolment.load(home.root)
            chosen = settings.load(home.root)
            device = granted.device if granted else chosen.device.id or enrolment.device_name(home.root, old)
            new = rekeying.rotate(
                home.root,
                db,
                device=device,
                moment=clock.moment(),
                peer=f"uid:{os.getuid()} pid:{os.getpid()}",
                reason=reason,
                compromised=compromised,
                cosign=cosign,
            )
        finally:
            db.close()
    return {"key_id": new.key_id, "key_id_before": old.key_id}


def _verifier(home: Home, public: PublicKey) -> str | None:
    """Return the key under the name that it signs checkpoints as."""
    from appliance.agent import epochs
    from appliance.storage.database import open_reader
    from appliance.trust.notes import Verifier

    if not home.database.exists():
        return None
    reader = open_reader(home.database)
    try:
        return str(Verifier(epochs.origin_of(reader, ""), public))
    finally:
        reader.close()
