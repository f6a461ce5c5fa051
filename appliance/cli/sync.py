"""`appliance sync ...`: a stick between this device and its fleet; the daemon reads and writes it, this asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import SyncExport, SyncImport
from appliance.errors import ApplianceError
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient

STICK_S: Final = 1800.0
"""A slow stick, and weeks of records."""

_STICK = click.argument("stick", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group()
def sync() -> None:
    """Commands and reports on a stick, for a device without a network."""


@sync.command(name="import")
@_STICK
@_as_json
@signed
@click.pass_obj
def import_(home: Home, stick: Path, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Take the commands that a controller put onto the stick in DIR for this device.

    Each is checked and judged as if it had come over the network; the same stick again changes nothing. The answers go
    onto the stick with `appliance sync export`.
    """
    reply = LocalClient(home.root).request(SyncImport(path=str(stick.absolute()), **by.fields()), timeout_s=STICK_S)
    if not reply.ok:
        raise ApplianceError(reply.message)
    found: Any = reply.result
    if as_json:
        tell_json(found)
    elif not found["files"]:
        tell("There is nothing for this device on it.")
    for one in found["files"] if not as_json else ():
        colour = "red" if one["status"] >= 400 else "green"
        tell(Styled(f"{one['status']} {one['life']}", fg=colour), f"  {one['file']}  {one['code']}: {one['text']}")
    if any(one["status"] >= 400 for one in found["files"]):
        raise SystemExit(11)


@sync.command()
@_STICK
@_as_json
@signed
@click.pass_obj
def export(home: Home, stick: Path, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Put onto the stick in DIR what no controller has yet: answers, records, reports, evidence; sealed to it.

    Nothing of it is forgotten here before an acknowledgement comes back, by stick or by network.
    """
    reply = LocalClient(home.root).request(SyncExport(path=str(stick.absolute()), **by.fields()), timeout_s=STICK_S)
    if not reply.ok:
        raise ApplianceError(reply.message)
    found: Any = reply.result
    if as_json:
        tell_json(found)
    else:
        tell(f"{found['files']} parcels, {found['bytes']:,} bytes. {reply.message}")
