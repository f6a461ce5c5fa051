"""A file to a single-writer database: the one place that opens SQLite for writing.

Covers: a torn write (WAL, `synchronous=FULL`), two writers in one process (one connection, one lock; commits of several
threads share an fsync), a corrupt file (set aside, never deleted, salvaged into a new epoch), a full disk
(`StorageError`, and the next call tries again), a log that a reader holds back (bounded by `keep_log_small`).
Does not cover: two processes; `daemon` holds the home's lock before it opens this.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from appliance.errors import DatabaseDamaged, StorageError
from appliance.storage import migrations, schema_guard, soundness, views
from appliance.storage.schema_guard import Fault

PAGE_BYTES: Final = 512
"""Of a new database. A commit writes every page that it touched, whole: a turn was measured at 73 kB with pages of
4,096 bytes, 34 kB with 1,024, 28 kB with 512. The price is reading the whole ledger at 100,000 rows a second in place
of 250,000 (docs/explanation/durability.md)."""

LOG_PAGES: Final = 16384
"""8 MB of write-ahead log between two foldings into the file: a page that every turn touches is folded once in some
three hundred turns. Reading it back after a power cut takes a fraction of a second; half of it costs 5% more bytes."""

LOG_LIMIT_BYTES: Final = 4 * LOG_PAGES * PAGE_BYTES
"""A log that a reader held back is cut to this once the reader has gone."""

BUSY_MS: Final = 10_000
"""How long a write waits for another program that has the file locked, which should be none."""

GROUP_N: Final = 64
"""Most transactions that share one fsync; with 5 ms an fsync the first of them waits about that long for the last."""

_FULL = ("database or disk is full", "disk I/O error", "attempt to write a readonly database", "unable to open")
_REPACK_BELOW_BYTES: Final = 64 * 2**20
"""Older files up to this size get the smaller pages; a larger one keeps its own rather than make a start wait."""


class Opened(NamedTuple):
    """A database ready to write, and what was found on the way."""

    db: Database
    set_aside: Path | None
    """Where a corrupt predecessor now lies; what could be read of it is in the new one."""

    unchecked: tuple[str, ...] = ()
    """Tables too large to be checked before the start; `soundness.walk` reads them afterwards."""

    mended: tuple[Fault, ...] = ()
    """What was in the file's schema and not ours; it was removed or made anew."""


class _Group:
    """Transactions of several threads between one `begin` and one `commit`."""

    def __init__(self) -> None:
        self.members_n = 0
        self.over = threading.Event()
        self.error: sqlite3.DatabaseError | None = None


class Database:
    """The writer connection; every thread of the daemon shares it, one transaction at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, group_n: int = GROUP_N) -> None:
        self.path = path
        self.connection = connection
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._group_n = group_n
        self._group: _Group | None = None
        self._queue = threading.Lock()
        self._waiting_n = 0

    @contextmanager
    def atomic(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one durable transaction; nested blocks join the outer one.

        Threads that wait for their turn meanwhile join it, each in a savepoint of its own: nobody's failure undoes
        another's work, and nobody returns before the one commit that makes all of it durable.

        Raises:
            StorageError: the disk is full or the file cannot be written; nothing of the block remains.
        """
        if self._owner == threading.get_ident():
            # Within a transaction or a reading of this thread: no other thread could take over the commit.
            if self._depth:
                yield self.connection
            else:
                with self._transaction() as group:
                    yield self.connection
                self._commit()
                self._raise_if_lost(group)
            return
        with self._turn(joins=True):
            with self._transaction() as group:
                yield self.connection
            if self._waiting_n == 0 or group.members_n >= self._group_n:
                self._commit()
        # Whoever waited when the lock was let go commits for us; should it die first, somebody must.
        while not group.over.wait(0.05):
            with self._turn():
                pass
        self._raise_if_lost(group)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement, durable on return unless inside `atomic`."""
        with self.atomic() as connection:
            return connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Read rows; sees what an open transaction of this thread has written."""
        with self.reading() as connection:
            try:
                return connection.execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise _fault(self.path, error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for reading; no other thread uses it meanwhile, and all that is there is durable."""
        with self._turn():
            yield self.connection

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Read the first row, if there is one."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file; only this connection ever does."""
        with self._turn():
            self.connection.execute("pragma wal_checkpoint(passive)").fetchall()

    def keep_log_small(self) -> bool:
        """Begin the log anew once it has grown beyond its bound, which only a reader that never lets go can cause.

        Returns:
            Whether it is within its bound.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        try:
            if log.stat().st_size <= LOG_LIMIT_BYTES:
                return True
        except OSError:
            return True
        with self._turn():
            # Never waits for a reader: decisions would wait with it. What is left is for the next time.
            self.connection.execute("pragma busy_timeout = 0").fetchone()
            try:
                busy = self.connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
            except sqlite3.DatabaseError as error:
                raise _fault(self.path, error) from error
            finally:
                self.connection.execute(f"pragma busy_timeout = {BUSY_MS}").fetchone()
        return not busy

    def cut_log(self) -> bool:
        """Move the write-ahead log into the file and cut it to nothing: no earlier version of a page is left in it.

        Returns:
            Whether it was done; a reader that is in the middle of something stands in the way, and is not waited for.
        """
        with self._turn():
            waits_ms = self.connection.execute("pragma busy_timeout").fetchone()[0]
            self.connection.execute("pragma busy_timeout = 0").fetchone()
            try:
                busy = self.connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
            except sqlite3.OperationalError:
                return False  # locked, or the disk is full; the next attempt tells
            finally:
                self.connection.execute(f"pragma busy_timeout = {waits_ms}").fetchone()
        return not busy

    def close(self) -> None:
        """Close the file; the log is folded in by SQLite."""
        with self._turn():
            self.connection.close()

    def _raise_if_lost(self, group: _Group) -> None:
        if group.error is not None:
            raise _fault(self.path, group.error) from group.error

    @contextmanager
    def _turn(self, *, joins: bool = False) -> Iterator[None]:
        """Hold the connection; what others have left to be committed is, unless this thread joins them."""
        if self._owner == threading.get_ident():
            yield
            return
        if joins:
            with self._queue:
                self._waiting_n += 1
        try:
            self._lock.acquire()
        finally:
            if joins:
                with self._queue:
                    self._waiting_n -= 1
        self._owner = threading.get_ident()
        try:
            if not joins:
                self._commit()
            yield
        finally:
            if self._waiting_n == 0:
                self._commit()
            self._owner = None
            self._lock.release()

    @contextmanager
    def _transaction(self) -> Iterator[_Group]:
        """Begin, or join what has begun; on an exception nothing of the block remains."""
        group, joined = self._group, self._group is not None
        try:
            if group is None:
                self.connection.execute("begin immediate")
                self._group = group = _Group()
            else:
                self.connection.execute("savepoint member")
            self._depth += 1
            try:
                yield group
            finally:
                self._depth -= 1
            if joined:
                self.connection.execute("release member")
            group.members_n += 1
        except BaseException as error:
            self._undo(group, error, joined=joined)
            if isinstance(error, sqlite3.DatabaseError):
                raise _fault(self.path, error) from error
            raise

    def _undo(self, group: _Group | None, error: BaseException, *, joined: bool) -> None:
        if group is None:
            # SQLite can say no to `begin` and have begun all the same: an interrupt comes after its last step.
            if self.connection.in_transaction:
                self.connection.rollback()
            return
        try:
            if joined and self.connection.in_transaction:
                self.connection.execute("rollback to member")
                self.connection.execute("release member")
                return
        except sqlite3.DatabaseError as worse:
            error = worse
        # Alone, or SQLite has rolled all of it back (a full disk does that): then it is undone for every member.
        if self.connection.in_transaction:
            self.connection.rollback()
        self._end(error if isinstance(error, sqlite3.DatabaseError) else None)

    def _commit(self) -> None:
        if self._group is None:
            return
        try:
            self.connection.commit()
        except sqlite3.DatabaseError as error:
            if self.connection.in_transaction:
                self.connection.rollback()
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: sqlite3.DatabaseError | None) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.error = error
            group.over.set()


def open_database(path: Path, *, epoch: str | None = None) -> Opened:
    """Open *path* for writing, made and migrated as needed; a corrupt file is set aside, and what can be read saved.

    Args:
        epoch: name for a new database's epoch; random when absent.

    Raises:
        StorageError: the folder cannot be written, or the file is from newer software.
    """
    from appliance.storage import salvage  # it opens a database itself

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        salvage.finish(path)
        try:
            # Read-only, because a writer folds the log into the file when it closes, and the log may be the damage.
            if soundness.is_marked(path):
                raise sqlite3.DatabaseError("database disk image is malformed: it was found so while it was used")
            unchecked: tuple[str, ...] = ()
            foreign: tuple[Fault, ...] = ()
            if path.exists():
                unchecked = soundness.check(path)
                soundness.check_log(path)
                foreign = _foreign(path)
            return Opened(open_writer(path, epoch), None, unchecked, foreign)
        except sqlite3.DatabaseError as error:
            if not soundness.is_damage(error):
                raise
        aside = salvage.replace(path, epoch or secrets.token_hex(8))
        return Opened(open_writer(path, epoch), aside)
    except sqlite3.DatabaseError as error:
        raise _fault(path, error) from error
    except OSError as error:
        raise StorageError(f"{path.parent} cannot be written: {error.strerror}") from error


def _foreign(path: Path) -> tuple[Fault, ...]:
    """Return what in the schema is not ours and can be removed; what cannot is damage."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)) as reader:
        found = schema_guard.found(reader)
    for fault in found:
        if fault.is_damage:
            raise sqlite3.DatabaseError(f"database disk image is malformed: {fault}")
    return tuple(found)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open *path* read-only for a console, a query or an export; views say what this software's say.

    Raises:
        StorageError: there is no database yet, or it cannot be read.
    """
    if not path.exists():
        raise StorageError(f"no database at {path}; start the appliance once to make it")
    if not path.is_file():
        # Opening a pipe would wait for ever for somebody to write into it.
        raise StorageError(f"{path} is no regular file; name the database file itself")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5, check_same_thread=False)
        connection.execute("pragma temp_store = file")
        views.lend(connection)
        connection.execute("pragma query_only = on")
        connection.execute("pragma mmap_size = 0")
    except sqlite3.DatabaseError as error:
        raise _fault(path, error) from error
    connection.row_factory = sqlite3.Row
    return connection


def epoch(db: Database) -> str:
    """Return the identity of this database file; a new or salvaged file has a new one."""
    row = db.row("select value from meta where key = 'epoch'")
    assert row is not None  # written by the first migration's transaction
    return str(row["value"])


def open_writer(path: Path, new_epoch: str | None) -> Database:
    """Open a file that is sound, or make it; `open_database` is the way in."""
    # Autocommit mode: transactions begin and end where `atomic` says, nowhere else.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        path.chmod(0o640)
        connection.row_factory = sqlite3.Row
        # What is deleted or erased is overwritten, whatever the build's default: erased words do not lie in free pages.
        connection.execute("pragma secure_delete = on")
        connection.execute(f"pragma page_size = {PAGE_BYTES}")
        _repack(connection, path)
        connection.execute("pragma journal_mode = wal")
        # A decision survives a power cut, at the price of one fsync a commit.
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        # The WAL-reset bug (SQLite 3.7.0 to 3.51.2) was made worse by mmap in one report.
        connection.execute("pragma mmap_size = 0")
        connection.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")
        connection.execute(f"pragma journal_size_limit = {LOG_LIMIT_BYTES}")
        schema_guard.mend(connection)
        migrations.apply(connection, epoch=new_epoch or secrets.token_hex(8))
        views.apply(connection)
    except BaseException:
        connection.close()
        raise
    return Database(path, connection)


def _repack(connection: sqlite3.Connection, path: Path) -> None:
    """Give a small file of an earlier version the page size of today; SQLite does it in one transaction."""
    pages_n = connection.execute("pragma page_count").fetchone()[0]
    page_bytes = connection.execute("pragma page_size").fetchone()[0]
    if pages_n == 0 or page_bytes == PAGE_BYTES or pages_n * page_bytes > _REPACK_BELOW_BYTES:
        return
    try:
        # The page size cannot change in WAL mode.
        connection.execute("pragma journal_mode = delete").fetchone()
        connection.execute(f"pragma page_size = {PAGE_BYTES}")
        connection.execute("vacuum")
    except sqlite3.OperationalError:
        # No room for a second copy, or a reader looks at it: it stays as it is, and works.
        return


def _fault(path: Path, error: sqlite3.DatabaseError) -> StorageError:
    text = str(error)
    if soundness.is_damage(error):
        return DatabaseDamaged(
            f"{path}: {text}; restart the daemon: it sets the file aside and saves what can be read of it"
        )
    if text.startswith(_FULL):
        return StorageError(f"{path}: {text}; free some space, the appliance goes on by itself")
    if "locked" in text:
        return StorageError(f"{path}: {text}; another program has it open for writing, close it")
    return StorageError(f"{path}: {text}")
