"""A ledger to a verdict: is this the history that was written.

Covers: a record that was edited, deleted, inserted or moved; a personal value exchanged for another; with a checkpoint
kept elsewhere and the device's public key also a cut end, a fork, and a rewritten or exchanged database. Understands
records that were pruned (their roots stay), personal values that were erased, earlier epochs, and changes of the key.
Does not cover: without a key and a checkpoint, a ledger rewritten from the first record by somebody who has the file;
records younger than the newest checkpoint; whether what was recorded is what happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.ledger import shape, snapshot
from appliance.ledger.looking import Look
from appliance.ledger.verdict import NOTHING, Given, Verification
from appliance.storage import schema_guard


def verify(
    path: Path,
    given: Given = NOTHING,
    *,
    epoch: str | None = None,
    progress: Callable[[int], None] = lambda _rows_n: None,
) -> Verification:
    """Check the ledger in the database at *path* as it is now; stops at the first thing that is wrong.

    Args:
        epoch: an earlier one, the current one when absent.
        progress: told how many records have been checked since it was told last.

    Raises:
        StorageError: there is no such database or epoch, or SQLite cannot read it.
        TrustError: the checkpoint that was given is not signed by the key that was given.
    """
    with snapshot.taken(path, epoch) as (connection, table):
        try:
            said = shape.fault(connection)
            if said is None and (faults := schema_guard.faults(connection)):
                said = f"the schema is not the appliance's: {'; '.join(faults[:3])}"
            if said is not None:
                return Verification(state="broken", epoch=table.epoch, bad_seq=1, bad_upto=1, reason=said)
            return Look(connection, table, given, progress).verdict()
        except (ApplianceError, sqlite3.Error):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever somebody thought of to put into a file is a finding, never a crash
            reason = f"it cannot be read: {type(error).__name__}: {error}"[:500]
            return Verification(state="broken", epoch=table.epoch, bad_seq=1, bad_upto=1, reason=reason)
