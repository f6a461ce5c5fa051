"""What was erased stays erased when a damaged file is salvaged: an old page may still have the words.

Two rules. What a salvaged `redacted` record names is erased again, with its copies. And of a record that SQLite could
not reach, or that lies in a file whose newest commits are lost, nobody knows whether its words are the newest state:
where it is older than the newest record that age is known to have reached, they are dropped. In doubt they are gone.

Covers: words of the ledger, of requests and of answers; records under a hold that was saved (they keep their words).
Does not cover: a person's erasure whose record was lost with the file; notes, unless a word of theirs comes back here.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from appliance.contracts.canonical import canonical
from appliance.storage import holds, redaction
from appliance.storage.database import Database

HORIZON: Final = "horizon-words"
"""Name in `meta` of the time before which age has erased what people said."""

_KEPT_KINDS: Final = frozenset({"hold", "redacted"})
"""What these say is personal too, but no age erases it."""

_AT_ONCE_N: Final = 2_000
_LAST: Final = 2**62


class _Erasure(NamedTuple):
    """Some records that a `redacted` record names."""

    by_age: bool
    fields: frozenset[str]
    epoch: str
    first: int
    last: int


def again(db: Database, *, sound_upto: int, horizon: str | None) -> int:
    """Erase in the salvaged records what had been erased before.

    Args:
        sound_upto: rows of `past` up to this one are what the file held when it was written last.
        horizon: what `meta` says of `HORIZON`, if it could be read.

    Returns:
        From how many records words were taken.
    """
    requests: set[str] = set()
    words: set[str] = set()
    erased_n = 0
    times = [horizon] if horizon is not None and _is_time(horizon) else []
    for erasure in _erasures(db):
        for rows in _batches(db, erasure.epoch, erasure.first, erasure.last, above=0):
            requests.update(row["request_id"] for row in rows if row["request_id"] is not None)
            # A person may have erased what is young: only age says how far age has come.
            times += [row["at"] for row in rows if erasure.by_age and row["clock"] == "trusted"]
            erased_n += _erase(db, rows, erasure, words)
        times = [max(times)] if times else []
    for epoch, last in _reached(db, times[0]) if times else ():
        for rows in _batches(db, epoch, 1, last, above=sound_upto):
            free = _not_held(db, rows)
            with db.atomic() as connection:
                connection.executemany("update past set personal = null where rowid = ?", [(n,) for n, _ in free])
            requests.update(request_id for _, request_id in free if request_id is not None)
            erased_n += len(free)
    with db.atomic() as connection:
        known = connection.execute("select request_id from inbox union select request_id from replies").fetchall()
        redaction.erase_copies(connection, requests & {row["request_id"] for row in known}, words)
    return erased_n


def _erasures(db: Database) -> Iterator[_Erasure]:
    for row in db.rows("select body from past where kind = 'redacted'"):
        # One that is not of this form is not ours; `audit verify` says what is wrong with the ledger.
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            facts: Any = json.loads(row["body"])["facts"]
            fields = frozenset(map(str, facts["fields"]))
            for epoch, runs in facts["records"].items():
                for first, last in runs:
                    yield _Erasure(facts["why"] == "age", fields, epoch, int(first), min(int(last), _LAST))


def _erase(db: Database, rows: list[sqlite3.Row], erasure: _Erasure, words: set[str]) -> int:
    """Take the named fields out of *rows*; what stood in them goes to *words*, unless it was age that erased it."""
    taken_n = 0
    with db.atomic() as connection:
        for row in rows:
            kept = json.loads(row["personal"] or "{}")
            left = {name: value for name, value in kept.items() if name not in erasure.fields}
            if len(left) == len(kept):
                continue
            if not erasure.by_age:
                words.update(text for name in kept.keys() - left.keys() for text in redaction.texts(kept[name]))
            personal = canonical(left).decode() if left else None
            connection.execute("update past set personal = ? where rowid = ?", (personal, row["rowid"]))
            taken_n += 1
    return taken_n


def _reached(db: Database, newest: str) -> list[tuple[str, int]]:
    """Return for each epoch up to which record it was written before *newest*."""
    rows = db.rows(
        "select epoch, max(seq) as last from past where at <= ? and json_extract(body, '$.clock') = 'trusted'"
        " group by epoch",
        (newest,),
    )
    return [(row["epoch"], row["last"]) for row in rows]


def _not_held(db: Database, rows: list[sqlite3.Row]) -> list[tuple[int, str | None]]:
    with db.reading() as connection:
        active = holds.active(connection)
    return [
        (row["rowid"], row["request_id"])
        for row in rows
        if row["personal"] is not None
        and row["kind"] not in _KEPT_KINDS
        and holds.over(active, row["epoch"], row["seq"], row["seq"]) is None
    ]


def _batches(db: Database, epoch: str, first: int, last: int, *, above: int) -> Iterator[list[sqlite3.Row]]:
    while rows := db.rows(
        "select rowid, epoch, seq, kind, request_id, at, personal, json_extract(body, '$.clock') as clock from past"
        " where epoch = ? and seq between ? and ? and +rowid > ? order by seq limit ?",
        (epoch, first, last, above, _AT_ONCE_N),
    ):
        yield rows
        first = rows[-1]["seq"] + 1


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False
