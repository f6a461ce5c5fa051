"""The controller's tables to a page of the documentation."""

from __future__ import annotations

from pathlib import Path

from appliance.fleet import schema
from appliance.fleet.store_sqlite import SqliteStore


def page(stamp: str) -> str:
    """Return docs/reference/fleet-schema.md."""
    store = SqliteStore(Path(":memory:"))
    try:
        schema.migrate(store)
        rows = store.rows("select sql from sqlite_schema where sql is not null order by name")
    finally:
        store.close()
    steps = "\n".join(f"{n}. `{step.name}`" for n, step in enumerate(schema.STEPS, start=1))
    tables = "\n".join(f"```sql\n{row['sql']};\n```\n" for row in rows)
    return (
        f"# The controller's database\n\n{stamp}\n"
        "`fleet.db` in the controller's folder, or a PostgreSQL database: the same tables by the same steps. What\n"
        'follows is SQLite\'s form; in PostgreSQL the keys are `text collate "C"` and `blob` is `bytea`. Times are\n'
        "ISO 8601 text with an offset (`received_at::timestamptz` in PostgreSQL). Read it with any tool; written by\n"
        "hand, it loses what it promises. [Why it is so](../explanation/the-collector.md).\n\n"
        f"## Steps\n\n{steps}\n\n## Tables\n\n{tables}"
    )
