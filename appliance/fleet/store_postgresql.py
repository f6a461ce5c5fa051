"""The controller's PostgreSQL: the one file that imports psycopg.

Covers: a server that restarts, fails over or falls silent (the next statement finds a new connection), a full disk, a
program that hangs in a transaction (the server ends it). Does not cover: a server whose own `fsync` is off; `where`
says so.
"""

from __future__ import annotations

import functools
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql as composing
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from appliance.errors import SettingsError, StorageError
from appliance.fleet.store import Row, Values

OLDEST: Final = 130_000
"""PostgreSQL 13, the oldest that its makers cared for when this was written (2026: 14)."""

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    # Bytes are compared, not letters: an index over text in a language's order is slower by half.
    {"key": 'text collate "C"', "bytes": "bytea", "octets": "octet_length(body)"}
)

_SESSION: Final = (
    "select set_config('lock_timeout', '60s', false), set_config('idle_in_transaction_session_timeout', '60s', false),"
    # What is acknowledged must be on the disk; stronger settings than `on` stay.
    " case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', false) end"
)
_MIGRATING: Final = 0x45_44_47_45
"""The number of our advisory lock: EDGE."""

_T = TypeVar("_T")


class PostgresqlStore:
    """One connection, made again when it has broken."""

    def __init__(self, conninfo: str, *, program: str) -> None:
        try:
            self._conninfo = make_conninfo(
                conninfo,
                fallback_application_name=program,
                connect_timeout=10,
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=60_000,
            )
        except psycopg.Error:
            # libpq repeats the words that it does not understand, and one of them may be the password.
            raise SettingsError(
                "the connection to PostgreSQL cannot be read: write `host=... dbname=... user=...` or a"
                " postgresql:// address"
            ) from None
        self._open_n = 0
        self._connection = self._connect()

    @property
    def where(self) -> str:
        """Server and database."""
        info = self._connection.info
        return f"postgresql {info.dbname} at {info.host or 'the local socket'}"

    @property
    def words(self) -> Mapping[str, str]:
        """PostgreSQL's own words."""
        return WORDS

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Return every row."""
        return self._done(lambda to: to.execute(_marked(sql), values).fetchall())

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """Return the first row."""
        return self._done(lambda to: to.execute(_marked(sql), values).fetchone())

    def execute(self, sql: str, values: Values = ()) -> int:
        """Write, and return how many rows that touched."""
        return self._done(lambda to: to.execute(_marked(sql), values).rowcount)

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        """Add rows that are not there."""
        sql = composing.SQL("copy {} ({}) from stdin").format(
            composing.Identifier(table), composing.SQL(", ").join(map(composing.Identifier, columns))
        )

        def copied(to: psycopg.Connection[Row]) -> None:
            with to.cursor() as cursor, cursor.copy(sql) as copy:
                for row in rows:
                    copy.write_row(row)

        self._done(copied)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction."""
        self._done(lambda _to: None)
        try:
            with self._connection.transaction():
                self._open_n += 1
                try:
                    yield
                finally:
                    self._open_n -= 1
        except psycopg.Error as error:
            raise StorageError(f"PostgreSQL: {_plain(error)}; nothing was changed") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the block in one transaction while no other program is in such a block."""
        with self.writing():
            self.rows("select pg_advisory_xact_lock(?)", [_MIGRATING])
            yield

    def has_table(self, name: str) -> bool:
        """Tell whether there is such a table."""
        found = self.row("select to_regclass(?) is not null as found", [name])
        return found is not None and bool(found["found"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True, row_factory=dict_row)
        except psycopg.Error as error:
            raise StorageError(f"PostgreSQL: {_plain(error)}") from error
        try:
            if connection.info.server_version < OLDEST:
                raise StorageError(f"PostgreSQL {connection.info.server_version // 10_000}: 13 or later is needed")
            if connection.info.parameter_status("server_encoding") != "UTF8":
                raise StorageError("the database is not in UTF8; make it with `createdb -E UTF8 -T template0`")
            connection.execute(_SESSION)
        except psycopg.Error as error:
            connection.close()
            raise StorageError(f"PostgreSQL: {_plain(error)}") from error
        except StorageError:
            connection.close()
            raise
        return connection

    def _done(self, work: Callable[[psycopg.Connection[Row]], _T]) -> _T:
        if self._connection.closed:
            if self._open_n:
                raise StorageError("PostgreSQL: the connection broke in the middle; nothing was changed")
            self._connection = self._connect()
        try:
            return work(self._connection)
        except psycopg.DataError as error:
            raise ValueError(f"not storable: {_plain(error)}") from error
        except psycopg.Error as error:
            raise StorageError(f"PostgreSQL: {_plain(error)}; nothing was changed") from error


def read_conninfo(file: Path | None) -> str:
    """Return where the server is: what *file* says, or what libpq finds by itself when there is none.

    Raises:
        SettingsError: absent, empty, or others may read it.
    """
    if file is None:
        return ""
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise SettingsError(f"{file}: others may read it, and a password may stand there; chmod 600 {file}")
        text = file.read_text("utf-8").strip()
        said = conninfo_to_dict(text)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not UTF-8 text") from None
    except psycopg.Error:
        raise SettingsError(
            f"{file}: one line is wanted, `host=... dbname=... user=... password=...` or a postgresql:// address"
        ) from None
    if not said:
        raise SettingsError(f"{file}: empty; write where the server is")
    return text


@functools.cache
def _marked(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _plain(error: psycopg.Error) -> str:
    said: Any = error.diag.message_primary or str(error)
    return " ".join(str(said).split())[:300] or type(error).__name__
