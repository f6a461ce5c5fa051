"""backup, restore, reset, diagnose: a home to a file and back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.contracts.home import Home
from appliance.terminal import tell

new_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@new_file
@click.option("--without-key", is_flag=True, help="Leave the device's private key out: a restore becomes a new device.")
@click.pass_obj
def backup(home: Home, file: Path, without_key: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Write everything that makes this device what it is into FILE; the daemon may go on meanwhile.

    FILE holds what people said and the device's private key: keep it as you would keep the device.
    """
    from appliance import keeping

    contents = keeping.backup(home, file, datetime.now(UTC), with_key=not without_key)
    tell(f"{file}: {contents.seq:,} records up to {contents.head[:12]}, {', '.join(contents.files)}")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def restore(home: Home, file: Path, yes: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Make this device what FILE kept; the daemon must be stopped.

    What lies in the home now is set aside, not deleted. The ledger begins a new epoch whose first record cites the last
    one of the backup, and the device must be enrolled again: a backup is older than what a controller has since said.
    """
    from appliance import keeping

    if not yes:
        click.confirm(f"Replace the state in {home.root}? What is there now is kept beside it.", abort=True)
    contents = keeping.restore(home, file, datetime.now(UTC))
    tell(f"restored to {contents.made_at}, record {contents.seq:,}; the ledger goes on in a new epoch")
    tell(f"the ledger until then is kept: `appliance audit verify --epoch {contents.epoch}`")
    if contents.bundle:
        tell(f"{contents.bundle} decided then and is not in FILE: `appliance bundle install` brings it back")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--settings-too", is_flag=True, help="Remove appliance.toml as well.")
@click.pass_obj
def reset(home: Home, yes: bool, settings_too: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Erase what this device knows: records, notes, keys, enrolment. The next start makes a new device."""
    from appliance import keeping

    if not yes:
        click.confirm(f"Erase everything in {home.root}? `appliance backup FILE` keeps it.", abort=True)
    removed = keeping.reset(home, keep_settings=not settings_too)
    tell(f"removed {len(removed)} of {home.root}" + (f": {', '.join(removed)}" if removed else ""))


@click.command()
@new_file
@click.pass_obj
def diagnose(home: Home, file: Path) -> None:
    """Write a support archive (tar.gz) that holds no words, names, hosts, keys or texts of the settings."""
    from appliance import diagnose as support

    names = support.diagnose(home, file, datetime.now(UTC))
    tell(f"{file}: {', '.join(names)}; look into it before you send it")
