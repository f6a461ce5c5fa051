"""list, install, activate, rollback, revoke: what a device does with bundles; the daemon does it, this asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.cli import background
from appliance.cli.bringing import bring
from appliance.cli.signing import Signature, signed
from appliance.contracts.bundle import NotAdmitted
from appliance.contracts.home import Home
from appliance.contracts.local import ActivateBundle, InstallBundle, ListBundles, LocalReply, RollBackBundle
from appliance.contracts.record import Record
from appliance.errors import TrustError
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient

INSTALL_S = 300.0
CANARY_S = 3600.0
"""A slow card and a slow processor; the canary has bounds of its own."""

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.command("list")
@_as_json
@click.pass_obj
def list_(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Show which bundles lie on this device, which of them decides, and how a trial does."""
    found: Any = _asked(home, ListBundles(), 10.0).result
    if as_json:
        tell_json(found)
        return
    named = found["settings"]
    if named is not None:
        what = f"passed over: {named['bad']}" if named["bad"] else f"named in the settings, {named['vouched']}"
        told = f"{named['called']}  {named['sha256'][:16]}  " if named["sha256"] else ""
        tell(f"{_mark(found, 'settings')} settings ", Styled(f"{told}{what}", fg="yellow"))
    shipped = found["revoked"].get("shipped")
    tell(
        f"{_mark(found, 'shipped')} shipped  what came with the software, release {found['shipped']['release']}",
        Styled(f"  revoked: {shipped}", fg="red") if shipped else "",
    )
    for slot in ("a", "b"):
        lies = found[slot]
        told = "empty" if lies is None else f"{_called(lies)}  {lies['sha256'][:16]}"
        revoked = found["revoked"].get(slot)
        tell(f"{_mark(found, slot)} {slot}        {told}", Styled(f"  revoked: {revoked}", fg="red") if revoked else "")
        if lies is not None:
            hours = found["waits_s"].get(slot, 0.0) / 3600
            waits = f"; may be activated after another {hours:.0f} h of running time" if hours else ""
            tell(f"            signed by {', '.join(found['signed_by'][slot])}{waits}")
    trial = found["trial"]
    if trial is not None:
        hours = trial["powered_s"] / 3600
        tell(
            f"on trial for {hours:.1f} h: {trial['n']} requests, {trial['refused_n']} refused or asked back, ", nl=False
        )
        tell(f"{trial['broken_n']} faults, {trial['crashes_n']} crashes; a return goes to {found['before']}")
    if found["named_in_settings"]:
        tell("appliance.toml names a bundle under [model]; while it does, no slot decides")
    if found["trying"] is not None:
        tell(f"the canary has been trying slot {found['trying']['slot']} for {found['trying']['for_s']:.0f} s")
    for one in found["deliveries"]:
        tell(f"brought   {one['path']}")
    for one in found["returned"]:
        tell(f"sent back {one['at'][:10]}  {one['sha256'][:16]}  {one['reason']}")


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@_as_json
@signed
@click.pass_obj
def install(home: Home, source: Path, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Take the delivery SOURCE, a .tar or a folder, into a free slot, if enough people whom you trust signed it.

    It decides nothing yet: `appliance bundle activate` does that, after the cooldown.
    """
    _told(_asked(home, InstallBundle(path=str(source.absolute()), **by.fields()), INSTALL_S), as_json=as_json)


@click.command()
@click.argument("wanted", metavar="BUNDLE")
@click.option("--again", is_flag=True, help="Also one that was sent back before.")
@_as_json
@signed
@click.pass_obj
def activate(home: Home, wanted: str, again: bool, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Try BUNDLE (slot, name, name/version or hash) with the canary; if it passes it decides, on trial."""
    if not as_json:
        tell("trying it: golden answers, the safety suite, what was decided here ... (a minute or more)")
    reply = _asked(home, ActivateBundle(bundle=wanted, again=again, **by.fields()), CANARY_S)
    report: Any = reply.result.get("report", reply.result)
    if not as_json:
        for check in report.get("checks", ()):
            word = Styled("ok  ", fg="green") if check["passed"] else Styled("no  ", fg="red")
            tell("  ", word, f"{check['name']:<11} {check['tried_n']:>5} asked  {check['reason']}")
    _told(reply, as_json=as_json)


@click.command()
@_as_json
@signed
@click.pass_obj
def rollback(home: Home, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Let the bundle before decide again, at once; the device restarts its parts."""
    _told(_asked(home, RollBackBundle(**by.fields()), 30.0), as_json=as_json)


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_as_json
@signed
@click.pass_obj
def revoke(home: Home, path: Path, as_json: bool, by: Signature) -> None:  # noqa: FBT001 -- click passes flags
    """Take the signed revocation list FILE; a bundle in it that decides here goes at once."""
    found = bring(home, path, by)
    if isinstance(found, NotAdmitted):
        raise TrustError(found.reason)
    if as_json:
        tell_json(found.model_dump(mode="json"))
    else:
        what = "Revocation list" if found.kind == "revocations" else "Root"
        tell(f"{what} {found.number} is in force.")


def _asked(home: Home, request: Record, timeout_s: float) -> LocalReply:
    background.ensure(home)
    return LocalClient(home.root).request(request, timeout_s=timeout_s)


def _told(reply: LocalReply, *, as_json: bool) -> None:
    if as_json:
        tell_json({"ok": reply.ok, "code": reply.error or "", "message": reply.message, "result": reply.result})
        if not reply.ok:
            raise click.exceptions.Exit(TrustError.exit_code)
        return
    if not reply.ok:
        raise TrustError(reply.message)
    tell(reply.message)


def _called(lies: dict[str, Any]) -> str:
    return f"{lies['name']} {lies['version']}, release {lies['release']}"


def _mark(found: dict[str, Any], place: str) -> str:
    return "*" if found["decides"] == place else " "
