"""workflow say, approve, refuse, and maintenance: what people say to workflows, and to the device about itself."""

from __future__ import annotations

import click

from appliance.cli.outcomes import as_json, finish, outcome_of, wait
from appliance.cli.signing import Signature, signed
from appliance.contracts.home import Home
from appliance.contracts.local import GiveApproval, SayEvent, SetMaintenance
from appliance.transport.local import LocalClient


@click.command()
@click.argument("event")
@click.option("--workflow", default="", help="To which; needed where several know the event.")
@click.option("--id", "request_id", help="Your own id: the same id twice is heard once and gives the same answer.")
@signed
@wait
@as_json
@click.pass_obj
def say(
    home: Home,
    event: str,
    workflow: str,
    request_id: str | None,
    by: Signature,
    wait_s: float,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Say EVENT to a workflow; `workflow status` shows what can be said now, and by whom."""
    request = SayEvent(event=event, workflow=workflow, request_id=request_id, wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@click.argument("of", metavar="ID")
@signed
@wait
@as_json
@click.pass_obj
def approve(home: Home, of: str, by: Signature, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Approve what waits under ID: an arrow of a workflow, or a request."""
    request = GiveApproval(of=of, yes=True, wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@click.argument("of", metavar="ID")
@signed
@wait
@as_json
@click.pass_obj
def refuse(home: Home, of: str, by: Signature, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Refuse what waits under ID; one refusal is enough."""
    request = GiveApproval(of=of, yes=False, wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)


@click.command()
@click.argument("on", type=click.Choice(["on", "off"]))
@click.option("--why", default="", help="What is being done; whoever asks for an act is told.")
@signed
@wait
@as_json
@click.pass_obj
def maintenance(home: Home, on: str, why: str, by: Signature, wait_s: float, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Lock the device while somebody works on the machine, so that nothing acts; `off` lets go of it.

    Whoever set the lock releases it, or an admin. The emergency stop goes past it.
    """
    if on == "on" and not why:
        raise click.UsageError("say why: --why TEXT")
    request = SetMaintenance(on=on == "on", why=why, wait_s=wait_s, **by.fields())
    finish(outcome_of(LocalClient(home.root), request, wait_s), as_json=as_json)
