"""`appliance fleet sync ...`: the controller's side of a stick."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from appliance.fleet import carrying, options, wishing
from appliance.fleet.home import open_home
from appliance.terminal import tell, tell_json

_STICK = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def sync() -> None:
    """Commands and reports on a stick, for devices without a network."""


@sync.command()
@options.fleet_home
@click.argument("stick", metavar="DIR", type=_STICK)
@click.argument("device")
@click.argument("words", nargs=-1)
@wishing.options
@click.option(
    "--expires-days", type=click.FloatRange(0.001, 7), default=7.0, show_default=True, help="Good for so long."
)
def put(
    fleet_home: Path, stick: Path, device: str, words: tuple[str, ...], *, expires_days: float, **wish: Any
) -> None:
    """Put a signed command for DEVICE (or `all`) onto the stick in DIR."""
    wanted = wishing.body_of(wishing.Wish(" ".join(words), **wish))
    with closing(open_home(fleet_home)) as home:
        name = carrying.put(home, stick, device, wanted, now=_now(), expires_s=expires_days * 86_400)
    tell(f"{name}: {wanted.kind} for {device}, good for {expires_days:g} days; carry it: `appliance sync import`")


@sync.command(name="export")
@options.fleet_home
@click.argument("stick", metavar="DIR", type=_STICK)
def export(fleet_home: Path, stick: Path) -> None:
    """Put onto the stick in DIR what waits for devices: acknowledgements, configurations, commands yet to leave.

    Commands on it that have expired or were answered are removed.
    """
    with closing(open_home(fleet_home)) as home:
        files_n = carrying.give(home, stick, _now())
    tell(f"{files_n} files")


@sync.command(name="import")
@options.fleet_home
@click.argument("stick", metavar="DIR", type=_STICK)
@options.as_json
def import_(fleet_home: Path, stick: Path, *, as_json: bool) -> None:
    """Take what devices put onto the stick in DIR for this controller, and put the acknowledgements onto it."""
    with closing(open_home(fleet_home)) as home:
        collector = carrying.collector_for(home, _now())
        try:
            found = carrying.take(home, collector, stick)
        finally:
            collector.close()
    if as_json:
        tell_json({**found._asdict(), "files": [str(path) for path in found.files]})
    else:
        tell(f"{found.parcels_n} parcels, {found.messages_n} messages")
        for line in (*found.acknowledged, *(f"evidence: {path}" for path in found.files)):
            tell(f"  {line}")
        for line in found.unusable:
            tell(f"  not taken: {line}", err=True)
    if found.unusable:
        raise SystemExit(1)


def _now() -> datetime:
    return datetime.now(UTC)
