"""One line of the ledger, complete before it is written."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from appliance.contracts.record import JsonObject, Record

FORMAT = 1
"""Version of the canonical form; a change of any field's meaning raises it."""

GENESIS = "0" * 64
"""The hash before the first record of an epoch."""

RecordKind = Literal[
    "epoch",  # first of a database: which device, which predecessor
    "boot",
    "shutdown",
    "decided",  # committed before the act
    "step",  # an outcome, and the intent of the next call of the same request
    "settled",  # the last outcome
    "parked",  # waits for a person
    "indeterminate",  # decided before a crash; whether it happened is not known
    "resolved",  # a person said what became of an indeterminate one
    "refused_message",  # something from outside that was not even a request
    "illegal_trigger",
    "emergency",
    "gap",
    "note",
]


class Moment(Record):
    """When, on every clock the device has."""

    at: datetime
    """Wall clock, UTC."""

    monotonic_s: float
    boot: int
    """Counts the daemon's starts on this home."""

    clock: Literal["trusted", "untrusted"]


class AuditRecord(Record):
    """A record as handed to the ledger."""

    kind: RecordKind
    moment: Moment
    request_id: str | None = None
    facts: JsonObject = Field(default_factory=dict)
    """What anyone may read; leaves the device when a controller is enrolled."""

    personal: JsonObject = Field(default_factory=dict)
    """What a person said; only a salted commitment to each value is part of the hashed body."""


class AuditRow(Record):
    """A record as it lies in the ledger."""

    seq: int
    kind: str
    request_id: str | None
    at: str
    body: str
    """Canonical JSON: exactly the bytes that are hashed."""

    personal: JsonObject | None
    """`{name: {"salt", "value"}}`, or None once erased."""

    hash: str
    """SHA-256 over the previous hash (32 bytes) and the body's bytes, hexadecimal."""
