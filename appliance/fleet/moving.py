"""A controller's rows from its SQLite file to PostgreSQL: all of them, in one transaction, or none."""

from __future__ import annotations

from typing import Final

from appliance.errors import UsageError
from appliance.fleet.home import FleetHome, PostgresqlSettings, open_store
from appliance.fleet.schema import TABLES, migrate
from appliance.fleet.store import Store

PAGE_N: Final = 5000


def move(home: FleetHome, to: PostgresqlSettings) -> int:
    """Copy everything, and use PostgreSQL from the next start on; the file is left as it is.

    Returns:
        How many records there are now.

    Raises:
        UsageError: the controller uses PostgreSQL already, or there is something in that database.
        SettingsError: where it is cannot be told.
        StorageError: one of the two cannot be read or written; nothing was changed.
    """
    if home.settings.postgresql is not None:
        raise UsageError(f"{home.path} uses PostgreSQL already")
    target = open_store(home.path, to)
    try:
        migrate(target)
        # Written by nobody while it is read: SQLite's writer is alone.
        with home.db.alone(), target.alone():
            for table in TABLES:
                if target.row(f"select 1 as one from {table} limit 1") is not None:  # noqa: S608 -- our own tables
                    raise UsageError(f"{target.where}: there is something in {table}; an empty database is wanted")
            for table in TABLES:
                _copy(home.db, target, table)
            records = target.row("select count(*) as n from records")
        home.use_database(to)
    finally:
        target.close()
    return 0 if records is None else int(records["n"])


def _copy(source: Store, target: Store, table: str) -> None:
    last = 0
    while page := source.rows(
        f"select rowid as _n, * from {table} where rowid > ? order by rowid limit ?",  # noqa: S608 -- our own tables
        [last, PAGE_N],
    ):
        columns = [name for name in page[0] if name != "_n"]
        target.add(table, columns, ([row[name] for name in columns] for row in page))
        last = int(page[-1]["_n"])
