"""Ledger rows to a verdict: is this the history that was written.

Covers: an edited, deleted, inserted or reordered row; a personal value exchanged for another; with a checkpoint and the
device's public key also a cut tail, a fork, and a rewritten or exchanged database.
Does not cover: without a checkpoint, a database rewritten from the first row by somebody who has the whole file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from appliance.contracts.audit import GENESIS, AuditRow
from appliance.contracts.canonical import canonical
from appliance.contracts.record import Record
from appliance.errors import WireError
from appliance.storage import audit

State = Literal["anchored", "consistent-unanchored", "broken"]

UNANCHORED = (
    "The rows are consistent with each other. Without a checkpoint signed by the device this does not prove that rows "
    "were not cut off at the end, nor that the whole ledger was not written anew."
)


class Anchor(Record):
    """A signed statement of the device: at row `seq` of `epoch` the hash was `hash`."""

    device: str
    epoch: str
    seq: int
    hash: str


class Verification(Record):
    """What a look at the ledger found."""

    state: State
    epoch: str
    rows_n: int
    head: str
    bad_seq: int | None = None
    reason: str = ""


def verify(rows: Iterable[AuditRow], epoch: str, anchor: Anchor | None = None) -> Verification:
    """Check every row; stop at the first that is not what was written.

    Args:
        anchor: a checkpoint whose signature has already been checked.
    """
    previous, seq = GENESIS, 0
    if anchor is not None and anchor.epoch != epoch:
        reason = f"the checkpoint is of epoch {anchor.epoch}: this is another, or a rewritten, database"
        return Verification(state="broken", epoch=epoch, rows_n=0, head=previous, bad_seq=1, reason=reason)
    for row in rows:
        fault = _fault(row, seq + 1, previous)
        if fault is None and anchor is not None and row.seq == anchor.seq and row.hash != anchor.hash:
            fault = "it differs from what the device stated: this history is not the one that it wrote"
        if fault is None and row.kind == "epoch" and json.loads(row.body)["facts"].get("epoch") != epoch:
            fault = f"it begins another epoch than {epoch}, the one that the database claims"
        if fault is not None:
            return Verification(state="broken", epoch=epoch, rows_n=seq, head=previous, bad_seq=seq + 1, reason=fault)
        previous, seq = row.hash, row.seq
    if anchor is None:
        return Verification(state="consistent-unanchored", epoch=epoch, rows_n=seq, head=previous, reason=UNANCHORED)
    if seq < anchor.seq:
        reason = f"the device stated {anchor.seq} rows, {seq} are here: the end is missing"
        return Verification(state="broken", epoch=epoch, rows_n=seq, head=previous, bad_seq=seq + 1, reason=reason)
    return Verification(state="anchored", epoch=epoch, rows_n=seq, head=previous)


def _fault(row: AuditRow, expected: int, previous: str) -> str | None:
    """Say what is wrong with *row*, if anything."""
    if row.seq != expected:
        return f"row {expected} is missing or out of order (found {row.seq})"
    try:
        body: Any = json.loads(row.body)
        personal: Any = row.personal or {}
        if audit.chained(previous, row.body.encode()) != row.hash:
            return "its bytes do not give its hash, or the row before was exchanged"
        if canonical(body) != row.body.encode():
            return "its bytes are not in canonical form"
        if (body["seq"], body["kind"], body["request_id"]) != (row.seq, row.kind, row.request_id):
            return "its columns differ from its hashed body"
        for name, kept in personal.items():
            if audit.commitment(kept["salt"], kept["value"]) != body["personal"].get(name):
                return f"its personal value {name!r} is not the one that was committed to"
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeError, WireError) as error:
        return f"it cannot be read: {error}"
    return None
