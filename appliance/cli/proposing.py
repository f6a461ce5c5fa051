"""propose: the model without the site."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

import click

from appliance import settings
from appliance.contracts.home import Home


@click.command()
@click.argument("source", default="-", type=click.File("rb"))
@click.option("--bundle", type=click.Path(file_okay=False, path_type=Path), help="Another bundle than the one in use.")
@click.option(
    "--runtime", type=click.Choice(["auto", "litert", "tflite-runtime"]), help="TFLite runtime. [default: settings]"
)
@click.option("--threads", type=click.IntRange(1, 16), help="Threads of one inference. [default: settings]")
@click.pass_obj
def propose(
    home: Home,
    source: BinaryIO,
    bundle: Path | None,
    runtime: Literal["auto", "litert", "tflite-runtime"] | None,
    threads: int | None,
) -> None:
    r"""Read requests with their tools as JSON lines, write what would be called as JSON lines.

    \b
    In:  {"query": "...", "tools": [{"name", "description", "parameters": JSON Schema}], "context": {"now": "..."}}
    Out: {"calls": [{"name", "arguments", "confidence", "spans"}], "decision": "act|confirm|ask|refuse",
          "reason", "latency_ms"}, one line for each, in order. Nothing is done, nothing is recorded.
    """
    from appliance.agent import model
    from appliance.agent.propose import run_lines

    chosen = settings.load(home.root)
    loaded = model.load(
        bundle or settings.bundle_folder(chosen, home.root),
        runtime=runtime or chosen.model.runtime,
        threads_n=threads or chosen.model.threads,
    )
    out = sys.stdout
    for line in run_lines(source, loaded.decoder, loaded.bundle.manifest.thresholds, lambda: datetime.now(UTC)):
        out.write(line + "\n")
        out.flush()
