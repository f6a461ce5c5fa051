"""Makes large ledgers for the benchmarks: real records in a real file, written without a power cut in mind."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from appliance.contracts.tree import leaf_hash
from appliance.storage import audit, checkpoints, database, tree
from appliance.trust import keys, notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Checkpoint

EPOCH: Final = "bench"
ORIGIN: Final = f"edge-agent-appliance/bench/{EPOCH}"
BEGAN: Final = datetime(2026, 11, 22, tzinfo=UTC)

CALL: Final = {
    "confidence": 0.9731,
    "gen_ai.tool.call.arguments": {"level_pct": 30, "room": "workshop"},
    "gen_ai.tool.name": "set_light_level",
    "postcondition": True,
    "rules": {name: {"said": "allow", "values": {"seen": 1, "limit": 12}} for name in (
        "emergency-stop", "recordable", "disabled", "roles", "bounds", "rate", "confidence", "risk"
    )},
    "spans": {"level_pct": [28, 30], "room": [8, 16]},
    "state": "done",
    "verdict": {"rule": "confidence", "verdict": "allow"},
}  # fmt: skip
FACTS: Final = {
    "asked_as": "ask",
    "calls": [CALL],
    "configured_by": 3,
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.request.model": "house-26m",
    "latency": {"decode_ms": 11.25, "infer_ms": 31.5, "total_ms": 48.75},
    "origin": {"correlation": None, "kind": "operator", "peer": "uid:1000 pid:4242", "role": "operator"},
    "proposal": {"abstain": 0.0125, "candidates": [["set_light_level", 0.97], ["dim", 0.01]], "tokens_n": 17},
    "status": "done",
    "versions": {"bundle": "house", "bundle_sha256": "0" * 64, "runtime": "litert 2.2", "software": "0.1.0"},
}


def make(path: Path, rows_n: int, *, checkpoint_every_n: int = 256) -> SigningKey:
    """Write a ledger of *rows_n* records to *path*, signed as a device would.

    Returns:
        The key that signed.
    """
    key = keys.load_or_make(path.parent / "bench.key")
    db = database.open_database(path, epoch=EPOCH).db
    connection = db.connection
    connection.execute("pragma synchronous = off")
    connection.execute("pragma wal_autocheckpoint = 10000")
    done = audit.size(connection)
    while done < rows_n:
        first, done = done + 1, min(done + tree.WIDTH, rows_n)
        with db.atomic():
            connection.executemany(
                "insert into audit (seq, kind, request_id, at, leaf, body, personal) values (?, ?, ?, ?, ?, ?, ?)",
                map(row, range(first, done + 1)),
            )
            tree.grow(connection, done)
            if done % checkpoint_every_n == 0 or done == rows_n:
                text = str(Checkpoint(ORIGIN, done, tree.root(connection, done)))
                checkpoints.add(db, done, BEGAN, str(notes.sign(text, ORIGIN, key)))
    db.checkpoint()
    db.close()
    return key


def row(seq: int) -> tuple[object, ...]:
    """Return record number *seq* as the table holds it: facts anyone may read, words behind commitments."""
    at = BEGAN + timedelta(seconds=seq)
    words = {
        "calls": [{"arguments": {}, "message": f"The workshop lights are at 30 percent ({seq})."}],
        "reason": f"The workshop lights are at 30 percent ({seq}).",
        "text": f"dim the workshop lights to 30 please ({seq})",
    }
    personal, commitments = {}, {}
    for name, value in words.items():
        personal[name] = kept = {"salt": f"{seq:032x}", "value": value}
        commitments[name] = hashlib.sha256(_canonical(kept)).hexdigest()
    kind, request_id = ("decided", "settled")[seq % 2], f"{seq // 2:016x}"
    said = {
        "at": at.isoformat().replace("+00:00", "Z"),
        "boot": 7,
        "clock": "trusted",
        "facts": FACTS,
        "format": 2,
        "kind": kind,
        "monotonic_s": seq + 0.5,
        "personal": commitments,
        "request_id": request_id,
        "seq": seq,
    }
    body = _canonical(said)
    return seq, kind, request_id, at.isoformat(), leaf_hash(body), body.decode(), _canonical(personal).decode()


def _canonical(value: object) -> bytes:
    """Return the canonical bytes of a value that has only what is written alike in JSON and in RFC 8785."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
