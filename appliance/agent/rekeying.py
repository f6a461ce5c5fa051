"""One device key to the next; the record in the ledger decides. The order of the lines in `rotate` is what counts.

Covers: a power cut between any two steps: before the record the old key stands, after it the new one, and `finish`
brings the files there at the next start. Does not cover: what controllers and auditors make of the statement; they
follow it themselves (`trust.rotation.followed`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from appliance.agent.checkpointing import Checkpointer
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.rotation import SignedRotation
from appliance.errors import TrustError
from appliance.storage import audit, signed
from appliance.storage.database import Database
from appliance.trust import rotation
from appliance.trust.keys import SigningKey


class Cosign(Protocol):
    """Writes a checkpoint."""

    def __call__(self, *keys: SigningKey) -> None:
        """Sign how far the ledger is with all of *keys*."""


def cosigning(db: Database, signed_path: Path, clock: Clock) -> Cosign:
    """Return what signs one checkpoint while no daemon's checkpointer does."""

    def cosign(*keys: SigningKey) -> None:
        state = signed.read(signed_path)
        if state is None:
            return  # nothing was ever signed; the first checkpoint will be by the new key
        checkpointer = Checkpointer(
            db, signed_path, state, key=keys[-1], clock=clock, every_n=1, every_s=1.0, on_refused=lambda _reason: None
        )
        checkpointer.rekey(*keys)
        checkpointer.stop()

    return cosign


def rotate(
    home: Path,
    db: Database,
    *,
    device: str,
    moment: Moment,
    peer: str,
    reason: str,
    compromised: bool,
    cosign: Cosign,
    step: Callable[[str], None] = lambda _name: None,
) -> SigningKey:
    """Give the device a new key, and destroy the old one.

    Args:
        cosign: called once the rotation stands in the ledger, so that the checkpoint covers it.
        step: told the name of every boundary: for tests that cut the power there.

    Returns:
        The new key.

    Raises:
        TrustError: a key file cannot be read or written, or systemd was not given the next key.
        StorageError: the rotation could not be recorded; the old key stands.
    """
    old = rotation.current(home)
    new = rotation.prepare(home)
    step("prepared")
    before = rotation.kept(home)
    stated = rotation.stated(old, new, device=device, n=len(before) + 1, at=moment.at, compromised=compromised)
    facts: JsonObject = {
        "rotation": stated.model_dump(mode="json"),
        "key_id": new.key_id,
        "key_id_before": old.key_id,
        "peer": peer,
    }
    audit.append(db, AuditRecord(kind="key_rotated", moment=moment, facts=facts, personal={"reason": reason}))
    step("decided")  # committed: from here on the device's key is the new one
    try:
        _carry_out(home, stated, old, new, cosign, step)
    except TrustError as error:
        raise TrustError(f"the new key stands in the ledger, and the next start finishes it: {error}") from error
    return new


def finish(home: Path, db: Database, cosign: Cosign) -> bool:
    """Bring the key files to what the ledger says, at a start; what was not decided is dropped.

    Returns:
        Whether a rotation was finished now.

    Raises:
        TrustError: a key file cannot be read or written.
    """
    _repair(home, db)
    decided = newest(db)
    new = rotation.pending(home, decided)
    if decided is None or new is None:
        rotation.drop(home)
        return False
    _carry_out(home, decided, rotation.current(home), new, cosign, lambda _name: None)
    return True


def newest(db: Database) -> SignedRotation | None:
    """Return the last rotation that stands in the ledger, in this epoch or an earlier one."""
    found = recorded(db)
    return found[-1] if found else None


def recorded(db: Database) -> tuple[SignedRotation, ...]:
    """Return every rotation that stands in the ledger, in this epoch and in earlier ones, by number."""
    rows = db.rows(
        "select body from past where kind = 'key_rotated' union all select body from audit where kind = 'key_rotated'"
    )
    found = []
    for row in rows:
        # One that is not of this form is not ours; `audit verify` says what is wrong with the ledger.
        with contextlib.suppress(ValueError, KeyError, TypeError, ValidationError):
            found.append(SignedRotation.model_validate_json(json.dumps(json.loads(row["body"])["facts"]["rotation"])))
    return tuple(sorted(found, key=lambda rotated: rotated.statement.n))


def _repair(home: Path, db: Database) -> None:
    """Write the file of statements anew from the ledger if it is damaged or gone: a device starts in any case."""
    try:
        if rotation.kept(home):
            return
    except TrustError:
        rotation.rewrite(home, ())
    carried_out = recorded(db)
    if not carried_out:
        return
    present = rotation.current(home).public.raw.hex()
    while carried_out and carried_out[-1].statement.new_key != present:
        carried_out = carried_out[:-1]  # decided, and about to be carried out
    if carried_out:
        rotation.rewrite(home, carried_out)


def _carry_out(
    home: Path,
    decided: SignedRotation,
    old: SigningKey,
    new: SigningKey,
    cosign: Cosign,
    step: Callable[[str], None],
) -> None:
    cosign(*((new,) if decided.statement.compromised else (old, new)))
    step("cosigned")
    rotation.keep(home, decided)
    step("kept")
    rotation.install(home)
    step("installed")
