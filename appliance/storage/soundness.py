"""Is the database whole? As much of the answer as a start may wait for, and the rest beside the running daemon.

Covers: every table but the ledger, always, before the start; the ledger within `BOOT_BUDGET_S`, which is all of it up
to some hundred megabytes; the records and leaves of a larger one while the daemon runs (`walk`).
Does not cover: a change that somebody made with the leaf recomputed; checkpoints show that (`appliance audit verify`).

Source:
    sqlite.org/walformat.html, sections 1 (the log), 2.1 (its index).
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Final, Literal

from appliance.contracts.tree import leaf_hash

BOOT_BUDGET_S: Final = 5.0
"""Longest that a start waits for the ledger's pages; a 2 GB ledger on an SD card takes a minute."""

WALKED_AT_ONCE_N: Final = 500
"""Records in one short look, so that no reader holds the write-ahead log back."""

PAUSE_S: Final = 0.1
"""Between two looks: a million records take about four minutes and under a tenth of a core."""

_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_LARGE: Final = ("audit", "past")
_CORRUPT: Final = 11
_NOT_A_DATABASE: Final = 26
_UNREADABLE: Final = frozenset({266, 522, 8458})
"""SQLITE_IOERR_READ, _SHORT_READ, _CORRUPTFS: the card cannot give a sector back."""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether *error* says that the file is damaged, rather than locked, full or gone."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in {_CORRUPT, _NOT_A_DATABASE} or code in _UNREADABLE
    return "malformed" in str(error) or "not a database" in str(error)


def mark(path: Path) -> None:
    """Remember beside the database that it was found damaged while it was used: the next start salvages it in any case.

    A start checks pages in use; damage among the free ones would otherwise be met again and again.
    """
    try:
        _marker(path).touch()
    except OSError:
        return  # a full disk; the damage will be met again


def is_marked(path: Path) -> bool:
    """Return whether `mark` was called for this file."""
    return _marker(path).exists()


def unmark(path: Path) -> None:
    """Forget it: the file has been replaced."""
    _marker(path).unlink(missing_ok=True)


def check(path: Path, *, budget_s: float = BOOT_BUDGET_S) -> tuple[str, ...]:
    """Check the pages of the database at *path*, without writing to it.

    Returns:
        Tables that there was no time for.

    Raises:
        sqlite3.DatabaseError: it is damaged (`is_damage` says so), or cannot be opened.
    """
    if has_only_a_log(path):
        raise sqlite3.DatabaseError("database disk image is malformed: the file is empty, its log is not")
    if path.with_name(f"{path.name}-journal").exists():
        # The power went while SQLite rewrote the file: only a writer can take that back.
        sqlite3.connect(path).execute("select count(*) from sqlite_schema").connection.close()
    reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        found = [str(name) for (name,) in reader.execute("select name from sqlite_schema where type = 'table'")]
        ordered = {str(row[1]) for row in reader.execute("pragma table_list") if row[4]}
        for table in ("sqlite_schema", *found):
            if table not in _LARGE:
                # Only the whole check sees that the key of a table without row numbers was altered: out of its order.
                _check(reader, table, "integrity_check" if table in ordered else "quick_check")
        return tuple(_unchecked(reader, [table for table in _LARGE if table in found], budget_s))
    finally:
        reader.close()


def has_only_a_log(path: Path) -> bool:
    """Return whether the file is empty and its log is not: opening it, SQLite would delete the log unread."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size == 0 and log.exists() and log.stat().st_size > 0


def check_log(path: Path) -> None:
    """Check that the write-ahead log is this database's and whole; before a start, while nobody writes to it.

    Raises:
        sqlite3.DatabaseError: it is not (`is_damage` says so).
    """
    if log_is_cut(path):
        raise sqlite3.DatabaseError("database disk image is malformed: its log is damaged in the middle")
    if log_is_foreign(path):
        raise sqlite3.DatabaseError("database disk image is malformed: its log belongs to another database")


def log_is_foreign(path: Path) -> bool:
    """Return whether the write-ahead log was written to another database: nothing in either file would say so.

    It is when it names another epoch, and does not hold the records that an end of the epoch before would have moved.
    """
    if not path.with_name(f"{path.name}-wal").exists() or has_only_a_log(path):
        return False
    try:
        own, records_n = _ask(
            path, "select value, (select count(*) from audit) from meta where key = 'epoch'", "immutable=1"
        )
        logged, moved_n = _ask(
            path,
            "select value, (select count(*) from past where epoch = ?) from meta where key = 'epoch'",
            "mode=ro",
            own,
        )
    except (sqlite3.DatabaseError, TypeError):
        return False  # a new file whose pages are all in its log yet, or damage of another kind
    return own != logged and records_n > 0 and moved_n == 0


def log_is_cut(path: Path) -> bool:
    """Return whether the write-ahead log goes on after the place where SQLite stopped to believe it.

    A power cut may tear the last transaction, which nobody was told of. A transaction that another one follows was on
    the disk before that other one began: if SQLite passes it over, something durable is damaged, and it says nothing.
    """
    if has_only_a_log(path):
        return True
    try:
        with path.with_name(f"{path.name}-wal").open("rb") as log:
            header = log.read(_LOG_HEADER_BYTES)
            if len(header) < _LOG_HEADER_BYTES:
                return False
            believed_n = _believed_frames(path)
            page_bytes = int.from_bytes(header[8:12], "big")
            order: Literal["big", "little"] = "big" if header[3] & 1 else "little"
            salt = header[16:24]
            log.seek(believed_n * (_FRAME_HEADER_BYTES + page_bytes), os.SEEK_CUR)
            commits_n, sum_before = 0, b""
            while len(frame := log.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES and frame[8:16] == salt:
                if commits_n:
                    return True
                page = log.read(page_bytes)
                # A torn header may say anything: a frame counts as the end of a transaction when its sum goes on from
                # the one before it.
                is_whole = len(page) == page_bytes and _sum(frame[:8] + page, sum_before, order) == frame[16:24]
                commits_n += is_whole and frame[4:8] != bytes(4)
                sum_before = frame[16:24]
    except OSError:
        return False
    return False


def _sum(data: bytes, before: bytes, order: Literal["big", "little"]) -> bytes:
    """Return the sum of a frame as SQLite computes it, going on from the sum *before* it."""
    first, second = struct.unpack(">II", before or bytes(8))
    words = struct.unpack(f"{'>' if order == 'big' else '<'}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return struct.pack(">II", first, second)


def walk(path: Path, ending: threading.Event, *, pause_s: float = PAUSE_S) -> str | None:
    """Read every record of the database at *path* and compare it with its leaf, beside whoever writes.

    Args:
        ending: set, it comes to an early end.

    Returns:
        What is wrong and what to do; None if nothing is, or if it was told to end.
    """
    for table, epoch in (("audit", "''"), ("past", "epoch")):
        last: tuple[str, int] = ("", 0)
        while not ending.wait(pause_s):
            try:
                found = _look(path, table, epoch, last)
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    return f"{path.name}, {table} after {last[1]:,}: {error}; restart the daemon: it salvages the file"
                break  # locked or gone for a moment: another start looks again
            if not found:
                break
            for row_epoch, seq, body, leaf in found:
                if leaf_hash(str(body).encode()) != leaf:
                    where = f"record {seq:,}" + (f" of epoch {row_epoch}" if row_epoch else "")
                    return f"{where} is not what was written; `appliance audit verify` says more"
            last = (str(found[-1][0]), int(found[-1][1]))
    return None


def _look(path: Path, table: str, epoch: str, after: tuple[str, int]) -> list[tuple[str, int, object, bytes]]:
    reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        # A byte that is no text is damage like any other, not a fault of ours.
        reader.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return reader.execute(
            f"select {epoch}, seq, body, leaf from {table} where ({epoch}, seq) > (?, ?) order by 1, 2 limit ?"  # noqa: S608 -- our own names
            if table == "past"
            else f"select '', seq, body, leaf from {table} where seq > ? order by seq limit ?",  # noqa: S608 -- the same
            (*after, WALKED_AT_ONCE_N) if table == "past" else (after[1], WALKED_AT_ONCE_N),
        ).fetchall()
    finally:
        reader.close()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _ask(path: Path, sql: str, how: str, *parameters: object) -> tuple[str, int]:
    """Return the one row of *sql*; TypeError if there is none."""
    reader = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=10)
    try:
        value, n = reader.execute(sql, parameters).fetchone()
        return str(value), int(n)
    finally:
        reader.close()


def _unchecked(reader: sqlite3.Connection, tables: list[str], budget_s: float) -> list[str]:
    """Check *tables* until the time is over; return those that it was not enough for."""
    until = time.monotonic() + budget_s
    for n, table in enumerate(tables):
        left_s = until - time.monotonic()
        if left_s <= 0:
            return tables[n:]
        alarm = threading.Timer(left_s, reader.interrupt)
        alarm.start()
        try:
            _check(reader, table, "quick_check")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return tables[n:]
        finally:
            alarm.cancel()
            alarm.join()  # it must not interrupt what comes after
    return []


def _believed_frames(path: Path) -> int:
    """Return how many frames of the log SQLite takes for whole: `mxFrame` of the log's index, made for the purpose."""
    reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        reader.execute("select 1 from sqlite_schema").fetchone()
        with path.with_name(f"{path.name}-shm").open("rb") as index:
            return int.from_bytes(index.read(20)[16:20], sys.byteorder)
    except sqlite3.DatabaseError:
        return 0
    finally:
        reader.close()


def _check(reader: sqlite3.Connection, table: str, how: Literal["quick_check", "integrity_check"]) -> None:
    verdict = reader.execute(f"pragma {how}('{table}')").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {table}: {verdict}")
