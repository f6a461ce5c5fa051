"""`appliance fleet config set`: what no device would take is refused before it is wanted of any."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.errors import UsageError
from appliance.fleet import acting_commands, acting_views, options
from appliance.settings import Settings
from appliance.settingsfile import remote


@click.command(name="set")
@options.fleet_home
@click.argument("target")
@click.argument("settings", nargs=-1, required=True)
@click.option("--restart", is_flag=True, help="Begin again at once where it needs that; outputs are driven safe.")
def set_(fleet_home: Path, target: str, settings: tuple[str, ...], *, restart: bool) -> None:
    """Want section.key=VALUE (JSON, or a word) of the devices of TARGET, beside what is wanted already.

    The service (`fleet collect`) tells the devices; `section.key=null` leaves a key to the device again.
    """
    changes = acting_views.settings_of(settings)
    refused = remote.objections(changes, Settings)
    if refused:
        raise UsageError("\n  ".join(("nothing is wanted of any device:", *refused)))
    acting_commands.set_wishes(fleet_home, target, changes, restart=restart)
