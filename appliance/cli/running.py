"""run, console, status, stop, release, quit: the daemon and its face."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import click

from appliance.cli import background
from appliance.contracts.home import Home
from appliance.contracts.local import Quit, Release, Status, Stop
from appliance.errors import ApplianceError, DaemonUnavailable
from appliance.storage.ownership import owner
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
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    link = found["link"]
    click.echo(f"{found['device']} at {found['site']}: {found['state']}, start {found['boot']}")
    click.echo(f"  model     {found['bundle']['name']} {found['bundle']['version']} on {found['runtime']}")
    click.echo(f"  pins      {'simulated' if found['simulated'] else 'real'}")
    click.echo(f"  clock     {found['clock']}")
    sent = f"{link['evt']['newest'] - link['evt']['acked']} events, {link['audit']['newest'] - link['audit']['acked']}"
    connected = "connected" if link.get("connected") else "offline"
    click.echo("  fleet     " + (f"{connected}, unacknowledged: {sent} records" if link["enrolled"] else "standalone"))
    click.echo(f"  waiting   {len(found['waiting'])}, in doubt {len(found['indeterminate'])}")
    for reason in found["degraded"]:
        click.echo(click.style(f"  degraded: {reason}", fg="yellow"))
    if found["locked"]:
        click.echo(click.style("  EMERGENCY STOP is latched; `appliance release` lets go", fg="red", bold=True))


@click.command()
@click.argument("reason", default="")
@click.pass_obj
def stop(home: Home, reason: str) -> None:
    """Emergency stop: every output safe, at once, until released."""
    try:
        click.echo(LocalClient(home.root).request(Stop(reason=reason)).message)
    except DaemonUnavailable:
        # A daemon that runs and cannot be reached must still be stopped: its end drives outputs safe, and it starts
        # latched.
        pid = owner(home)
        if pid is None:
            raise
        home.latch.write_text(json.dumps({"reason": reason, "by": "appliance stop, past a dead socket"}), "utf-8")
        os.kill(pid, signal.SIGTERM)
        click.echo(
            f"The daemon (process {pid}) does not answer; it was ended, which drives outputs safe, and is latched."
        )


@click.command()
@click.pass_obj
def release(home: Home) -> None:
    """Let go of the emergency stop."""
    reply = LocalClient(home.root).request(Release())
    if not reply.ok:
        raise ApplianceError(reply.message)
    click.echo(reply.message)


@click.command(name="quit")
@click.pass_obj
def quit_(home: Home) -> None:
    """End the daemon in good order; outputs are driven safe."""
    click.echo(LocalClient(home.root).request(Quit()).message)
