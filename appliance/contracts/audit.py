"""One line of the ledger, complete before it is written."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from appliance.contracts.record import JsonObject, Record

FORMAT = 2
"""Version of the canonical form; a change of any field's meaning raises it. 1 was tied by a chain of hashes."""

RecordKind = Literal[
    "epoch",  # first of a database: which device, which predecessor
    "boot",  # the appliance started
    "shutdown",  # it ended in good order
    "decided",  # committed before the act
    "step",  # an outcome, and the intent of the next call of the same request
    "settled",  # the last outcome
    "parked",  # waits for a person
    "indeterminate",  # decided before a crash; whether it happened is not known
    "resolved",  # a person said what became of an indeterminate one
    "refused_message",  # something from outside that was not even a request
    "command",  # what a controller had done that is no request: a configuration, laws, an export, a diagnosis
    "illegal_trigger",  # something wanted an arrow that the lifecycle has not
    "emergency",  # the stop was latched, or let go
    "run",  # a step of a declared workflow
    "laws",  # the owner's laws were put into force, or could not be
    "people",  # somebody was enrolled, removed, or gave wrong PINs
    "maintenance",  # the maintenance lock was set, or let go
    "configured",  # tools, laws and thresholds from here on, whole: what a replay needs
    "pruned",  # sealed segments left the device; their roots stay
    "redacted",  # personal values were erased
    "hold",  # what may not be pruned or redacted, and the end of that
    "key_rotated",  # a new device key, signed by the old one
    "bundle",  # a bundle was installed, tried, activated, kept or sent back; a root or revocation list came
    "salvaged",  # what was saved from a damaged predecessor
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

    leaf: bytes
    """SHA-256 over a zero byte and the body's bytes: the record's leaf in the tree."""
