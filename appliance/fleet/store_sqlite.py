"""The controller's SQLite file: the one file of the controller that speaks to sqlite3.

Collector, sender and viewer are programs of their own. A rollback journal, not WAL: SQLite 3.7.0 to 3.51.2 can corrupt
a WAL database when two connections write at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from appliance.errors import StorageError
from appliance.fleet.store import Row, Values

WAIT_S: Final = 60.0
"""How long a program waits for the others' transactions. Each is short, but SQLite has no queue: it looks again every
0.1 s, and a collector that catches up leaves the file free for a few in a hundred of those looks."""

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {"key": "text", "bytes": "blob", "octets": "length(cast(body as blob))"}
)

_T = TypeVar("_T")


class SqliteStore:
    """One connection to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open_n = 0
        try:
            connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
            connection.row_factory = _as_dict
            connection.execute("pragma journal_mode = delete")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma mmap_size = 0")
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                raise self._busy() from error
            raise StorageError(
                f"{path}: {error}; restore it from a backup, or move it away: devices keep what is new"
            ) from error
        self.connection = connection

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def words(self) -> Mapping[str, str]:
        """SQLite's own words."""
        return WORDS

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Return every row."""
        return self._done(lambda: self.connection.execute(sql, _checked(values)).fetchall())

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """Return the first row."""
        return next(iter(self.rows(sql, values)), None)

    def execute(self, sql: str, values: Values = ()) -> int:
        """Write, and return how many rows that touched."""
        return self._done(lambda: self.connection.execute(sql, _checked(values)).rowcount)

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        """Add rows that are not there."""
        marks = ", ".join("?" * len(columns))
        sql = f"insert into {table} ({', '.join(columns)}) values ({marks})"  # noqa: S608 -- names of our own tables
        self._done(lambda: self.connection.executemany(sql, map(_checked, rows)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction, alone among all programs from its first line on."""
        # At once, as a writer: a transaction that has only read and then writes is told "locked" without any wait when
        # another writes, because neither could ever go on.
        name = f"inner{self._open_n}"
        begin, end, back = (
            (f"savepoint {name}", f"release {name}", f"rollback to {name}")
            if self._open_n
            else ("begin immediate", "commit", "rollback")
        )
        self.execute(begin)
        self._open_n += 1
        try:
            yield
            self.execute(end)
        except BaseException:
            # A full disk may have ended the transaction already.
            if self.connection.in_transaction:
                self.connection.execute(back)
            raise
        finally:
            self._open_n -= 1

    alone = writing

    def has_table(self, name: str) -> bool:
        """Tell whether there is such a table."""
        return bool(self.rows("select 1 from sqlite_schema where type = 'table' and name = ?", [name]))

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _done(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except OverflowError as error:
            raise ValueError(f"not storable: {error}") from error
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                raise self._busy() from error
            raise StorageError(f"{self._path}: {error}; nothing was changed") from error
        except sqlite3.DatabaseError as error:
            raise StorageError(f"{self._path}: {error}; nothing was changed") from error

    def _busy(self) -> StorageError:
        return StorageError(
            f"{self._path}: another program kept it from being written for a whole {WAIT_S:g} s; nothing was"
            " changed, try again, and end what hangs if it says so again"
        )


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _checked(values: Values) -> Values:
    # SQLite would take it, and neither PostgreSQL nor half of what reads text would.
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise ValueError("not storable: a text with a NUL in it")
    return values


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}
