"""Options that the controller's verbs have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

fleet_home: Final = click.option(
    "--fleet-home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="APPLIANCE_FLEET_HOME",
    default=Path(".fleet"),
    show_default=True,
    help="The controller's folder.",
)

as_json: Final = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
