"""Which table a row from a damaged file belongs to, by its shape, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Final

from appliance.contracts.audit import AuditRow
from appliance.contracts.tree import leaf_hash
from appliance.storage import forgetting, runs
from appliance.storage.carving import Carved
from appliance.storage.probing import Row

ROW_NUMBER: Final = ("seq,", "note_id,", "schedule_id,", "hold_id,", "rowid,")
"""What the columns of a table with row numbers begin with."""

SMALL: Final = {
    "meta": "key, value",
    "streams": "stream, sent, acked",
    "issuers": "key_id, highest, used",
    "inbox": "seq, request_id, received_at, status, body, parked, expires_at, outcome",
    "outbox": "seq, envelope_id, kind, at, body",
    "replies": "seq, request_id, topic, correlation, digest, not_before, response, sent, final",
    "schedules": "schedule_id, kind, label, call, due_at, weekly, duration_s, due_monotonic_s, boot",
    "notes": "note_id, written_at, text",
    "holds": "hold_id, epoch, first, last, reason, by, at, released_at",
    "runs": "run_id, workflow, version, digest, started_at, ended_at, seq, state, body",
    "trust_documents": "kind, number, accepted_at, body",
    "bundles_seen": "sha256, name, release, first_at, powered_s",
    "bundle_floors": "name, release, sha256, at",
}
"""Every table that is kept, but the ledger, and its columns."""

TRUST: Final = ("trust_documents", "bundles_seen", "bundle_floors")

AUDIT: Final = "seq, kind, request_id, at, leaf, body, personal"
PAST: Final = "rowid, epoch, seq, kind, request_id, at, leaf, body, personal"
TREE: Final = "epoch, level, n, hash"
CHECKPOINTS: Final = "epoch, size, at, note"

_MAINTENANCE: Final = "maintenance"
_FACTS: Final = frozenset({"epoch", "boot", forgetting.HORIZON, runs.DOUBT, _MAINTENANCE})
"""Names in `meta` that are kept."""

_STATUSES: Final = frozenset({"queued", "taken", "parked", "done"})
_KINDS: Final = frozenset({"countdown", "reminder", "weekly"})


class Remains:
    """Rows of the small tables, each once: the first that was found of a key counts.

    But what is settled is settled, and of a run the row with more steps counts.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[object, Row]] = {table: {} for table in SMALL}

    def add(self, table: str, row: Row) -> bool:
        """Keep *row* unless there is one of its key; return whether it was news, and of the table's shape."""
        if not _SHAPES[table](row):
            return False
        before = self._rows[table].get(row[0])
        if before is not None and not _supersedes(table, row, before):
            return False
        self._rows[table][row[0]] = row
        return before is None

    def rows(self, table: str) -> list[Row]:
        """Return what was found of *table*, in order of its key."""
        return sorted(self._rows[table].values(), key=lambda row: (isinstance(row[0], str), row[0]))

    @property
    def epoch(self) -> str | None:
        """The damaged file's epoch, if it still says so."""
        return self._fact("epoch")

    @property
    def boot(self) -> int:
        """How often the daemon had started; 0 if that cannot be read."""
        said = self._fact("boot") or ""
        return int(said) if said.isdigit() else 0

    @property
    def horizon(self) -> str | None:
        """Before when age had erased what people said, if the file still says so."""
        return self._fact(forgetting.HORIZON)

    @property
    def doubt(self) -> str:
        """Why nobody knew where the runs of workflows were already, if the file still says so."""
        return self._fact(runs.DOUBT) or ""

    @property
    def kept_as_they_are(self) -> dict[str, str]:
        """What of `meta` goes into the new file unchanged: a machine that was locked for maintenance stays locked."""
        return {key: said for key in (_MAINTENANCE,) if (said := self._fact(key)) is not None}

    @property
    def acknowledged(self) -> int | None:
        """Up to where a controller has the ledger; None if none ever had any of it, 0 if that cannot be read."""
        row = self._rows["streams"].get("audit")
        if row is None:
            return 0
        return int(str(row[2])) if row[1] or row[2] else None

    def _fact(self, key: str) -> str | None:
        row = self._rows["meta"].get(key)
        return None if row is None else str(row[1])


def table_of(row: Carved) -> str | None:
    """Return the small table that *row* looks like."""
    for table in SMALL:
        numbered = SMALL[table].startswith(ROW_NUMBER)
        if numbered == (row.rowid is not None) and _SHAPES[table](as_row(table, row)):
            return table
    return None


def as_row(table: str, row: Carved) -> Row:
    """Return the columns of *row* as a query would: the row number stands where the page has nothing."""
    return (row.rowid, *row.values[1:]) if SMALL[table].startswith(ROW_NUMBER) else tuple(row.values)


def record_of(row: Carved) -> Row | None:
    """Return *row* as the columns of a ledger record of the file's own epoch, if it looks like one."""
    if row.rowid is None or len(row.values) != 7 or row.values[0] is not None:
        return None
    kind, request_id, at, *rest = row.values[1:]
    if not isinstance(rest[0], bytes):
        rest = [rest[2], *rest[:2]]  # from before there were leaves: a hash in a chain stood behind the body
    return (row.rowid, kind, request_id, at, *rest)


def past_record_of(row: Carved) -> Row | None:
    """Return *row* as epoch and columns of a ledger record of an earlier epoch, if it looks like one."""
    if row.rowid is None or len(row.values) != 8 or not isinstance(row.values[0], str):
        return None
    return tuple(row.values)


def checked(row: Row) -> AuditRow | None:
    """Return the record in *row* if it is what was written: its leaf says so, and its body its number and kind."""
    seq, kind, request_id, at, leaf, body, personal = row
    if not isinstance(seq, int) or not isinstance(body, str):
        return None
    if isinstance(leaf, str):
        leaf = leaf_hash(body.encode())  # from before there were leaves
    if not isinstance(leaf, bytes) or leaf_hash(body.encode()) != leaf:
        return None
    try:
        written = json.loads(body)
        kept = None if personal is None else json.loads(str(personal))
    except (ValueError, RecursionError):
        return None
    if not isinstance(written, dict) or written.get("seq") != seq or written.get("kind") != kind:
        return None
    return AuditRow(
        seq=seq,
        kind=str(kind),
        request_id=None if request_id is None else str(request_id),
        at=str(at),
        body=body,
        personal=kept if isinstance(kept, dict) else None,
        leaf=leaf,
    )


def _supersedes(table: str, row: Row, before: Row) -> bool:
    if table == "runs":
        return int(str(row[6])) > int(str(before[6]))
    return table == "inbox" and before[3] != "done" and row[3] == "done"


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def _is_json(value: object) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def _texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _inbox(row: Row) -> bool:
    if len(row) != 8 or row[3] not in _STATUSES or not _is_time(row[2]):
        return False
    settled = row[3] != "done" or _is_json(row[7])
    return _texts(row[1]) and _is_json(row[4]) and settled


def _reply(row: Row) -> bool:
    return len(row) == 9 and _texts(*row[1:5]) and _is_json(row[6]) and row[7] in {0, 1} and row[8] in {0, 1}


def _issuer(row: Row) -> bool:
    if len(row) != 3 or not _texts(row[0], row[2]) or not isinstance(row[1], int):
        return False
    return set(str(row[2])) <= set("0123456789abcdef")


def _schedule(row: Row) -> bool:
    return len(row) == 9 and row[1] in _KINDS and _texts(row[2]) and _is_json(row[3]) and _is_time(row[4])


def _hold(row: Row) -> bool:
    return len(row) == 8 and _texts(row[1], row[4], row[5]) and isinstance(row[2], int) and isinstance(row[3], int)


def _run(row: Row) -> bool:
    if len(row) != 9 or not all(isinstance(row[n], int) for n in (2, 6)):
        return False
    ended = row[5] is None or _is_time(row[5])
    return _texts(*row[:2], row[3], row[7]) and _is_time(row[4]) and ended and _is_json(row[8])


def _trust_document(row: Row) -> bool:
    return len(row) == 4 and row[0] in {"root", "revocations"} and isinstance(row[1], int) and _is_json(row[3])


def _seen(row: Row) -> bool:
    return len(row) == 5 and _texts(*row[:2]) and isinstance(row[2], int) and isinstance(row[4], int | float)


def _floor(row: Row) -> bool:
    return len(row) == 4 and _texts(row[0]) and isinstance(row[1], int) and _is_time(row[3])


_SHAPES: Final[dict[str, Callable[[Row], bool]]] = {
    "meta": lambda row: len(row) == 2 and _texts(*row) and row[0] in _FACTS,
    "streams": lambda row: len(row) == 3 and row[0] in {"audit", "evt"} and all(isinstance(n, int) for n in row[1:]),
    "issuers": _issuer,
    "inbox": _inbox,
    "outbox": lambda row: len(row) == 5 and _texts(*row[1:4]) and _is_time(row[3]) and _is_json(row[4]),
    "replies": _reply,
    "schedules": _schedule,
    "notes": lambda row: len(row) == 3 and _is_time(row[1]) and _texts(row[2]),
    "holds": _hold,
    "runs": _run,
    "trust_documents": _trust_document,
    "bundles_seen": _seen,
    "bundle_floors": _floor,
}
