"""The controller's tables, as a list of steps; sqlite-utils keeps which were applied."""

from __future__ import annotations

import json

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from appliance.contracts.tree import leaf_hash

migrations = Migrations("fleet")


@migrations()
def m001_fleet(db: Database) -> None:
    """Devices, what they reported, what was sent to them, and what was wrong."""
    db.table("meta").create({"key": str, "value": str}, pk="key")
    db.table("devices").create(
        {
            "device": str,
            "site": str,
            "public_key": str,
            "role": str,  # of this controller at the device
            "hardware_id": str,
            "enrolled_at": str,
            "state": str,
            "boot": int,
            "session": int,
            "nonce": str,
            "time": str,
            "epoch": str,
            "counter": int,  # the highest of ours that the device has seen
            "state_at": str,
            "seen_at": str,  # by our clock
            "desc": str,
        },
        pk="device",
        not_null={"site", "public_key", "enrolled_at"},
    )
    db.table("streams").create(
        {"device": str, "epoch": str, "stream": str, "upto": int, "hash": str},
        pk=("device", "epoch", "stream"),
        not_null={"upto"},
    )
    db.table("records").create(
        {
            "device": str,
            "epoch": str,
            "stream": str,
            "seq": int,
            "id": str,
            "kind": str,
            "at": str,
            "body": str,
            "received_at": str,
        },
        pk=("device", "epoch", "stream", "seq"),
        not_null={"id", "kind", "body"},
    )
    db.table("gaps").create(
        {"device": str, "epoch": str, "stream": str, "first": int, "last": int, "noticed_at": str},
        pk=("device", "epoch", "stream", "first"),
    )
    db.table("faults").create(
        {"device": str, "what": str, "text": str, "first_at": str, "last_at": str, "times": int},
        pk=("device", "what"),
    )
    db.table("commands").create(
        {"correlation": str, "device": str, "kind": str, "body": str, "issued_at": str, "expires_at": str},
        pk="correlation",
    )
    db.table("answers").create(
        {
            "device": str,
            "correlation": str,
            "life": str,
            "status": int,
            "code": str,
            "text": str,
            "result": str,
            "at": str,
            "received_at": str,
        },
        pk=("device", "correlation", "life"),
    )


@migrations()
def m002_ledgers(db: Database) -> None:
    """The ledgers' trees, the checkpoints that devices signed, and the keys that they signed with."""
    db.execute("alter table records add column leaf blob")  # of `audit` alone
    for row in list(db.query("select rowid, body from records where stream = 'audit'")):
        leaf = leaf_hash(str(json.loads(row["body"]).get("body", "")).encode())
        db.execute("update records set leaf = ? where rowid = ?", [leaf, row["rowid"]])
    db.table("streams").transform(drop={"hash"})
    db.table("nodes").create(
        {"device": str, "epoch": str, "height": int, "n": int, "hash": bytes},
        pk=("device", "epoch", "height", "n"),
        not_null={"hash"},
    )
    db.table("checkpoints").create(
        {
            "device": str,
            "epoch": str,
            "size": int,
            "root": bytes,
            "note": str,
            "received_at": str,
            "checked": int,  # 1: agrees with the records, 0: they are not here yet, -1: it does not
        },
        pk=("device", "epoch", "size", "root"),
        not_null={"note", "checked"},
    )
    db.table("epochs").create(
        {"device": str, "epoch": str, "began_at": str, "cites": str, "standing": str},
        pk=("device", "epoch"),
    )
    db.table("rotations").create(
        {
            "device": str,
            "new_key": str,
            "old_key": str,
            "at": str,
            "statement": str,  # as both keys signed it
            "accepted_at": str,
        },
        pk=("device", "new_key"),
    )
