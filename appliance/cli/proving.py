"""audit checkpoint, prove: what outsiders can check with tools of their own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from appliance.cli.auditing import Ledger
from appliance.cli.verifying import read_checkpoint
from appliance.contracts.local import Checkpoint
from appliance.errors import DaemonUnavailable, StorageError, UsageError
from appliance.ledger import proofs
from appliance.storage import checkpoints
from appliance.storage.database import open_reader
from appliance.storage.ownership import own
from appliance.terminal import tell
from appliance.transport.local import LocalClient


@click.command()
@click.pass_obj
def checkpoint(ledger: Ledger) -> None:
    """Print a signed statement of how far the ledger is (C2SP tlog-checkpoint).

    Keep it elsewhere: `verify --checkpoint` finds with it what was cut off or rewritten since.
    """
    if ledger.database != ledger.home.database:
        with contextlib.closing(open_reader(ledger.database)) as reader:
            kept = checkpoints.latest(reader)
        if kept is None:
            raise UsageError(f"{ledger.database} holds no checkpoint")
        tell(kept.note, nl=False, lines=True)
        return
    open_reader(ledger.database).close()  # says so when there is no ledger yet
    try:
        reply = LocalClient(ledger.home.root).request(Checkpoint())
    except DaemonUnavailable:
        tell(_without_daemon(ledger), nl=False, lines=True)
        return
    note = reply.result.get("note")
    if not reply.ok or not isinstance(note, str):
        raise StorageError(reply.message or "the daemon signed nothing")
    tell(note, nl=False, lines=True)


@click.command()
@click.argument("seq", type=click.IntRange(1), required=False)
@click.option("--size", type=click.IntRange(1), help="Under the checkpoint over exactly so many records.")
@click.option("--from", "older", type=click.Path(dir_okay=False, path_type=Path), help="Join this older checkpoint.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write the record's exact bytes here.")
@click.pass_obj
def prove(ledger: Ledger, seq: int | None, size: int | None, older: Path | None, record: Path | None) -> None:
    r"""Print a proof that record SEQ is in the ledger, or that an older checkpoint is its beginning.

    \b
      appliance audit prove 17 --record 17.json > 17.tlog-proof
      appliance audit verify --proof 17.tlog-proof --record 17.json --key VKEY
      appliance audit prove --from kept-in-march.checkpoint
    """
    if (seq is None) == (older is None):
        raise UsageError("say which record (SEQ), or which checkpoint is to be joined (--from)")
    with contextlib.closing(open_reader(ledger.database)) as reader:
        if older is not None:
            tell(str(proofs.between(reader, read_checkpoint(older))), nl=False, lines=True)
            return
        assert seq is not None  # one of the two was given
        proof = proofs.of_record(reader, seq, size=size)
        if record is not None:
            _write(record, proofs.body(reader, seq))
    tell(str(proof), nl=False, lines=True)


def _without_daemon(ledger: Ledger) -> str:
    from appliance.agent import checkpointing
    from appliance.agent.clock import SystemClock
    from appliance.trust import rotation

    with own(ledger.home):
        return checkpointing.sign_once(ledger.home, rotation.current(ledger.home.root), SystemClock(0))


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; name a new file") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
