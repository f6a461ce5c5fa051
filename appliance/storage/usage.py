"""How much the ledger takes, how long that lasts, and what keeps it from being pruned."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from appliance.contracts.record import Record
from appliance.errors import StorageError
from appliance.storage import audit, database, holds, retention, tree
from appliance.storage.retention import Limits, Segment
from appliance.storage.tree import WIDTH

WARN_SHARE: Final = 0.8
"""Of the quota, when nothing may be pruned: somebody should look before it is reached."""

_RATE_OVER_N: Final = 4096
"""The newest records tell the present rate."""

STOPS: Final = {
    "young": "",
    "empty": "",
    "unsealed": "the oldest records are not under a signed checkpoint yet; the daemon signs one within a minute",
    "unacknowledged": "the controller has not acknowledged the oldest records; they stay until it has",
    "held": "what is left of the oldest records is under a hold; `appliance audit hold list` shows which",
}


class Usage(Record):
    """The ledger's size and prospects; what `usage --json` prints."""

    used_bytes: int
    """Bytes of the database that hold something."""

    file_bytes: int
    """Its size on disk: pages that were freed are used again before it grows."""

    quota_bytes: int
    records_n: int
    """Records of this epoch that are here."""

    newest: int
    """The newest record's number: how many there ever were."""

    earlier_n: int
    """Records of earlier epochs that are here."""

    oldest_at: datetime | None
    segments_sealed_n: int
    segments_pruned_n: int
    segments_held_n: int
    bytes_a_record: int
    days_left: float | None
    """Until the quota is reached at the present rate; None when nobody can tell yet."""

    days_kept: float | None
    """How far back the records will reach once the quota is reached, at the present rate."""

    prunable: bool
    stop: str
    """What stands in the way of pruning, in a sentence; empty while the quota is far, or when nothing does."""

    @property
    def share(self) -> float:
        """Return the part of the quota that is used."""
        return self.used_bytes / self.quota_bytes


def measured(path: Path, *, quota_mb: int, keep_days: int, enrolled: bool) -> Usage:
    """Look at the ledger in the database at *path*, with the bounds that its home sets.

    Raises:
        StorageError: there is none, or it cannot be read.
    """
    reader = database.open_reader(path)
    try:
        acked = reader.execute("select acked from streams where stream = 'audit'").fetchone()["acked"]
        kept = reader.execute("select value from meta where key = 'horizon-records'").fetchone()
        horizon = datetime.fromisoformat(kept["value"]) if kept is not None and keep_days else None
        return usage(reader, Limits(quota_mb * 2**20, horizon, acked if enrolled else None, with_past=not enrolled))
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be read: {error}; is it an appliance's database?") from error
    finally:
        reader.close()


def filled(connection: sqlite3.Connection, limits: Limits) -> tuple[float, str]:
    """Return which part of the quota is used, and what will stand in the way of pruning once that is much of it."""
    share = retention.used_bytes(connection) / limits.quota_bytes
    if share < WARN_SHARE:
        return share, ""
    would = retention.candidate(connection, limits._replace(quota_bytes=0))
    return share, "" if isinstance(would, Segment) else STOPS[would]


def usage(connection: sqlite3.Connection, limits: Limits) -> Usage:
    """Look at the ledger through *connection*, a read-only one too."""
    epoch = tree.current(connection)
    newest = audit.size(connection)
    gone = retention.gone(connection)
    pruned_n = sum(last - first + 1 for first, last in gone.segments) if gone is not None else 0
    records_n = newest - pruned_n * WIDTH
    earlier_n = int(connection.execute("select count(*) as n from past").fetchone()["n"])
    used = retention.used_bytes(connection)
    bytes_a_record = used // max(1, records_n + earlier_n)
    found = retention.candidate(connection, limits)
    oldest = connection.execute("select at from audit order by seq limit 1 offset 1").fetchone()
    per_day = _per_day(connection, newest)
    left = max(0, limits.quota_bytes - used)
    return Usage(
        used_bytes=used,
        file_bytes=_pragma(connection, "page_count") * _pragma(connection, "page_size"),
        quota_bytes=limits.quota_bytes,
        records_n=records_n,
        newest=newest,
        earlier_n=earlier_n,
        oldest_at=None if oldest is None else datetime.fromisoformat(oldest["at"]),
        segments_sealed_n=retention.sealed_n(connection, epoch),
        segments_pruned_n=pruned_n,
        segments_held_n=len(_held(connection, epoch, newest)),
        bytes_a_record=bytes_a_record,
        days_left=None if per_day is None else round(left / (per_day * max(1, bytes_a_record)), 1),
        days_kept=None if per_day is None else round(limits.quota_bytes / (per_day * max(1, bytes_a_record)), 1),
        prunable=isinstance(found, Segment),
        stop=filled(connection, limits)[1],
    )


class Prospects(Record):
    """What a look at the whole device says of the ledger's room; a few rows are read for it, whatever their number."""

    oldest_at: datetime | None
    """The oldest record but the epoch's first, which always stays."""

    pruned_n: int
    """Records of this epoch that are gone."""

    holds_n: int
    """Holds in force."""

    days_left: float | None
    """Until the quota is reached at the present rate, in whole days; None when nobody can tell yet."""


def prospects(connection: sqlite3.Connection, quota_bytes: int) -> Prospects:
    """Look at the ledger's room in the way that can be asked every second.

    The rate is that between two records, and earlier epochs count by their row numbers: a guess, where `usage` counts.
    """
    newest = audit.size(connection)
    found = retention.gone(connection)
    pruned_n = sum(last - first + 1 for first, last in found.segments) * WIDTH if found is not None else 0
    past_n = int(connection.execute("select coalesce(max(rowid) - min(rowid) + 1, 0) from past").fetchone()[0])
    used = retention.used_bytes(connection)
    oldest = connection.execute("select at from audit order by seq limit 1 offset 1").fetchone()
    per_day = _between_two(connection, newest)
    days_left = None
    if per_day:
        bytes_a_record = max(1, used // max(1, newest - pruned_n + past_n))
        days_left = float(round(max(0, quota_bytes - used) / (per_day * bytes_a_record)))
    return Prospects(
        oldest_at=None if oldest is None else datetime.fromisoformat(oldest["at"]),
        pruned_n=pruned_n,
        holds_n=len(holds.active(connection)),
        days_left=days_left,
    )


def _between_two(connection: sqlite3.Connection, newest: int) -> float | None:
    """Return the records a day from one record to the newest, if trusted clocks say when both were written."""
    rows = [
        connection.execute(
            "select seq, at, iif(json_valid(body), json_extract(body, '$.clock'), null) as clock from audit"
            " where seq >= ? order by seq limit 1",
            (seq,),
        ).fetchone()
        for seq in (newest - _RATE_OVER_N, newest)
    ]
    if None in rows or any(row["clock"] != "trusted" for row in rows):
        return None
    first, last = rows
    took = datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])
    return None if took < timedelta(hours=1) else (last["seq"] - first["seq"]) / (took / timedelta(days=1))


def _per_day(connection: sqlite3.Connection, newest: int) -> float | None:
    """Return how many records a day the newest ones came to, by clocks that were trusted; None when too few say."""
    rows = connection.execute(
        "select min(at) as first, max(at) as last, count(*) as n from audit"
        " where seq > ? and iif(json_valid(body), json_extract(body, '$.clock'), null) = 'trusted'",
        (newest - _RATE_OVER_N,),
    ).fetchone()
    if rows["n"] < 2:
        return None
    took = datetime.fromisoformat(rows["last"]) - datetime.fromisoformat(rows["first"])
    return None if took < timedelta(hours=1) else rows["n"] / (took / timedelta(days=1))


def _held(connection: sqlite3.Connection, epoch: str, newest: int) -> set[int]:
    return {
        n
        for hold in holds.active(connection)
        if hold.epoch == epoch
        for n in range((hold.first - 1) // WIDTH, (min(hold.last, newest) - 1) // WIDTH + 1)
    }


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"pragma {name}").fetchone()[0])
