"""`appliance fleet rollout ...`: from a file to rings, and a person's word on the way."""

from __future__ import annotations

import getpass
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance import terminal
from appliance.cli import rollout_file
from appliance.fleet import acting_views, rollout_driving, rollout_rings, rollout_rows
from appliance.fleet.home import FleetHome, open_home
from appliance.fleet.rollout_rows import Standing

_home = click.option(
    "--fleet-home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="APPLIANCE_FLEET_HOME",
    default=Path(".fleet"),
    show_default=True,
    help="The controller's folder.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_by = click.option("--by", "who", help="Who says so; the account's name when left out.")
_why = click.option("--why", default="", help="A sentence for the history.")


@click.group()
def rollout() -> None:
    """Bring something to a fleet ring by ring, and stop when it does harm; the service (`fleet collect`) does it."""


@rollout.command()
@_home
@_file
@_as_json
def plan(fleet_home: Path, file: Path, *, as_json: bool) -> None:
    """Check FILE and show which devices are in which ring; nothing is written or sent."""
    declared = rollout_file.read(file)
    with closing(open_home(fleet_home)) as home:
        rings = rollout_rings.rings(home, declared, _now())
    if as_json:
        named = {ring.name: devices for ring, devices in zip(declared.rings, rings, strict=True)}
        terminal.tell_json({"rollout": declared.rollout, "rings": named})
        return
    for ring, devices in zip(declared.rings, rings, strict=True):
        shown = ", ".join(devices[:10]) + (f" and {len(devices) - 10} more" if len(devices) > 10 else "")
        terminal.tell(f"{ring.name:<16} {len(devices)} devices, then {ring.soak}: {shown}")


@rollout.command()
@_home
@_file
@_by
def start(fleet_home: Path, file: Path, who: str | None) -> None:
    """Begin the rollout of FILE; which device is in which ring is settled with it."""
    declared = rollout_file.read(file)
    with closing(open_home(fleet_home)) as home:
        rings = rollout_rings.rings(home, declared, _now())
        rollout_rows.begin(home, declared, rings, now=_now(), who=_name(who))
    terminal.tell(f"{declared.rollout} has begun: {len(rings)} rings, {sum(map(len, rings))} devices.")
    terminal.tell("The service does it: `fleet collect` must be running. `fleet rollout status` shows how far it is.")


@rollout.command()
@_home
@click.argument("name", required=False)
@_as_json
def status(fleet_home: Path, name: str | None, *, as_json: bool) -> None:
    """Show how far the rollout NAME is, or all of them."""
    with closing(open_home(fleet_home)) as home:
        found = [rollout_rows.standing(home, name)] if name else rollout_rows.every(home)
        for one in found:
            figures = [rollout_rows.figures(home, one.rollout, n, _now()) for n in range(len(one.declared.rings))]
            if as_json:
                rings = {ring.name: f.facts() for ring, f in zip(one.declared.rings, figures, strict=True)}
                terminal.tell_json({"rollout": one.rollout, "state": one.state, "ring": one.name, "rings": rings})
                continue
            for line in acting_views.rollout_lines(one, figures):
                terminal.tell(line)
            terminal.tell(f"   {rollout_rows.history(home, one.rollout)[-1].reason}")
    if not found and not as_json:
        terminal.tell("There was no rollout yet.")


@rollout.command()
@_home
@click.argument("name")
@_by
@_why
def pause(fleet_home: Path, name: str, who: str | None, why: str) -> None:
    """Tell no further device; what cannot have left is taken back."""
    with closing(open_home(fleet_home)) as home:
        _say(home, name, "pause", who, why)


@rollout.command()
@_home
@click.argument("name")
@_by
@_why
@click.option("--in-spite", is_flag=True, help="Judge the ring that it is in no more; its figures stay in the history.")
def resume(fleet_home: Path, name: str, who: str | None, why: str, *, in_spite: bool) -> None:
    """Go on after a pause or a halt; what was too bad halts it again, unless --in-spite."""
    with closing(open_home(fleet_home)) as home:
        if not in_spite:
            _say(home, name, "resume", who, why)
            return
        reason = f"in spite of the figures of this ring{': ' + why if why else ''}"
        _told(rollout_driving.excuse(home, name, who=_name(who), reason=reason, now=_now()))


@rollout.command()
@_home
@click.argument("name")
@_by
@_why
@click.option("--return", "back", is_flag=True, help="Tell those that did it to take it back.")
def abort(fleet_home: Path, name: str, who: str | None, why: str, *, back: bool) -> None:
    """End it for good; with --return, those that did it take it back."""
    with closing(open_home(fleet_home)) as home:
        _say(home, name, "go_back" if back else "abort", who, why)


@rollout.command()
@_home
@click.argument("name")
@_as_json
def history(fleet_home: Path, name: str, *, as_json: bool) -> None:
    """Show every decision about the rollout NAME: when, by whom, why, and with --json by which figures."""
    with closing(open_home(fleet_home)) as home:
        rollout_rows.standing(home, name)
        found = rollout_rows.history(home, name)
    if as_json:
        for one in found:
            terminal.tell_json(one.facts())
        return
    for line in acting_views.history_lines(found):
        terminal.tell(line)


def _say(home: FleetHome, name: str, trigger: str, who: str | None, why: str) -> None:
    reason = why or "no reason given"
    _told(rollout_driving.say(home, name, trigger, who=_name(who), reason=reason, now=_now()))


def _told(one: Standing) -> None:
    terminal.tell(f"{one.rollout} is {one.state} in ring {one.name}")


def _name(who: str | None) -> str:
    return who or getpass.getuser()


def _now() -> datetime:
    return datetime.now(UTC)
