"""One moment of a ledger to look at, whatever a daemon writes to it meanwhile.

Covers: records appended, pruned or redacted during the look (it sees none of that), an epoch that ends (the same), a
pruning whose checkpoint is about to be signed (waited for: until then the records look as if somebody had taken them).
Does not cover: a copy that was made between a pruning and its checkpoint; the next start of the device signs it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.errors import StorageError
from appliance.ledger import segments, shape
from appliance.ledger.segments import Table
from appliance.storage.retention import LANDMARKS

SIGNED_WITHIN_S: Final = 5.0
"""How long after a pruning its checkpoint is waited for: three fsyncs, which a slow card does in half a second."""

_LOOK_EVERY_S: Final = 0.05


@contextmanager
def taken(path: Path, epoch: str | None) -> Iterator[tuple[sqlite3.Connection, Table]]:
    """Lend a connection that sees the database at *path* as it is now, and say where the records of *epoch* lie.

    Raises:
        StorageError: there is no such database, or SQLite cannot read it.
    """
    connection = segments.connect(path)
    try:
        given_up_s = time.monotonic() + SIGNED_WITHIN_S
        while True:
            connection.execute("begin")
            current = segments.current_epoch(connection, path)  # the first read decides which moment it is
            if not _is_about_to_be_signed(connection, path, current) or time.monotonic() > given_up_s:
                break
            connection.execute("rollback")
            time.sleep(_LOOK_EVERY_S)
        yield connection, Table(path, epoch or current, epoch in (None, current))
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{path} cannot be read: {error}; it is damaged, or not an appliance's") from error
    finally:
        connection.close()


def _is_about_to_be_signed(connection: sqlite3.Connection, path: Path, epoch: str) -> bool:
    """Tell whether the newest pruning is younger than the newest checkpoint, in a file that somebody has open."""
    if not path.with_name(f"{path.name}-wal").exists() or shape.fault(connection) is not None:
        return False
    pruned = connection.execute(f"select max(seq) from audit where {LANDMARKS} and kind = 'pruned'")  # noqa: S608 -- our own text
    signed = connection.execute("select max(size) from checkpoints where epoch = ?", (epoch,))
    said_by, size = pruned.fetchone()[0], signed.fetchone()[0]
    return said_by is not None and size is not None and said_by > size
