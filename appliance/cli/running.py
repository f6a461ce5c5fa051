"""run, console, status, stop, release, quit: the daemon and its face."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import click

from appliance.cli import background
from appliance.cli.outcomes import checked
from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import Quit, Release, Status, Stop
from appliance.errors import DaemonUnavailable
from appliance.storage.ownership import owner
from appliance.terminal import Styled, tell, tell_json
from appliance.transport.local import LocalClient


@click.command()
@click.pass_obj
def run(home: Home) -> None:
    """Run the daemon in the foreground until Ctrl-C or SIGTERM."""
    from appliance import daemon

    raise click.exceptions.Exit(daemon.run(home))


@click.command()
@click.pass_obj
def console(home: Home) -> None:
    """Open the console; starts a daemon when none runs. Closing it leaves the daemon running."""
    background.ensure(home)
    from appliance.tui.app import run_console

    raise click.exceptions.Exit(run_console(home.root))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@click.pass_obj
def status(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Show the device at a glance."""
    background.ensure(home)
    found: Any = LocalClient(home.root).request(Status()).result
    if as_json:
        tell_json(found)
        return
    link = found["link"]
    tell(f"{found['device']} at {found['site']}: {_state_word(found['state'])}, start {found['boot']}")
    tell(f"  model     {_model(found)}")
    tell(f"  pins      {'simulated' if found['simulated'] else 'real'}")
    tell(f"  clock     {found['clock']}")
    sent = f"{link['evt']['newest'] - link['evt']['acked']} events, {link['audit']['newest'] - link['audit']['acked']}"
    connected = "connected" if link.get("connected") else "offline"
    tell("  fleet     " + (f"{connected}, unacknowledged: {sent} records" if link["enrolled"] else "standalone"))
    tell(f"  ledger    {_ledger(found['ledger'])}")
    tell(f"  room      {_room(found['ledger'])}")
    tell(f"  waiting   {len(found['waiting'])}, in doubt {len(found['indeterminate'])}")
    for reason in found["degraded"]:
        tell(Styled(f"  degraded: {reason}", fg="yellow"))
    if found["locked"]:
        tell(Styled("  EMERGENCY STOP is latched; `appliance release` lets go", fg="red", bold=True))


def _model(found: dict[str, Any]) -> str:
    bundle = found["bundle"]
    if not bundle["name"]:
        return "none usable: words are not read, calls are; `appliance doctor` says why"
    return f"{bundle['name']} {bundle['version']} on {found['runtime']}"


def _state_word(state: str) -> str:
    """Where there are locks, an emergency stop is not called `locked`."""
    return "stopped" if state == "locked" else state


def _ledger(ledger: dict[str, Any]) -> str:
    signed = ledger["checkpoint"]
    if signed is None:
        return f"{ledger['records']:,} records, nothing signed yet"
    tail = f", {ledger['unsigned']:,} after it not signed yet" if ledger["unsigned"] else ""
    return (
        f"{ledger['records']:,} records, signed up to {signed['size']:,} at {signed['at'][:19]}Z by {ledger['key_id']}"
        f" (root {signed['root'][:16]}){tail}"
    )


def _room(ledger: dict[str, Any]) -> str:
    mb = 2**20
    said = f"{ledger['used_bytes'] / mb:,.1f} of {ledger['quota_bytes'] / mb:,.0f} MB"
    if ledger["days_left"] is not None:
        said += f", {ledger['days_left']:,.0f} days left at the present rate"
    if ledger["pruned_n"]:
        said += f", {ledger['pruned_n']:,} records pruned"
    return said + (f", holds: {ledger['holds_n']}" if ledger["holds_n"] else "")


@click.command()
@click.argument("reason", default="")
@click.pass_obj
def stop(home: Home, reason: str) -> None:
    """Emergency stop: every output safe, at once, until released."""
    try:
        tell(LocalClient(home.root).request(Stop(reason=reason)).message)
    except DaemonUnavailable:
        # A daemon that runs and cannot be reached must still be stopped: its end drives outputs safe, and it starts
        # latched.
        pid = owner(home)
        if pid is None:
            raise
        home.latch.write_text(json.dumps({"reason": reason, "by": "appliance stop, past a dead socket"}), "utf-8")
        os.kill(pid, signal.SIGTERM)
        tell(f"The daemon (process {pid}) does not answer; it was ended, which drives outputs safe, and is latched.")


@click.command()
@signed
@click.pass_obj
def release(home: Home, by: Signature) -> None:
    """Let go of the emergency stop."""
    tell(checked(LocalClient(home.root).request(Release(**by.fields()))).message)


@click.command(name="quit")
@signed
@click.pass_obj
def quit_(home: Home, by: Signature) -> None:
    """End the daemon in good order; outputs are driven safe."""
    tell(checked(LocalClient(home.root).request(Quit(**by.fields()))).message)
