"""The ledger's table: append and read. Each record is a leaf of the epoch's tree (`storage.tree`)."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator

from appliance.contracts.audit import FORMAT, AuditRecord, AuditRow
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.record import JsonObject
from appliance.contracts.tree import leaf_hash
from appliance.errors import StorageError
from appliance.storage import tree
from appliance.storage.database import Database


def append(db: Database, record: AuditRecord) -> int:
    """Write *record* durably (at the end of the surrounding transaction, if there is one).

    Returns:
        Its sequence number, 1 for the first of an epoch.

    Raises:
        StorageError: it was not written, or not as it was handed over; nothing of the transaction remains.
    """
    with db.atomic() as connection:
        seq = size(connection) + 1
        kept: JsonObject = {}
        commitments: JsonObject = {}
        for name, value in record.personal.items():
            salt = secrets.token_hex(16)
            kept[name] = {"salt": salt, "value": value}
            commitments[name] = commitment(salt, value)
        body = canonical(
            {
                "format": FORMAT,
                "seq": seq,
                "kind": record.kind,
                "request_id": record.request_id,
                **record.moment.model_dump(mode="json"),
                "facts": record.facts,
                "personal": commitments,
            }
        )
        row = (
            seq,
            record.kind,
            record.request_id,
            record.moment.at.isoformat(),
            leaf_hash(body),
            body.decode(),
            canonical(kept).decode() if kept else None,
        )
        connection.execute(
            "insert into audit (seq, kind, request_id, at, leaf, body, personal) values (?, ?, ?, ?, ?, ?, ?)", row
        )
        # A trigger that somebody put into the file can swallow or change a row, and SQLite calls that a success.
        is_kept = connection.execute(
            "select 1 from audit where seq = ? and kind = ? and request_id is ? and at = ? and leaf = ? and body = ?"
            " and personal is ?",
            row,
        ).fetchone()
        if is_kept is None or size(connection) != seq:
            raise StorageError(
                f"{db.path}: record {seq} was not kept as it was written; something in the file interferes, restart the"
                " daemon: it removes what is not the appliance's"
            )
        tree.grow(connection, seq)
        return seq


def commitment(salt: str, value: object) -> str:
    """Return what the hashed body holds in place of a personal value."""
    return digest({"salt": salt, "value": value})


def rows(
    connection: sqlite3.Connection, *, after: int = 0, limit: int = -1, epoch: str | None = None
) -> Iterator[AuditRow]:
    """Read rows in order, from any connection, a read-only one too; those of an earlier *epoch* if one is named."""
    columns = "select seq, kind, request_id, at, body, personal, leaf"
    if epoch is None or epoch == tree.current(connection):
        cursor = connection.execute(f"{columns} from audit where seq > ? order by seq limit ?", (after, limit))
    else:
        cursor = connection.execute(
            f"{columns} from past where epoch = ? and seq > ? order by seq limit ?", (epoch, after, limit)
        )
    for row in cursor:
        yield AuditRow(
            seq=row["seq"],
            kind=row["kind"],
            request_id=row["request_id"],
            at=row["at"],
            body=row["body"],
            personal=None if row["personal"] is None else json.loads(row["personal"]),
            leaf=row["leaf"],
        )


def of_request(db: Database, request_id: str) -> list[AuditRow]:
    """Return every row of one request, in order."""
    found = db.rows("select seq from audit where request_id = ? order by seq", (request_id,))
    with db.reading() as connection:
        return [next(rows(connection, after=r["seq"] - 1, limit=1)) for r in found]


def size(connection: sqlite3.Connection, epoch: str | None = None) -> int:
    """Return how many records the epoch has, pruned ones counted: the newest record's number, 0 before the first."""
    if epoch is None or epoch == tree.current(connection):
        row = connection.execute("select max(seq) as n from audit").fetchone()
    else:
        row = connection.execute("select max(seq) as n from past where epoch = ?", (epoch,)).fetchone()
    return int(row["n"] or 0)


def head(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return the epoch's size and the root over it, in hexadecimal."""
    newest = size(connection)
    return newest, tree.root(connection, newest).hex()
