"""`appliance fleet simulate`: the options, the progress, the figures."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from appliance.errors import UsageError
from appliance.terminal import tell

EXIT_NOT_GOOD = 1


@click.command()
@click.option("--devices", type=int, default=1000, show_default=True, help="How many.")
@click.option("--processes", type=int, default=2, show_default=True, help="That they are spread over.")
@click.option("--events", type=int, default=5, show_default=True, help="Of each device; as many again in an outage.")
@click.option("--seconds", type=float, default=15.0, show_default=True, help="That events and commands go on.")
@click.option("--commands", type=int, default=200, show_default=True, help="To devices drawn at random.")
@click.option("--storm/--no-storm", default=True, show_default=True, help="Break every connection at once.")
@click.option("--outage", "outage_s", type=float, default=10.0, show_default=True, help="Seconds without a broker.")
@click.option("--slow", type=float, default=0.02, show_default=True, help="Share of devices behind a slow link.")
@click.option("--spread", "spread_s", type=float, default=10.0, show_default=True, help="Seconds of first connections.")
@click.option("--patience", "patience_s", type=float, default=300.0, show_default=True, help="Seconds for each wait.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where broker and controller keep their files, and leave them. [default: in memory, gone at the end]",
)
@click.option("--json", "as_json", is_flag=True, help="The figures in JSON, for programs.")
def simulate(*, folder: Path | None, as_json: bool, **wanted: Any) -> None:
    """Simulate a fleet against a Mosquitto on this machine: storms, outages, slow links; and count what arrives.

    Every device is the real device's wire, with a database in memory. Ends with 1 when an event was lost or kept
    twice, a command not answered, or a device not connected.
    """
    from appliance.simulation import play, tally

    try:
        plan = play.Plan(**wanted)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UsageError(f"--{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service's end takes everything down in order, too
    found = play.simulate(plan, folder, lambda text: tell(text, err=True))
    for line in [found.model_dump_json()] if as_json else tally.lines(found):
        tell(line)
    if not found.is_good:
        sys.exit(EXIT_NOT_GOOD)
