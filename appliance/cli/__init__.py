"""The command line. A verb's module is imported when the verb is used, so that `appliance say` starts at once."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from typing import Final

import click

from appliance import __version__
from appliance.cli.lazy import Lazy
from appliance.contracts.home import Home
from appliance.errors import ApplianceError, StorageError
from appliance.terminal import tell, visible

VERBS: Final = {
    # Ask
    "say": "appliance.cli.asking:say",
    "call": "appliance.cli.asking:call",
    "confirm": "appliance.cli.asking:confirm",
    "answer": "appliance.cli.asking:answer",
    "undo": "appliance.cli.asking:undo",
    "resolve": "appliance.cli.asking:resolve",
    # Watch and stop
    "console": "appliance.cli.running:console",
    "status": "appliance.cli.running:status",
    "stop": "appliance.cli.running:stop",
    "release": "appliance.cli.running:release",
    "maintenance": "appliance.cli.workflow_acts:maintenance",
    # Run
    "run": "appliance.cli.running:run",
    "quit": "appliance.cli.running:quit_",
    # Sign
    "people": "appliance.cli.people:people",
    # Follow and write laws
    "workflow": "appliance.cli.workflows:workflow",
    # Prove
    "audit": "appliance.cli.auditing:audit",
    "keys": "appliance.cli.keys:keys",
    # Whose bundles decide
    "bundle": "appliance.cli.bundles:bundle",
    "trust": "appliance.cli.trusting:trust",
    # The fleet
    "fleet": "appliance.cli.fleet_verbs:fleet",
    "sync": "appliance.cli.sync:sync",
    # Keep in order
    "doctor": "appliance.cli.checking:doctor",
    "bench": "appliance.cli.checking:bench",
    "diagnose": "appliance.cli.keeping:diagnose",
    "backup": "appliance.cli.keeping:backup",
    "restore": "appliance.cli.keeping:restore",
    "reset": "appliance.cli.keeping:reset",
    # The model without the site, and a second one
    "propose": "appliance.cli.proposing:propose",
    "escalation": "appliance.cli.escalation:escalation",
}
"""Verb to `module:command`; help lists them in this order."""

EPILOG: Final = """\b
Try:
  appliance say "dim the workshop lights to 30 percent"
  appliance say "start the extractor for ten minutes" --yes
  appliance console

\b
Exit codes: 0 done, 1 a person must look, 2 bad command or settings, 3 bundle, 4 storage,
5 no daemon, 6 already running, 7 keys, 10 waiting or asked, 11 refused, 12 failed,
13 indeterminate."""


@click.group(cls=Lazy, verbs=VERBS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    "home_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with this device's state. [default: $APPLIANCE_HOME, else ~/.local/state/appliance]",
)
@click.version_option(__version__, message="appliance %(version)s")
@click.pass_context
def group(ctx: click.Context, home_dir: Path | None) -> None:
    """An offline agent appliance: plain words to checked, recorded, reported acts.

    Nothing leaves this device and nothing listens on a network unless you enrol it with a controller
    or name a server under [escalation].
    """
    ctx.obj = Home.find(home_dir)


def main() -> None:
    """Run the command line; a known fault becomes one clear sentence and its exit code."""
    try:
        # Outside click's standalone mode `Exit` comes back as what `main` returns.
        code = group.main(standalone_mode=False, prog_name="appliance")
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.message = visible(error.message, lines=True)  # type: ignore[misc]  # click only reads it from here on
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        tell("Stopped by you; nothing is lost.", err=True)
        sys.exit(130)
    except (ApplianceError, sqlite3.DatabaseError) as error:
        tell(fault(error), err=True, lines=True)
        sys.exit(error.exit_code if isinstance(error, ApplianceError) else StorageError.exit_code)
    except BrokenPipeError:
        # The reader went away (`| head`): not a fault, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        tell(f"appliance: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(StorageError.exit_code)


def fault(error: BaseException) -> str:
    """Say a known fault in one clear sentence."""
    if isinstance(error, sqlite3.DatabaseError):
        return f"appliance: the database cannot be read: {error}; it is damaged or not an appliance's"
    return f"appliance: {error}"
