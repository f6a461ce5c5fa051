"""audit verify: the ledger, a proof or an incident archive, checked with nothing but a public key."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from appliance.cli import verdict_words as words
from appliance.cli.auditing import Ledger
from appliance.errors import TrustError, UsageError, WireError
from appliance.ledger import proofs
from appliance.ledger.proofs import Consistency
from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.storage import audit, signed, tree
from appliance.storage.database import open_reader
from appliance.terminal import tell, tell_json
from appliance.trust import notes, rotation
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Checkpoint, Note

BROKEN_EXIT: Final = 4
ARCHIVE_EXITS: Final = {"broken": BROKEN_EXIT, "unknown key": TrustError.exit_code, "another log": TrustError.exit_code}
BAR_FROM_N: Final = 20_000
"""Records below which a progress bar would be gone before it is read."""

MAX_RECORD_BYTES: Final = 2**20

_file = click.Path(dir_okay=False, path_type=Path)


@click.command(name="verify")
@click.option("--checkpoint", type=_file, help="A checkpoint that the device signed, kept elsewhere.")
@click.option("--key", help="The device's public key: what `audit key` prints, or a file with it.")
@click.option("--epoch", help="An earlier epoch: before a restore, or from a file that was damaged.")
@click.option("--proof", type=_file, help="Check a proof instead: of a record (with --record) or of a checkpoint.")
@click.option("--record", type=_file, help="The exact bytes of the record that --proof is about.")
@click.option("--export", type=_file, help="Check an incident archive instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def verify_(
    ledger: Ledger,
    checkpoint: Path | None,
    key: str | None,
    epoch: str | None,
    proof: Path | None,
    record: Path | None,
    export: Path | None,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    r"""Check that the ledger is the history that was written; needs no daemon, and works on any copy of the file.

    \b
    With nothing:             every record, the tree, the checkpoints in the file.
    With --key:               also, that the device signed them.
    With --checkpoint --key:  also, that the records up to that checkpoint are the ones that were signed: `anchored`.

    What came after the checkpoint may have been cut off, or replaced by whoever has the device's key. Keep a newer one.
    """
    named = None if key is None else verifier(key)
    public = None if named is None else named[1]
    if checkpoint is not None and public is None:
        raise UsageError("--checkpoint needs --key: a checkpoint is worth what its key is worth")
    older = None if checkpoint is None else read_checkpoint(checkpoint)
    if export is not None:
        _export(export, key, as_json=as_json)
    elif proof is not None:
        tell(_proven(proof, record, older, public))
    else:
        _ledger(ledger, Given(public, older), epoch, named[0] if named else "", as_json=as_json)


def verifier(text: str) -> tuple[str, PublicKey]:
    """Read a public key, and the name of the ledger that it came with: empty where it is bare.

    Args:
        text: a verifier key, 64 hexadecimal digits, or a file with either.

    Raises:
        TrustError: it is none of these.
    """
    # A verifier key has slashes in it and may be no file's name at all.
    with contextlib.suppress(OSError, ValueError):
        path = Path(text)
        if path.is_file() and path.stat().st_size <= notes.MAX_NOTE_BYTES:
            text = path.read_text(encoding="utf-8").strip()
    if "+" not in text:
        return "", PublicKey.from_hex(text)
    parsed = notes.parse_verifier(text)
    return parsed.name, parsed.public


def public_key(text: str) -> PublicKey:
    """Read a public key, as `verifier` does.

    Raises:
        TrustError: it is none.
    """
    return verifier(text)[1]


def read_checkpoint(path: Path) -> Note:
    """Read a file with a checkpoint; its signature is still to be checked.

    Raises:
        UsageError: there is no such file, or it holds no checkpoint.
    """
    try:
        note = notes.parse(_read(path, notes.MAX_NOTE_BYTES))
        notes.parse_checkpoint(note.text)
    except WireError as error:
        raise UsageError(f"{path}: {error}") from error
    return note


def _ledger(ledger: Ledger, given: Given, epoch: str | None, name: str, *, as_json: bool) -> None:
    with contextlib.closing(open_reader(ledger.database)) as reader:
        total = audit.size(reader, epoch)
        other = None if given.checkpoint is None else _of_another(reader, given.checkpoint, epoch)
    if ledger.database == ledger.home.database and epoch is None:
        given = _on_the_device(ledger, given)
    if as_json or total < BAR_FROM_N:
        found = verify(ledger.database, given, epoch=epoch)
    else:
        with click.progressbar(length=total, label="checking", file=sys.stderr) as bar:
            found = verify(ledger.database, given, epoch=epoch, progress=bar.update)
    if other is not None and found.state == "broken":
        found = found.model_copy(update={"reason": f"{found.reason}. {other}"})
    warned = [*words.warnings(found, knows_key=given.key is not None, now=datetime.now(UTC))]
    if name and found.origin and name != found.origin:
        warned.append(
            f"the key came with the name {name}, this ledger is {found.origin}: after a restore that is so; otherwise a"
            " second ledger was kept under the same key, and you look at the other one"
        )
    if as_json:
        tell_json({**found.model_dump(mode="json"), "warnings": warned})
    else:
        for line in words.told(found, warned):
            tell(*line)
    raise click.exceptions.Exit(BROKEN_EXIT if found.state == "broken" else 0)


def _of_another(reader: sqlite3.Connection, note: Note, epoch: str | None) -> str | None:
    """Say what it can mean that *note* is not of the epoch that is looked at; None where it is.

    Raises:
        UsageError: it is of another epoch that is in this file, which the message names.
    """
    of = notes.parse_checkpoint(note.text).origin.rpartition("/")[2]
    current = tree.current(reader)
    if of == (epoch or current):
        return None
    if of == current:
        raise UsageError(f"the checkpoint is of the present epoch {of}: verify without --epoch")
    if reader.execute("select 1 from past where epoch = ? limit 1", (of,)).fetchone() is not None:
        raise UsageError(
            f"the checkpoint is of the earlier epoch {of}, which is in this file: verify with --epoch {of}"
        )
    return (
        "Either this is not the file that the checkpoint was made of (another device's, or the wrong copy), or the"
        " ledger that it was made of was taken out of this file: ask for it, the checkpoint shows that it existed"
    )


def _on_the_device(ledger: Ledger, given: Given) -> Given:
    """Add what the device itself knows, if it is its own ledger that is looked at: its key, and what it signed last."""
    key = given.key
    if key is None:
        with contextlib.suppress(TrustError):  # another user's key; the look goes on without it
            key = rotation.current(ledger.home.root).public
    state = signed.read(ledger.home.signed)
    remembered = None
    if state is not None and state.size:
        with contextlib.closing(open_reader(ledger.database)) as reader:
            row = reader.execute("select value from meta where key = 'epoch'").fetchone()
        # Of another epoch: the next start of the daemon looks into that.
        if row is not None and row["value"] == state.epoch:
            remembered = Checkpoint(state.origin, state.size, bytes.fromhex(state.root))
    return Given(key, given.checkpoint, remembered)


def _proven(proof: Path, record: Path | None, older: Note | None, key: PublicKey | None) -> str:
    if key is None:
        raise UsageError("--proof needs --key: a proof is worth what its key is worth")
    try:
        found = proofs.parse(_read(proof, proofs.MAX_PROOF_BYTES))
    except WireError as error:
        raise UsageError(f"{proof}: {error}") from error
    if isinstance(found, Consistency):
        if older is None:
            raise UsageError(f"{proof} joins two checkpoints: give the older one with --checkpoint")
        new = proofs.check_between(found, older, key)
        return f"proven: the {found.old} records of the older checkpoint are the first of {new.size} of {new.origin}"
    if record is None:
        raise UsageError(f"{proof} is about a record: give its exact bytes with --record")
    checkpoint = proofs.check_record(found, _read(record, MAX_RECORD_BYTES), key)
    return f"proven: it is record {found.leaf_index + 1} of {checkpoint.size} of {checkpoint.origin}"


def _export(export: Path, key: str | None, *, as_json: bool) -> None:
    from appliance.cli import exporting

    if key is None:
        raise UsageError("--export needs --key: take it from the device, not from the archive")
    found = exporting.checked(export, key)
    if as_json:
        tell_json(found)
    else:
        exporting.tell_archive(found)
    raise click.exceptions.Exit(ARCHIVE_EXITS.get(found.state, 0))


def _read(path: Path, limit_bytes: int) -> bytes:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file")  # a pipe would be waited for without end
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > limit_bytes:
        raise UsageError(f"{path} is larger than {limit_bytes:,} bytes; it is not what was asked for")
    return data
