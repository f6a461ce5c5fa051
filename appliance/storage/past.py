"""An epoch's end, in place: its records move to `past`, and the next epoch begins empty, citing it.

A ledger goes on in a new epoch when its database is not the continuation of what the device last signed: a copy was
brought back, the file was exchanged, cut or damaged. A copy is older than what it replaces, so what could be done or
sent a second time is left out.

Covers: a power cut between any two steps (the old epoch stands until the last one, and the whole is done again).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from appliance.contracts.audit import AuditRow
from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.storage import database, meta, runs, schedules
from appliance.storage.database import Database
from appliance.storage.schedules import ScheduledKind

_MOVED_AT_ONCE_N: Final = 2_000
"""Records in one transaction of the move: about 4 MB of write-ahead log."""

_CITED: Final = "cited"

_RUNS_GO_ON: Final = frozenset({"first", "damaged"})
"""Beginnings that leave workflows where they are: there are none yet, or salvaging has looked at each."""


class Cited(NamedTuple):
    """What the first record of a new epoch says of the one before."""

    reason: str
    """Why there is a new epoch: `restored`, `rolled_back`, `swapped`, `key_lost`, `damaged`, `lost`."""

    predecessor: JsonObject | None
    """The last known state: epoch, size, root, and the newest checkpoint's note, if one is known."""

    found: JsonObject | None = None
    """What lay in the file instead, where that differs: epoch, size, root, and the key that signed it."""


def end_epoch(db: Database, now: datetime, cited: Cited) -> str:
    """End the current epoch: its records can still be read and verified, nothing under way is carried on.

    Kept: notes, schedules still to come, settled requests; runs of workflows, in doubt. Left out: requests that were
    under way, notices that were due before *now*, undo, everything that waited for a controller.

    Returns:
        The new epoch; its first record is still to be written.

    Raises:
        StorageError: no room; the old epoch stands.
    """
    old = database.epoch(db)
    row = db.row("select max(seq) as newest from audit")
    newest = int(row["newest"] or 0) if row is not None else 0
    for after in range(0, newest, _MOVED_AT_ONCE_N):
        db.execute(
            "insert or ignore into past (epoch, seq, kind, request_id, at, body, personal, leaf)"
            " select ?, seq, kind, request_id, at, body, personal, leaf from audit where seq > ? and seq <= ?",
            (old, after, after + _MOVED_AT_ONCE_N),
        )
    epoch = secrets.token_hex(8)
    with db.atomic() as connection:
        connection.execute("delete from audit")
        connection.execute("delete from inbox where status <> 'done'")
        for waiting in schedules.waiting(db):
            if waiting.kind is not ScheduledKind.WEEKLY and waiting.due_at <= now:
                schedules.remove(db, waiting.schedule_id)
        connection.execute("delete from undo")
        connection.execute("delete from outbox")
        connection.execute("delete from replies")
        connection.execute("delete from updates")
        connection.execute("update streams set sent = 0, acked = 0")
        meta.put(db, "epoch", epoch)
        cite(db, cited)
    return epoch


def take_over(
    db: Database,
    epoch: str,
    records: Iterable[AuditRow],
    *,
    roots: Iterable[tuple[int, int, bytes]] = (),
    checkpoints: Iterable[tuple[int, str, str]] = (),
) -> int:
    """Keep what is left of the ledger of another file, under the epoch that it had.

    Args:
        epoch: the earlier epoch, not the current one.
        roots: `(level, n, hash)` of its tree, as many as could be read.
        checkpoints: `(size, at, note)` of it, as many as could be read.

    Returns:
        How many records were taken.

    Raises:
        StorageError: no room; what was taken so far stays, and taking it again is harmless.
    """
    taken = 0
    batch: list[tuple[object, ...]] = []
    for record in records:
        personal = None if record.personal is None else canonical(record.personal).decode()
        batch.append((epoch, record.seq, record.kind, record.request_id, record.at, record.body, personal, record.leaf))
        if len(batch) == _MOVED_AT_ONCE_N:
            taken += _insert(db, batch)
            batch = []
    taken += _insert(db, batch)
    with db.atomic() as connection:
        connection.executemany("insert or ignore into tree values (?, ?, ?, ?)", ((epoch, *root) for root in roots))
        connection.executemany(
            "insert or ignore into checkpoints (epoch, size, at, note) values (?, ?, ?, ?)",
            ((epoch, *checkpoint) for checkpoint in checkpoints),
        )
    return taken


def cite(db: Database, cited: Cited) -> None:
    """Keep what the first record of the epoch that now begins will say of the one before."""
    meta.put(db, _CITED, json.dumps(cited._asdict()))
    if cited.reason not in _RUNS_GO_ON:
        runs.doubt(db, f"a new ledger began here ({cited.reason.replace('_', ' ')})")


def cited(db: Database) -> Cited | None:
    """Return what the first record is to cite, None where nothing went before in this file."""
    kept = meta.get(db, _CITED)
    return None if kept is None else Cited(**json.loads(kept))


def was_cited(db: Database) -> None:
    """Forget what has been written down; part of the transaction that does."""
    db.execute("delete from meta where key = ?", (_CITED,))


def _insert(db: Database, batch: list[tuple[object, ...]]) -> int:
    with db.atomic() as connection:
        return connection.executemany(
            "insert or ignore into past (epoch, seq, kind, request_id, at, body, personal, leaf)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            batch,
        ).rowcount
