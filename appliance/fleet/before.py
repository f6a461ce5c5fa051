"""A controller's SQLite file as versions before PostgreSQL wrote it, to the first step of the present list.

They used sqlite-utils, which kept what it had applied in `_sqlite_migrations`; its table is dropped, so that such a
version refuses the file instead of writing into tables that it does not know.
"""

from __future__ import annotations

import json
from typing import Final

from appliance.contracts.tree import leaf_hash
from appliance.fleet.store import Store

_APPLIED: Final = "_sqlite_migrations"

_TREES: Final = (
    "alter table records add column leaf blob",
    "alter table streams drop column hash",
    """create table nodes (
    device text, epoch text, height integer, n integer, hash blob not null, primary key (device, epoch, height, n)
)""",
    """create table checkpoints (
    device text, epoch text, size integer, root blob, note text not null, received_at text, checked integer not null,
    primary key (device, epoch, size, root)
)""",
    """create table epochs (
    device text, epoch text, began_at text, cites text, standing text, primary key (device, epoch)
)""",
    """create table rotations (
    device text, new_key text, old_key text, at text, statement text, accepted_at text, primary key (device, new_key)
)""",
)


def is_from_before(store: Store) -> bool:
    """Tell whether such a version made *store*."""
    return store.has_table(_APPLIED)


def bring_up(store: Store) -> None:
    """Give it what the last of those versions had; part of the caller's transaction."""
    applied = {row["name"] for row in store.rows(f"select name from {_APPLIED}")}  # noqa: S608 -- our own constant
    if applied and "m002_ledgers" not in applied:
        for sql in _TREES:
            store.execute(sql)
        for row in store.rows("select rowid, body from records where stream = 'audit'"):
            leaf = leaf_hash(str(json.loads(row["body"]).get("body", "")).encode())
            store.execute("update records set leaf = ? where rowid = ?", [leaf, row["rowid"]])
    store.execute(f"drop table {_APPLIED}")
