"""`appliance fleet database|keep|prune|move|show`: where the controller's rows lie, and how many of them stay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from appliance import terminal
from appliance.errors import UsageError
from appliance.fleet import attendance, moving, retention, views
from appliance.fleet.devices import last_words
from appliance.fleet.home import KeepSettings, PostgresqlSettings, open_home

_HOME = click.option(
    "--fleet-home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="APPLIANCE_FLEET_HOME",
    default=Path(".fleet"),
    show_default=True,
    help="The controller's folder.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


@click.command()
@_HOME
@_JSON
def database(fleet_home: Path, *, as_json: bool) -> None:
    """Show where the rows lie, how much there is, and which collectors are at work."""
    home = open_home(fleet_home)
    try:
        kept, present = retention.kept(home), attendance.collectors(home)
        where, keep = home.db.where, home.settings.keep
    finally:
        home.close()
    if as_json:
        facts = {"where": where, **kept._asdict(), "keep": keep.model_dump()}
        terminal.tell_json({**facts, "collectors": [one.facts() for one in present]})
        return
    terminal.tell(
        f"{where}: {kept.records_n:,} records, {kept.bytes:,} bytes of them;"
        f" {kept.answers_n:,} answers, {kept.states_n:,} states"
    )
    terminal.tell(f"kept: {views.keep_words(keep)}")
    for device in kept.flagged:
        terminal.tell(f"  ! {device}: everything stays, its history is in doubt (`fleet ledger {device}`)")
    for one in present:
        terminal.tell(
            f"collector {one.collector}: seen {one.seen_at[:19]}, {one.records_n:,} records since {one.began_at[:19]}"
        )


@click.command()
@_HOME
@click.option("--days", type=click.IntRange(1, 36_500), help="Keep what was received in the last so many days.")
@click.option("--bytes", "bytes_n", type=click.IntRange(1_000_000), help="Keep this much of records; the newest.")
@click.option("--everything", is_flag=True, help="Remove nothing.")
def keep(fleet_home: Path, days: int | None, bytes_n: int | None, *, everything: bool) -> None:
    """Say how much of what was collected stays; a collector removes the rest from its next start on."""
    if everything == (days is not None or bytes_n is not None):
        raise UsageError("say --days, --bytes, or both; or --everything")
    home = open_home(fleet_home)
    try:
        home.use_retention(KeepSettings(days=days, bytes=bytes_n))
        terminal.tell(f"kept: {views.keep_words(home.settings.keep)}")
    finally:
        home.close()


@click.command()
@_HOME
def prune(fleet_home: Path) -> None:
    """Remove now what is not kept, without waiting for a collector."""
    home = open_home(fleet_home)
    try:
        before = retention.kept(home)
        while retention.prune(home, datetime.now(UTC)):
            pass
        after = retention.kept(home)
    finally:
        home.close()
    terminal.tell(f"{before.records_n - after.records_n:,} records removed, {after.records_n:,} stay")
    terminal.tell(
        f"{before.answers_n - after.answers_n:,} answers removed, {after.answers_n:,} stay;"
        f" {before.states_n - after.states_n:,} states removed, {after.states_n:,} stay"
    )


@click.command()
@_HOME
@click.option(
    "--conninfo-file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Where PostgreSQL is: one line in a file that only its owner may read. Without it: PG* variables.",
)
def move(fleet_home: Path, conninfo_file: str | None) -> None:
    """Carry the controller's rows from its SQLite file to PostgreSQL; end its collector first."""
    home = open_home(fleet_home)
    lock = attendance.CollectorLock(home.path)
    try:
        lock.take()
        records_n = moving.move(home, PostgresqlSettings(conninfo_file=conninfo_file))
    finally:
        lock.release()
        home.close()
    terminal.tell(f"{records_n:,} records are in PostgreSQL now; {fleet_home}/fleet.db is a backup now.")


@click.command()
@_HOME
@click.argument("device")
@_JSON
def show(fleet_home: Path, device: str, *, as_json: bool) -> None:
    """Show what DEVICE said last: its states, and the newest record of each stream."""
    home = open_home(fleet_home)
    try:
        said = last_words(home, device)
    finally:
        home.close()
    if as_json:
        terminal.tell_json(said.facts())
        return
    for line in views.last_words_lines(said):
        terminal.tell(line)


VERBS = (database, keep, prune, move, show)
