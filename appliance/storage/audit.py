"""The ledger's table: append, read, and the hash that ties each row to the one before."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator

from appliance.contracts.audit import FORMAT, GENESIS, AuditRecord, AuditRow
from appliance.contracts.canonical import canonical, digest
from appliance.contracts.record import JsonObject
from appliance.storage.database import Database


def append(db: Database, record: AuditRecord) -> int:
    """Write *record* durably (at the end of the surrounding transaction, if there is one).

    Returns:
        Its sequence number, 1 for the first of an epoch.
    """
    with db.atomic() as connection:
        last = connection.execute("select seq, hash from audit order by seq desc limit 1").fetchone()
        seq, previous = (1, GENESIS) if last is None else (last["seq"] + 1, last["hash"])
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
        connection.execute(
            "insert into audit (seq, kind, request_id, at, body, personal, hash) values (?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                record.kind,
                record.request_id,
                record.moment.at.isoformat(),
                body.decode(),
                canonical(kept).decode() if kept else None,
                chained(previous, body),
            ),
        )
        return seq


def chained(previous: str, body: bytes) -> str:
    """Return the hash of a row: SHA-256 over the previous hash's 32 bytes and the body's bytes."""
    return hashlib.sha256(bytes.fromhex(previous) + body).hexdigest()


def commitment(salt: str, value: object) -> str:
    """Return what the hashed body holds in place of a personal value."""
    return digest({"salt": salt, "value": value})


def rows(connection: sqlite3.Connection, *, after: int = 0, limit: int = -1) -> Iterator[AuditRow]:
    """Read rows in order, from any connection, a read-only one too."""
    cursor = connection.execute(
        "select seq, kind, request_id, at, body, personal, hash from audit where seq > ? order by seq limit ?",
        (after, limit),
    )
    for row in cursor:
        yield AuditRow(
            seq=row["seq"],
            kind=row["kind"],
            request_id=row["request_id"],
            at=row["at"],
            body=row["body"],
            personal=None if row["personal"] is None else json.loads(row["personal"]),
            hash=row["hash"],
        )


def of_request(db: Database, request_id: str) -> list[AuditRow]:
    """Return every row of one request, in order."""
    found = db.rows("select seq from audit where request_id = ? order by seq", (request_id,))
    with db.reading() as connection:
        return [next(rows(connection, after=r["seq"] - 1, limit=1)) for r in found]


def head(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return the newest row's number and hash; `(0, GENESIS)` for an empty ledger."""
    row = connection.execute("select seq, hash from audit order by seq desc limit 1").fetchone()
    return (0, GENESIS) if row is None else (row["seq"], row["hash"])
