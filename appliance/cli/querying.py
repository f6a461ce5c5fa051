"""`appliance audit query`: questions to the ledger, in SQL, without the daemon."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Final, TextIO

import click

from appliance.errors import UsageError
from appliance.ledger import query as engine
from appliance.ledger import saved
from appliance.ledger.query import Value
from appliance.terminal import Styled, tell

if TYPE_CHECKING:
    from appliance.cli.auditing import Ledger

TABLE_ROWS_N: Final = 200
"""What a person reads of a table; JSON and CSV give everything unless told otherwise."""

_CELL_CHARS: Final = 48
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal would obey instead of show."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@click.command()
@click.argument("sql", required=False)
@click.option("--saved", "name", help="Ask a question that has a name; --list shows them.")
@click.option("--param", "given", multiple=True, metavar="NAME=VALUE", help="A value for `:name` in the statement.")
@click.option("--list", "list_", is_flag=True, help="Show the questions that have a name.")
@click.option("--views", is_flag=True, help="Show what can be asked: every view and its columns.")
@click.option("--table", "form", flag_value="table", default=True, help="Columns for people (default).")
@click.option("--json", "form", flag_value="json", help="A line of JSON for each row.")
@click.option("--csv", "form", flag_value="csv", help="CSV (RFC 4180); text that a spreadsheet would run is marked.")
@click.option("--limit", type=click.IntRange(1), help=f"At most so many rows.  [default: {TABLE_ROWS_N} in a table]")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=10.0, show_default=True, help="Give up after.")
@click.pass_obj
def query(
    ledger: Ledger,
    sql: str | None,
    name: str | None,
    given: tuple[str, ...],
    list_: bool,  # noqa: FBT001 -- click passes flags
    views: bool,  # noqa: FBT001 -- click passes flags
    form: str,
    limit: int | None,
    seconds: float,
) -> None:
    r"""Ask the ledger in SQL; nothing can be changed this way.

    \b
      appliance audit query "select asked_at, words, tools, status from decisions order by seq desc limit 10"
      appliance audit query --saved refused --param since=2026-11-01 --csv > refused.csv
    """
    folder = ledger.home.root / "queries"
    if list_:
        _list(saved.every(folder).values())
        return
    if views:
        _views()
        return
    if (sql is None) == (name is None):
        raise UsageError("give a statement or --saved NAME; --list shows the names, --views what can be asked")
    parameters: dict[str, str | None] = dict(_pair(text) for text in given)
    if name is not None:
        kept = saved.named(folder, name)
        sql, parameters = kept.sql, saved.bound(kept, {k: v or "" for k, v in parameters.items()})
    assert sql is not None  # one of the two was given
    limit = limit or (TABLE_ROWS_N if form == "table" else None)
    with engine.asked(ledger.database, sql, parameters, seconds=seconds) as answer:
        rows = answer.rows if limit is None else islice(answer.rows, limit)
        match form:
            case "json":
                _json(answer.columns, rows, sys.stdout)
            case "csv":
                write_csv(answer.columns, rows, sys.stdout)
            case _:
                _table(answer.columns, list(rows))
        if limit is not None and next(answer.rows, None) is not None:
            tell(f"the first {limit:,} rows; --limit gives more", err=True)


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Value]], target: TextIO) -> int:
    """Write RFC 4180 lines and return how many rows; text that a spreadsheet would take for a formula gets a `'`.

    Numbers are written as they are: they cannot carry a command, and a marked one could not be added up.
    """
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(columns)
    n = 0
    for n, row in enumerate(rows, start=1):  # noqa: B007 -- the count is what is returned
        writer.writerow([_cell(value) for value in row])
    return n


def _cell(value: Value) -> Value:
    match value:
        case str() if value.startswith(_FORMULA):
            return f"'{value}"
        case bytes():
            return value.hex()
        case _:
            return value


def _json(columns: Sequence[str], rows: Iterable[Sequence[Value]], target: TextIO) -> None:
    names = _apart(columns)
    for row in rows:
        named = {name: _as_json(value) for name, value in zip(names, row, strict=True)}
        line = json.dumps(named, ensure_ascii=False, allow_nan=False)
        target.write(_UNPRINTABLE.sub(lambda m: f"\\u{ord(m[0]):04x}", line) + "\n")


def _apart(columns: Sequence[str]) -> list[str]:
    """Number the later ones of several columns of one name: an object of JSON keeps only one of them."""
    names: list[str] = []
    for column in columns:
        name, n = column, 1
        while name in names or (n > 1 and name in columns):
            n += 1
            name = f"{column}_{n}"
        names.append(name)
    return names


def _as_json(value: Value) -> Value:
    match value:
        case bytes():
            return value.hex()
        case float() if not isfinite(value):
            return "Infinity" if value > 0 else "-Infinity"  # JSON has no number for it
        case _:
            return value


def _table(columns: Sequence[str], rows: list[tuple[Value, ...]]) -> None:
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max([len(c), *(len(row[n]) for row in cells)]) for n, c in enumerate(columns)]
    numeric = [any(isinstance(r[n], int | float) for r in rows) for n in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = (t.rjust(w) if right else t.ljust(w) for t, w, right in zip(row, widths, numeric, strict=True))
        return "  ".join(padded).rstrip()

    tell(Styled(line([_shown(c) for c in columns]), bold=True))
    for row in cells:
        tell(line(row))
    if not rows:
        tell("(nothing)", err=True)


def _shown(value: Value) -> str:
    match value:
        case None:
            return ""
        case bytes():
            text = value.hex()
        case float():
            text = f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
        case _:
            text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value).replace("\n", " "))
    return text if len(text) <= _CELL_CHARS else text[: _CELL_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _list(known: Iterable[saved.Saved]) -> None:
    for kept in known:
        tell(Styled(kept.name, bold=True), "  (yours)" if kept.own else "")
        tell(f"    {kept.answers}")
        for parameter, what in kept.parameters.items():
            tell(f"    --param {parameter}=...  {what}")


def _views() -> None:
    from appliance.storage import views

    for view in views.VIEWS:
        tell(Styled(view.name, bold=True), f"  {view.tells}")
        tell(click.wrap_text(", ".join(view.columns), 100, "    ", "    "), lines=True)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--param {text!r}: write NAME=VALUE")
    return name, value


def all_views(ledger: Ledger, *, seconds: float) -> Iterator[tuple[str, engine.Answer]]:
    """Yield every view with all its rows, to be written before the next is asked for."""
    from appliance.storage import views

    for view in views.VIEWS:
        everything = f"select * from {view.name}"  # noqa: S608 -- our own name
        with engine.asked(ledger.database, everything, {}, seconds=seconds) as answer:
            yield view.name, answer
