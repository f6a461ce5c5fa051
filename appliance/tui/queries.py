"""The ledger to what the console shows: read-only, and only when something was written.

Personal words are shown as long as the device keeps them; they never leave it through here.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from appliance.contracts import steps_plainly
from appliance.contracts.audit import AuditRow
from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.workflow import Step
from appliance.errors import StorageError
from appliance.storage import audit, database

READ_BACK_ROWS_N: Final = 600
"""How much of the ledger is read at the start: about 200 requests."""

KEPT_N: Final = 300

_EVENTS: Final = {
    "boot": "the appliance started",
    "shutdown": "the appliance ended",
    "epoch": "a new ledger began",
    "emergency": "",  # said by its facts
    "refused_message": "",
    "command": "",
    "gap": "a gap",
    "key_rotated": "the device has a new key",
    "salvaged": "what could be saved of a damaged database was saved",
    "pruned": "old records left the device; their roots stay",
    "redacted": "words that people said were erased",
    "hold": "a hold on records was set or released",
    "laws": "the laws were read",
    "people": "the list of people changed, or a wrong PIN was given",
    "run": "",
}
"""What happens to the device itself, in words."""


class Entry(NamedTuple):
    """One line of the history: a request, or something that happened to the device."""

    key: str
    seq: int
    """Its newest row in the ledger."""

    at: datetime
    kind: str
    """`request`, or the kind of the device's event."""

    status: str
    text: str
    reason: str = ""
    origin: str = ""


class History:
    """The newest part of the ledger, kept up to date."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = None
        self._version = -1
        self._seq = 0
        self._entries: dict[str, Entry] = {}

    def reopen(self) -> None:
        """Forget everything and read the file anew: the daemon may have started a new one."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._version, self._seq, self._entries = None, -1, 0, {}

    def has_changed(self) -> bool:
        """Return whether something was written since the last look; costs one pragma."""
        try:
            reader = self._open()
            version = int(reader.execute("pragma data_version").fetchone()[0])
        except (StorageError, sqlite3.Error):
            return False
        changed, self._version = version != self._version, version
        return changed

    def entries(self) -> list[Entry]:
        """Return the newest entries, newest first; none when there is no database yet.

        Raises:
            StorageError: the database cannot be read.
        """
        if not self._path.exists():
            return []
        try:
            reader = self._open()
            after = self._seq or max(0, audit.head(reader)[0] - READ_BACK_ROWS_N)
            for row in audit.rows(reader, after=after):
                self._seq = row.seq
                self._add(row)
        except (sqlite3.Error, ValueError) as error:
            raise StorageError(f"{self._path}: the ledger cannot be read: {error}") from error
        newest = sorted(self._entries.values(), key=lambda entry: entry.seq, reverse=True)[:KEPT_N]
        self._entries = {entry.key: entry for entry in newest}
        return newest

    def find(self, key: str) -> Entry | None:
        """Return the entry called *key*, if it is among the newest."""
        return self._entries.get(key)

    def story(self, request_id: str) -> list[AuditRow]:
        """Return every row of one request, with the words of people that it waited for, in order.

        Raises:
            StorageError: the database cannot be read.
        """
        try:
            reader = self._open()
            # An answer is a row of its own, a little later, that names the request in its facts.
            found = reader.execute(
                "select seq from audit where request_id = :id union"
                " select seq from audit where kind = 'note' and seq >= (select min(seq) from audit where"
                " request_id = :id)"
                " and iif(json_valid(body), json_extract(body, '$.facts.of'), null) = :id order by seq",
                {"id": request_id},
            ).fetchall()
            return [next(audit.rows(reader, after=row["seq"] - 1, limit=1)) for row in found]
        except (sqlite3.Error, ValueError) as error:
            raise StorageError(f"{self._path}: the ledger cannot be read: {error}") from error

    def row(self, seq: int) -> list[AuditRow]:
        """Return the one row *seq*, as a story."""
        return list(audit.rows(self._open(), after=seq - 1, limit=1))

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = database.open_reader(self._path)
        return self._reader

    def _add(self, row: AuditRow) -> None:
        facts = facts_of(row)
        if row.request_id is None:
            if row.kind in _EVENTS and not (row.kind == "run" and facts.get("kind") == "noted"):
                key = f"row-{row.seq}"
                self._entries[key] = Entry(
                    key, row.seq, datetime.fromisoformat(row.at), row.kind, "", _event_text(row.kind, facts)
                )
            return
        if row.kind == "note" and "of" in facts:
            return  # shown with the request that it answers
        before = self._entries.get(row.request_id)
        origin = facts.get("origin")
        self._entries[row.request_id] = Entry(
            key=row.request_id,
            seq=row.seq,
            at=before.at if before else datetime.fromisoformat(row.at),
            kind="request",
            status=_status(row.kind, facts, before),
            text=_text(row, facts, before),
            reason=_reason(row) or (before.reason if before else ""),
            origin=str(origin.get("kind", "")) if isinstance(origin, dict) else (before.origin if before else ""),
        )


def _text(row: AuditRow, facts: dict[str, Any], before: Entry | None) -> str:
    """Return what was asked for; the answer to a question stands behind what the question was about."""
    known, words = before.text if before else "", said(row)
    if known and words and "continues" in facts and not words.startswith(known):
        return f"{known} - {words}"
    return words or known or _calls_text(facts)


def facts_of(row: AuditRow) -> dict[str, Any]:
    """Return what anyone may read of a row."""
    facts = json.loads(row.body).get("facts", {})
    return facts if isinstance(facts, dict) else {}


def personal(row: AuditRow, name: str) -> Any:
    """Return a personal value of a row; empty when it was erased or never there."""
    kept = (row.personal or {}).get(name)
    return kept.get("value", "") if isinstance(kept, dict) else ""


def said(row: AuditRow) -> str:
    """Return the words that a person said, if the row has them."""
    text = personal(row, "text")
    return text if isinstance(text, str) else ""


def _status(kind: str, facts: dict[str, Any], before: Entry | None) -> str:
    match kind:
        case "decided" | "step":
            return "acting"
        case "indeterminate":
            return "indeterminate"
        case "resolved":
            return "done" if facts.get("happened") else "failed"
        case _:
            status = facts.get("status")
            return status if isinstance(status, str) else before.status if before else ""


def _reason(row: AuditRow) -> str:
    reason = personal(row, "reason")
    if not reason and row.kind == "indeterminate":
        return "Decided before a power cut; whether it happened is not known."
    if not reason:
        # After an act the sentence is what the tools said, one after the other.
        results = personal(row, "calls")
        messages = [r.get("message") for r in results if isinstance(r, dict)] if isinstance(results, list) else []
        reason = " ".join(m for m in messages if isinstance(m, str) and m)
    return reason if isinstance(reason, str) else ""


def _calls_text(facts: dict[str, Any]) -> str:
    if facts.get("asked_as") == "undo":
        return "undo"
    named = [_call_text(call) for call in facts.get("calls", []) if isinstance(call, dict)]
    for asked in (facts.get("question"), facts.get("asked")):
        if not named and isinstance(asked, dict):
            named.append(_call_text(asked))
    return ", ".join(named) or _said_to_workflow(facts) or str(facts.get("asked_as", ""))


def _said_to_workflow(facts: dict[str, Any]) -> str:
    """Return what a workflow's step was caused by, where somebody said or approved something."""
    match facts.get("event"):
        case {"kind": "said", "event": str(event)}:
            return plain_name(event)
        case {"kind": "approved"}:
            return f"approval: {facts.get('cause') or facts.get('reason') or ''}"
        case _:
            return ""


def step_text(facts: dict[str, Any]) -> str:
    """Say a workflow's step in one line."""
    try:
        return steps_plainly.line(Step.from_json(facts))
    except ValueError:
        return "a workflow took a step"  # in the form of other software


def _call_text(call: dict[str, Any]) -> str:
    arguments = call.get("gen_ai.tool.call.arguments")
    said = " ".join(shown_value(v) for v in arguments.values()) if isinstance(arguments, dict) else ""
    return f"{plain_name(str(call.get('gen_ai.tool.name')))} {said}".strip()


def _event_text(kind: str, facts: dict[str, Any]) -> str:
    match kind:
        case "emergency":
            return "EMERGENCY STOP" if facts.get("latched") else "emergency stop released"
        case "refused_message":
            return f"a message was refused: {facts.get('reason') or facts.get('code') or 'not ours'}"
        case "command":
            return f"the fleet's {facts.get('command')}: {facts.get('life')}"
        case "epoch" if facts.get("reason") == "damaged":
            return "the database was damaged; a new ledger began"
        case "laws" if facts.get("barred"):
            return f"NOTHING ACTS: {facts['barred']}"
        case "run":
            return step_text(facts)
        case _:
            return _EVENTS[kind]
