"""`appliance audit export`, and the check of what it writes: records that leave the device, signed and explained."""

from __future__ import annotations

import contextlib
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import __version__, settings
from appliance.agent.clock import SystemClock
from appliance.cli import querying, verifying
from appliance.cli.moments import read_moment
from appliance.contracts.local import Checkpoint
from appliance.contracts.selection import Selection
from appliance.errors import DaemonUnavailable, SettingsError, StorageError, UsageError
from appliance.ledger import archive_check
from appliance.ledger import export as exporting
from appliance.ledger.archive_check import ArchiveVerdict
from appliance.storage import checkpoints, tree
from appliance.storage.database import open_reader
from appliance.terminal import Styled, tell
from appliance.transport.local import LocalClient
from appliance.trust import notes, rotation

if TYPE_CHECKING:
    from appliance.cli.auditing import Ledger


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--request", "requests", multiple=True, metavar="ID", help="Everything of this request; may be repeated.")
@click.option("--from", "since_at", metavar="TIME", help="Records from this time on, e.g. 2026-11-22T03:00.")
@click.option("--to", "until_at", metavar="TIME", help="Records up to this time.")
@click.option("--after", type=click.IntRange(0), help="Records above this number.")
@click.option("--before", type=click.IntRange(1), help="Records below this number.")
@click.option("--epoch", help="Of an earlier epoch: before a restore, or what was saved of a damaged file.")
@click.option("--proven-only", is_flag=True, help="Of an earlier epoch: leave out records that no proof leads to.")
@click.option("--with-words", is_flag=True, help="Put in what people said; without it only salted hashes of it leave.")
@click.option("--note", default="", help="A sentence about the occasion; it stands at the head of the report.")
@click.option("--since", type=click.Path(dir_okay=False, exists=True, path_type=Path),
              help="An older checkpoint: prove that nothing was rewritten since.")  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Instead: write every view as CSV into the folder FILE, unsigned.")
@click.pass_obj
def export(  # noqa: PLR0917 -- click passes options by name
    ledger: Ledger,
    file: Path,
    requests: tuple[str, ...],
    since_at: str | None,
    until_at: str | None,
    after: int | None,
    before: int | None,
    epoch: str | None,
    proven_only: bool,  # noqa: FBT001 -- click passes flags
    with_words: bool,  # noqa: FBT001 -- click passes flags
    note: str,
    since: Path | None,
    as_csv: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    r"""Write an incident into one signed archive that anyone can check and read elsewhere.

    \b
      appliance audit export door.zip --request local-cli-38640b3c51e1e948 --note "Why did the front door open?"
      appliance audit export night.zip --from 2026-11-22T03:00 --to 2026-11-22T04:00
    """
    if file.exists():
        raise UsageError(f"{file} exists; name a new one, an export overwrites nothing")
    if as_csv:
        _every_view(ledger, file)
        return
    selections = [Selection(request_id=name, epoch=epoch) for name in requests]
    if epoch is not None and not requests and all(bound is None for bound in (since_at, until_at, after, before)):
        after = 0
    if any(bound is not None for bound in (since_at, until_at, after, before)) or not selections:
        bounds = {
            "since": read_moment(since_at),
            "until": read_moment(until_at),
            "after": after,
            "before": before,
            "epoch": epoch,
        }
        selections.append(Selection.model_validate(bounds))
    if len(selections) > len(requests) > 0:
        raise UsageError("say which records in one way: requests, numbers (--after, --before), or times (--from, --to)")
    reader = open_reader(ledger.database)
    with contextlib.closing(reader):
        newest = exporting.newest_asked(reader, selections)
        occasion = exporting.Occasion(
            at=datetime.now(UTC),
            clock_trusted=SystemClock(0).is_trusted(),
            software=__version__,
            note=note,
            with_words=with_words,
            proven_only=proven_only,
            since=None if since is None else _read(since),
            bundle=lambda sha256: _bundle_manifest(ledger, sha256),
        )
        is_present = epoch in {None, tree.current(reader)}
        checkpoint = _checkpoint(ledger, checkpoints.latest(reader), newest) if is_present else None
        done = exporting.export(reader, selections, checkpoint, rotation.current(ledger.home.root), occasion)
    _write(file, done.data)
    manifest = done.manifest
    tell(f"{file}: {manifest.records_n - manifest.unproven_n} records, proven against a checkpoint over "
         f"{manifest.size:,}; words {manifest.words}")  # fmt: skip
    if manifest.unproven_n:
        tell(f"and {manifest.unproven_n} that no proof leads to any more: each is marked with its leaf")
    tell(f"check it anywhere: appliance audit verify --export {file.name} --key '{manifest.key}'")


def checked(file: Path, key: str) -> ArchiveVerdict:
    """Check the archive *file* with the public *key*: a verifier key, 64 hexadecimal digits, or a file with either.

    Raises:
        TrustError: it is no key.
    """
    name, public = verifying.verifier(key)
    return archive_check.verify_archive(file, [public], name or None)


def tell_archive(found: ArchiveVerdict) -> None:
    """Say what a check of an archive found."""
    colour = {"verified": "green", "broken": "red"}.get(found.state, "yellow")
    head = f": {found.records_n} records of {found.device}, in its log of {found.size:,}" if found.origin else ""
    tell(Styled(found.state, fg=colour, bold=True), head)
    for fault in found.faults:
        tell(f"  {fault}")
    if found.state not in {"verified", "partial"}:
        return
    if found.unproven_n:
        tell(
            f"{found.records_n - found.unproven_n} records are proven to be in that log; {found.unproven_n} are not:"
            " the device vouches that it had them like this when it made the file, what proves more was lost"
        )
    tell(f"log {found.origin}; {found.words_n} personal values checked, {found.withheld_n} withheld")
    if found.since is not None:
        tell(f"it goes on from the older checkpoint over {found.since:,} records: nothing was rewritten since")
    if found.rotations_n:
        tell(f"signed by a later key: the one you gave passed its trust on ({found.rotations_n} times)")
    if not found.is_report_checked:
        tell(
            Styled(f"report.html and README.txt were written by software {found.software}", fg="yellow"),
            ": this version does not check that they tell what the records say; read the records",
        )


def _checkpoint(ledger: Ledger, kept: checkpoints.SignedCheckpoint | None, newest: int) -> bytes:
    """Return a signed note over at least *newest* records: the one that is kept, else a fresh one of the daemon's."""
    if kept is not None and kept.size >= newest:
        return kept.note.encode()
    try:
        reply = LocalClient(ledger.home.root).request(Checkpoint())
    except DaemonUnavailable as error:
        raise StorageError(
            f"record {newest} is not under a checkpoint yet; start the appliance, it signs one ({error})"
        ) from error
    note = reply.result.get("note")
    if not reply.ok or not isinstance(note, str):
        raise StorageError(f"no checkpoint over record {newest}: {reply.message}")
    return note.encode()


def _bundle_manifest(ledger: Ledger, sha256: str) -> bytes | None:
    """Return the manifest of the bundle that decided, if it still lies here."""
    try:
        installed = settings.installed_bundles(settings.load(ledger.home.root), ledger.home.root)
    except SettingsError:
        return None
    for folder in installed:
        try:
            data = (folder / "manifest.json").read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    return None


def _every_view(ledger: Ledger, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name, answer in querying.all_views(ledger, seconds=3600):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as target:
            rows_n = querying.write_csv(answer.columns, answer.rows, target)
        tell(f"{folder / name}.csv: {rows_n:,} rows")


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path} is no regular file")
    with path.open("rb") as file:
        data = file.read(notes.MAX_NOTE_BYTES + 1)
    if len(data) > notes.MAX_NOTE_BYTES:
        raise UsageError(f"{path} is no checkpoint: it is larger than one")
    return data


def _write(path: Path, data: bytes) -> None:
    """Write *data*, whole or not at all, readable by its owner: it may hold what people said."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(target.fileno())
        draft.rename(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"the archive cannot be written to {path}: {error.strerror}") from error
