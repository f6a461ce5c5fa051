"""A file to a single-writer database: the one place that opens SQLite for writing.

Covers: a torn write (WAL, `synchronous=FULL`), two writers in one process (one connection, one lock), a corrupt file
(set aside, never deleted, started again in a new epoch), a full disk (`StorageError`, and the next call tries again).
Does not cover: two processes; `daemon` holds the home's lock before it opens this.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from appliance.errors import StorageError
from appliance.storage import migrations

_FULL = ("database or disk is full", "disk I/O error")


class Opened(NamedTuple):
    """A database ready to write, and what was found on the way."""

    db: Database
    set_aside: Path | None
    """Where a corrupt predecessor now lies."""


class Database:
    """The writer connection; every thread of the daemon shares it, one transaction at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    @contextmanager
    def atomic(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one durable transaction; nested blocks join the outer one.

        Raises:
            StorageError: the disk is full or the file cannot be written; nothing of the block remains.
        """
        with self._lock:
            if self._depth:
                yield self.connection
                return
            self._depth += 1
            try:
                self.connection.execute("begin immediate")
                try:
                    yield self.connection
                except BaseException:
                    self.connection.rollback()
                    raise
                self.connection.commit()
            except sqlite3.DatabaseError as error:
                if self.connection.in_transaction:
                    self.connection.rollback()
                raise StorageError(_explained(self.path, error)) from error
            finally:
                self._depth -= 1

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement, durable on return unless inside `atomic`."""
        with self.atomic() as connection:
            return connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Read rows; sees what an open transaction of this thread has written."""
        with self._lock:
            try:
                return self.connection.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise StorageError(_explained(self.path, error)) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for reading; no other thread uses it meanwhile."""
        with self._lock:
            yield self.connection

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Read the first row, if there is one."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file; only this connection ever does."""
        with self._lock:
            self.connection.execute("pragma wal_checkpoint(passive)").fetchall()

    def close(self) -> None:
        """Close the file; the log is folded in by SQLite."""
        with self._lock:
            self.connection.close()


def open_database(path: Path, *, epoch: str | None = None) -> Opened:
    """Open *path* for writing, made and migrated as needed; a corrupt file is set aside first.

    Args:
        epoch: name for a new database's epoch; random when absent.

    Raises:
        StorageError: the folder cannot be written, or the file is from newer software.
    """
    try:
        return Opened(_open(path, epoch), None)
    except sqlite3.DatabaseError as error:
        if not _is_corrupt(error):
            raise StorageError(_explained(path, error)) from error
    aside = _set_aside(path)
    try:
        return Opened(_open(path, epoch), aside)
    except sqlite3.DatabaseError as error:
        raise StorageError(_explained(path, error)) from error


def open_reader(path: Path) -> sqlite3.Connection:
    """Open *path* read-only for a console, a query or an export.

    Raises:
        StorageError: there is no database yet, or it cannot be read.
    """
    if not path.exists():
        raise StorageError(f"no database at {path}; start the appliance once to make it")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5, check_same_thread=False)
        connection.execute("pragma query_only = on")
        connection.execute("pragma mmap_size = 0")
    except sqlite3.DatabaseError as error:
        raise StorageError(_explained(path, error)) from error
    connection.row_factory = sqlite3.Row
    return connection


def epoch(db: Database) -> str:
    """Return the identity of this database file; a new or salvaged file has a new one."""
    row = db.row("select value from meta where key = 'epoch'")
    assert row is not None  # written by the first migration's transaction
    return str(row["value"])


def _open(path: Path, new_epoch: str | None) -> Database:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror}") from error
    # Autocommit mode: transactions begin and end where `atomic` says, nowhere else.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        path.chmod(0o640)
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        # A decision survives a power cut, at the price of one fsync a commit.
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        # The WAL-reset bug (SQLite 3.7.0 to 3.51.2) was made worse by mmap in one report.
        connection.execute("pragma mmap_size = 0")
        # Bounds the log: about 1 MB, so that a power cut never leaves a long replay.
        connection.execute("pragma wal_autocheckpoint = 256")
        verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"database disk image is malformed: {verdict}")
        migrations.apply(connection, epoch=new_epoch or secrets.token_hex(8))
    except BaseException:
        connection.close()
        raise
    return Database(path, connection)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    text = str(error)
    return "malformed" in text or "not a database" in text or "corrupt" in text


def _set_aside(path: Path) -> Path:
    """Rename the file and its companions; nothing recorded is ever deleted."""
    for n in range(1, 10_000):
        aside = path.with_name(f"{path.name}.corrupt-{n}")
        if not aside.exists():
            break
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside


def _explained(path: Path, error: sqlite3.DatabaseError) -> str:
    text = str(error)
    if text.startswith(_FULL):
        return f"{path}: {text}; free some space, the appliance goes on by itself"
    if "locked" in text:
        return f"{path}: {text}; another program has it open for writing, close it"
    return f"{path}: {text}"
