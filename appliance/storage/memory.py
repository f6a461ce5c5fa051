"""A device's database without a file: for thousands of simulated devices in one process.

Covers: the tables that the software makes, by its own migrations. Does not cover: durability, and the views that
people read a ledger with; each connection would parse them, which is most of what an empty database costs.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from appliance.storage.database import Database, open_database

CACHE_KIB: Final = 64
"""Of each database; the default of 2 MB is for one, not for thousands."""


def blank() -> bytes:
    """Return an empty database, as `copy_of` takes it."""
    with tempfile.TemporaryDirectory(prefix="blank-") as folder:
        path = Path(folder) / "blank.db"
        open_database(path).db.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = delete").fetchone()  # a copy in memory has no log beside it
            for (name,) in connection.execute("select name from sqlite_schema where type = 'view'").fetchall():
                connection.execute(f'drop view "{name}"')
            connection.execute("vacuum")
            return connection.serialize()


def copy_of(template: bytes, *, epoch: str) -> Database:
    """Return a database of its own in memory, with a beginning of its own."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=32)
    connection.deserialize(template)
    connection.row_factory = sqlite3.Row
    connection.execute(f"pragma cache_size = -{CACHE_KIB}")
    connection.execute("update meta set value = ? where key = 'epoch'", (epoch,))
    return Database(Path(":memory:"), connection)
