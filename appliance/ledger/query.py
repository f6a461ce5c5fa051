"""One SQL statement to rows, on a connection that can only read.

Covers: writing, attaching, pragmas that change something and loading code (refused by an authorizer, and the file is
open read-only besides), a statement that runs too long (interrupted), values and statements too large to hold, a
mistake in the statement (shown with its place, and with the name that was probably meant).
Does not cover: who may read; whoever can open the file can read all of it, what people said included.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rapidfuzz import process

from appliance.errors import StorageError, UsageError
from appliance.storage.database import open_reader

Value = int | float | str | bytes | None

MAX_VALUE_BYTES: Final = 16 * 2**20
"""Larger than any record; a function cannot make a gigabyte out of nothing."""

MAX_SQL_BYTES: Final = 100_000
_INSTRUCTIONS_N: Final = 10_000
"""Of SQLite's machine, between two looks at the clock: well below a millisecond."""

_READING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "edit", "readfile", "writefile"})
_DESCRIBING: Final = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info", "data_version"})
"""Pragmas that tell something and change nothing."""


class Answer(NamedTuple):
    """What a statement gives; rows come as they are read."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Value, ...]]


@contextmanager
def asked(path: Path, sql: str, parameters: Mapping[str, str | None], *, seconds: float) -> Iterator[Answer]:
    """Run *sql* on the ledger at *path*; the rows are read inside the block.

    Raises:
        UsageError: the statement is wrong, not a reading one, or ran longer than *seconds*.
        StorageError: the database cannot be read.
    """
    reader = open_reader(path)
    refused: list[str] = []
    try:
        reader.row_factory = None
        # Before the authorizer stands: a plan for a large sort goes to a file, not to memory.
        reader.execute("pragma temp_store = file")
        reader.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        reader.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES)
        reader.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        reader.set_authorizer(_authorizer(refused))
        deadline = time.monotonic() + seconds
        reader.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS_N)
        try:
            cursor = reader.execute(sql, parameters)
            if cursor.description is None:
                raise UsageError("there is no statement in it; write a `select`, or see `appliance audit query --list`")
            yield Answer(tuple(column[0] for column in cursor.description), iter(cursor))
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _explained(error, sql, refused, seconds, reader) from error
    finally:
        reader.close()


def _authorizer(refused: list[str]) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    """Return what SQLite asks before it prepares anything; *refused* learns what was denied."""

    def allow(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
        if action in _READING and not (action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first in _DESCRIBING:
            return sqlite3.SQLITE_OK
        what = second if action == sqlite3.SQLITE_FUNCTION else None
        refused.append(what or _ACTIONS.get(action, "change the database"))
        return sqlite3.SQLITE_DENY

    return allow


_ACTIONS: Final = {
    sqlite3.SQLITE_ATTACH: "attach another file",
    sqlite3.SQLITE_PRAGMA: "use a pragma",
    sqlite3.SQLITE_INSERT: "write",
    sqlite3.SQLITE_UPDATE: "write",
    sqlite3.SQLITE_DELETE: "write",
    sqlite3.SQLITE_TRANSACTION: "begin a transaction",
}


def _explained(
    error: Exception, sql: str, refused: list[str], seconds: float, reader: sqlite3.Connection
) -> UsageError | StorageError:
    text = str(error)
    if refused:
        return UsageError(f"a query only reads; this one would {refused[0]}")
    if text == "interrupted":
        return UsageError(
            f"stopped after {seconds:g} seconds; ask for less (`where seq between ...`), or use --seconds"
        )
    if "one statement" in text:
        return UsageError("one statement at a time")
    if "supply a value for binding" in text or "binding parameter" in text.lower():
        return UsageError(f"{text.rstrip('.')}; give it with --param NAME=VALUE")
    if "too big" in text or "too large" in text:
        return UsageError(f"{text}: a value or the statement is larger than a query may hold")
    if isinstance(error, sqlite3.OperationalError) and not text.startswith(("disk I/O", "unable to open", "database ")):
        return UsageError(f"{text}{_place(text, sql)}{_meant(text, reader)}")
    if isinstance(error, sqlite3.DatabaseError) and "malformed" in text:
        return StorageError(f"the database is damaged: {text}; `appliance doctor` says more")
    return UsageError(text)


def _place(message: str, sql: str) -> str:
    """Show where in *sql* the word lies that SQLite complains of."""
    found = re.match(r'near "(.+?)": syntax error|no such (?:column|table|function): (.+)', message, re.DOTALL)
    if message.startswith("incomplete input"):
        at = len(sql.rstrip())
    elif message.startswith("unrecognized token"):
        at = max(0, sql.find(message.partition('"')[2].removesuffix('"')))
    elif found is None:
        return ""
    else:
        word = found[1] or found[2].rpartition(".")[2]
        places = [m.start() for m in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", sql, re.IGNORECASE)]
        if found[1] and len(places) > 1:
            places = [at for at in places if _fails_alike(sql[: at + len(word)], message)] or places
        if not places:
            return ""
        at = places[0]
    line_n = sql.count("\n", 0, at) + 1
    begin = sql.rfind("\n", 0, at) + 1
    line = sql[begin:].partition("\n")[0]
    return f", at line {line_n}, column {at - begin + 1}:\n    {line}\n    {' ' * (at - begin)}^"


def _fails_alike(sql: str, message: str) -> bool:
    """Tell whether *sql*, cut after a word, fails at that word: the parser stops at the first that is wrong."""
    empty = sqlite3.connect(":memory:")
    try:
        empty.execute(sql)
    except sqlite3.Error as error:
        return str(error) == message
    finally:
        empty.close()
    return False


def _meant(message: str, reader: sqlite3.Connection) -> str:
    """Name what is there, where a name is not."""
    reader.set_authorizer(None)
    reader.set_progress_handler(None, 0)
    missing = re.match(r"no such (column|table): (.+)", message)
    if missing is None:
        return ""
    sql = "select name from sqlite_schema where type in ('view', 'table') and name not like 'sqlite_%'"
    known = [row[0] for row in reader.execute(sql)]
    if missing[1] == "column":
        columns: set[str] = set()
        for name in known:
            try:
                # As a value: a name may have quotes in it.
                columns |= {row[0] for row in reader.execute("select name from pragma_table_info(?)", (name,))}
            except sqlite3.Error:
                continue  # somebody's own view that no longer works
        known = sorted(columns)
    near = process.extractOne(missing[2].rpartition(".")[2], known, score_cutoff=60)
    return f"\nDid you mean {near[0]!r}?" if near else "\n`appliance audit query --views` lists what there is."
