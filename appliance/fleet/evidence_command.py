"""`appliance fleet evidence`: an incident of a device, as the archive that it signed."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from appliance.contracts.envelope import ExportAuditBody
from appliance.errors import UsageError
from appliance.fleet import options
from appliance.fleet.evidence_fetching import Fetching
from appliance.fleet.home import open_home
from appliance.terminal import tell, tell_json

_TIME = click.DateTime(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"])


@click.command()
@options.fleet_home
@click.argument("device")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The archive; a new file.")
@click.option("--request", "requests", multiple=True, metavar="ID", help="Everything of this request; may be repeated.")
@click.option("--after", type=click.IntRange(0), help="Records above this number.")
@click.option("--before", type=click.IntRange(1), help="Records below this number.")
@click.option("--since", type=_TIME, help="Records from this time on, in UTC.")
@click.option("--until", type=_TIME, help="Records up to this time, in UTC.")
@click.option("--note", default="", help="A sentence about the occasion; it stands at the head of the report.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(1, 3600), default=60.0, show_default=True, help="Seconds for each answer."
)
@options.as_json
def evidence(fleet_home: Path, device: str, out: Path, *, wait_s: float, as_json: bool, **meant: Any) -> None:
    """Let DEVICE make an archive of what happened, and fetch it.

    Say which records in one way: requests, numbers, or times. The same words again go on where they were interrupted.
    Check what came with `appliance audit verify --export FILE --key KEY`.
    """
    try:
        times = {name: at and at.replace(tzinfo=UTC) for name, at in meant.items() if name in {"since", "until"}}
        body = ExportAuditBody(**{**meant, **times})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UsageError(f"--{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    shown = [-1]

    def progress(had: int, of: int) -> None:
        tenth = 10 * had // of
        if not as_json and tenth > shown[0]:
            shown[0] = tenth
            tell(f"{had:,} of {of:,} bytes", err=True)

    with closing(open_home(fleet_home)) as home:
        fetching = Fetching(home, device, now=_now, chance=random.Random(), patience_s=wait_s, on_progress=progress)
        with closing(fetching):
            fetched = fetching.fetch(body, out)
    told = fetched.told
    if as_json:
        tell_json({"file": str(out), "resumed_at": fetched.resumed_at, **told.model_dump(mode="json")})
        return
    again = f" ({fetched.resumed_at:,} were here already)" if fetched.resumed_at else ""
    tell(f"{out}: {told.bytes:,} bytes{again}, {told.records} records, SHA-256 {told.sha256}")
    tell(f"It says that it is signed by {told.key}; the key to check it with is the one that you trust.")


def _now() -> datetime:
    return datetime.now(UTC)
