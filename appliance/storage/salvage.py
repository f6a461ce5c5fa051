"""A damaged database to a new one that holds what can be read of it, row by row; the damaged file stays as it lies.

Kept: notes, schedules, holds, issuers' counters, replies, whose bundles count and how long they have lain here, events
that nobody acknowledged, and every readable record of the ledger, under the epoch that it had. Requests: what was
settled stays settled, so that the same command is not done twice. What was queued or taken is called in doubt, because
its newer row may be the one that was lost. What waited for a person is refused, and undo is dropped: both speak of a
state that nobody can vouch for any more. Where a workflow is stays as it was read, and is in doubt (`runs.doubted`)
unless all of it could be: then its laws deny until a person begins it anew.

Covers: a power cut between any two steps (`finish`), pages that no index leads to (`carving`), a log that belongs to
another file, a header that is gone. What was lost is counted as far as it can be known, and told in the first records.
Does not cover: which rows are newest where only an old copy of a page is left; they are kept as they are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

from appliance import lasting
from appliance.contracts.audit import AuditRow
from appliance.contracts.record import JsonObject
from appliance.storage import carving, database, forgetting, meta, past, probing, remains, runs, soundness
from appliance.storage.carving import Carved
from appliance.storage.database import Database
from appliance.storage.past import Cited
from appliance.storage.probing import Gap
from appliance.storage.remains import Remains

REPORT: Final = "salvaged"
"""Name in `meta` of what was saved and lost, until it has been written into the ledger."""

UNKNOWN_EPOCH: Final = "unknown"
"""Under this lie records of a file that no longer says which epoch it was."""

_REFUSED: Final = "The database was damaged while this waited for a person; ask again."
_COMPANIONS: Final = ("-wal", "-shm")
_REPORTED_GAPS_N: Final = 100


def replace(path: Path, epoch: str) -> Path:
    """Put a new database, of *epoch*, in the place of the damaged one at *path*, with all that can be read of it.

    Returns:
        Where the damaged file now lies.

    Raises:
        StorageError: no room, or the folder cannot be written; the damaged file still lies where it was.
    """
    draft, ready = _draft(path), _ready(path)
    for stale in (draft, ready, *(_companion(draft, suffix) for suffix in _COMPANIONS)):
        stale.unlink(missing_ok=True)
    db = database.open_writer(draft, epoch)
    try:
        _save(path, db)
    finally:
        db.close()
    draft.rename(ready)
    lasting.keep_names(path.parent)
    aside = _set_aside(path)
    _put_in_place(path)
    return aside


def finish(path: Path) -> None:
    """Put a new database in its place if the power went just before `replace` could."""
    if not path.exists() and _ready(path).exists():
        _put_in_place(path)


def _put_in_place(path: Path) -> None:
    # A log or an index of the damaged file must not be taken for the new one's.
    for suffix in _COMPANIONS:
        left = _companion(path, suffix)
        if left.exists():
            left.rename(_companion(_newest_aside(path), suffix))
    _ready(path).rename(path)
    soundness.unmark(path)
    lasting.keep_names(path.parent)


def _save(path: Path, db: Database) -> None:
    found = Remains()
    gaps: dict[str, list[Gap]] = {}
    reader = _reader(path)
    if reader is not None:
        with closing(reader):
            there = {name for (name,) in reader.execute("select name from sqlite_schema where type = 'table'")}
            for table in remains.SMALL:
                gaps[table] = []
                if table not in there:
                    continue  # a file of an earlier version
                for row in _reachable(reader, table, remains.SMALL[table], gaps[table]):
                    found.add(table, row)
    # Behind a damaged place in the log there may be newer rows of any table.
    cut = soundness.log_is_cut(path)
    unreachable = [table for table in remains.SMALL if reader is None or gaps[table] or cut]
    carved = 0
    if unreachable:
        for row in _carved(path):
            of = remains.table_of(row)
            if of is not None and of in unreachable:
                carved += found.add(of, remains.as_row(of, row))
    epoch = found.epoch or _epoch_of_records(path) or UNKNOWN_EPOCH
    report = _keep(db, found, lost=[table for table in unreachable if gaps.get(table) or reader is None])
    if found.doubt or "runs" in unreachable or soundness.log_is_foreign(path):
        # The newest row of a run may be among what is lost; it is kept, and nobody goes on from it by himself.
        runs.doubt(db, found.doubt or "the database was damaged")
    report |= _keep_ledger(path, db, epoch, horizon=found.horizon)
    report |= {"epoch": epoch, "carved_rows": carved}
    meta.put(db, REPORT, json.dumps(report))
    past.cite(db, Cited("damaged", None, {"epoch": epoch, "records": report["records"]}))


def _keep(db: Database, found: Remains, *, lost: list[str]) -> JsonObject:
    """Write what was found of every table but the ledger, and say how much that was."""
    parked, doubtful = [], []
    with db.atomic() as connection:
        for row in found.rows("inbox"):
            seq, request_id, received_at, status, body, _, _, outcome = row
            if status == "parked":
                parked.append(str(request_id))
                refused = {"request_id": request_id, "status": "refused", "code": "salvaged", "reason": _REFUSED}
                status, outcome = "done", json.dumps(refused)
            elif status != "done":
                doubtful.append(str(request_id))
                status = "taken"
            connection.execute(
                "insert or ignore into inbox values (?, ?, ?, ?, ?, null, null, ?)",
                (seq, request_id, received_at, status, body, outcome),
            )
        for row in found.rows("outbox"):
            # Numbered anew: in the new epoch the controller begins to count at 1.
            connection.execute(
                "insert or ignore into outbox (envelope_id, kind, at, body) values (?, ?, ?, ?)", row[1:]
            )
        as_they_were = ("notes", "schedules", "replies", "issuers", "holds", "runs", *remains.TRUST)
        for table in as_they_were:
            for row in found.rows(table):
                places = ", ".join("?" * len(row))
                connection.execute(f"insert or ignore into {table} values ({places})", row)  # noqa: S608 -- our own names
        if found.boot:
            meta.put(db, "boot", str(found.boot))
        for key, value in found.kept_as_they_are.items():
            meta.put(db, key, value)
    return {
        "saved": {table: len(found.rows(table)) for table in remains.SMALL if table not in {"meta", "streams"}},
        "not_whole": list(lost),
        "in_doubt": list(doubtful),
        "refused": list(parked),
        "acknowledged": found.acknowledged,
    }


def _keep_ledger(path: Path, db: Database, epoch: str, *, horizon: str | None) -> JsonObject:
    """Move what can be read of the ledger into `past`, first what SQLite reaches, then what only the pages hold."""
    gaps: dict[str, list[Gap]] = {"audit": [], "past": []}
    roots: list[tuple[object, ...]] = []
    checkpoints: list[tuple[object, ...]] = []
    bad: list[int] = []
    reader = _reader(path)
    if reader is not None:
        with closing(reader):
            roots = list(_reachable(reader, "tree", remains.TREE, []))
            checkpoints = list(_reachable(reader, "checkpoints", remains.CHECKPOINTS, []))
            records = _reachable(reader, "audit", remains.AUDIT, gaps["audit"])
            past.take_over(db, epoch, _whole(records, bad))
            earlier = _reachable(reader, "past", remains.PAST, gaps["past"])
            for of, rows in groupby(earlier, key=itemgetter(1)):
                past.take_over(db, str(of), _whole((row[2:] for row in rows), []))
    loses_commits = reader is None or soundness.log_is_cut(path) or soundness.log_is_foreign(path)
    newest = db.row("select max(rowid) as n from past")
    sound_upto = 0 if loses_commits or newest is None else int(newest["n"] or 0)
    carves = reader is None or bool(gaps["audit"] or gaps["past"] or bad) or soundness.log_is_cut(path)
    if carves:
        past.take_over(db, epoch, _whole((remains.record_of(row) for row in _carved(path)), []))
        lying = (found for row in _carved(path) if (found := remains.past_record_of(row)) is not None)
        for of, rows in groupby(lying, key=itemgetter(0)):
            past.take_over(db, str(of), _whole((row[1:] for row in rows), []))
    for of in {str(row[0]) for row in (*roots, *checkpoints)}:
        past.take_over(
            db,
            of,
            (),
            roots=[
                (level, n, root)
                for epoch_of, level, n, root in roots
                if epoch_of == of and isinstance(level, int) and isinstance(n, int) and isinstance(root, bytes)
            ],
            checkpoints=[
                (size, at, note)
                for epoch_of, size, at, note in checkpoints
                if epoch_of == of and isinstance(size, int) and isinstance(at, str) and isinstance(note, str)
            ],
        )
    forgotten_n = forgetting.again(db, sound_upto=sound_upto, horizon=horizon)
    return {
        "records": _extent(db, epoch),
        "earlier_not_whole": bool(gaps["past"]),
        "words_erased_again": forgotten_n,
    }


def _extent(db: Database, epoch: str) -> JsonObject:
    """Say which records of *epoch* were saved: the newest number, how many, and the runs in between that are lost."""
    newest = db.row("select count(*) as n, coalesce(max(seq), 0) as last from past where epoch = ?", (epoch,))
    assert newest is not None  # an aggregate has one row
    missing = db.rows(
        "select before + 1 as first, seq - 1 as last from"
        " (select seq, lag(seq, 1, 0) over (order by seq) as before from past where epoch = ?)"
        " where seq > before + 1 limit ?",
        (epoch, _REPORTED_GAPS_N),
    )
    return {"saved": newest["n"], "last": newest["last"], "missing": [[row["first"], row["last"]] for row in missing]}


def _whole(rows: Iterable[probing.Row | None], bad: list[int]) -> Iterator[AuditRow]:
    """Yield the records among *rows* that are what was written, as their leaf says; numbers of others go to *bad*."""
    for row in rows:
        if row is None:
            continue
        record = remains.checked(row)
        if record is not None:
            yield record
        elif isinstance(row[0], int):
            bad.append(row[0])


def _reachable(reader: sqlite3.Connection, table: str, columns: str, gaps: list[Gap]) -> Iterator[probing.Row]:
    if columns.startswith(remains.ROW_NUMBER):
        yield from probing.rows(reader, table, columns, gaps)
        return
    # Without row numbers: from both ends to the damage.
    seen: set[probing.Row] = set()
    for order in ("", " desc"):
        try:
            for row in reader.execute(f"select {columns} from {table} order by 1{order}"):  # noqa: S608 -- our own names
                if tuple(row) not in seen:
                    seen.add(tuple(row))
                    yield tuple(row)
        except sqlite3.DatabaseError:
            gaps[:] = [Gap(0, 0)]
        else:
            return


def _carved(path: Path) -> Iterator[Carved]:
    foreign = soundness.log_is_foreign(path)
    yield from carving.rows(path, with_log=not foreign)
    # The log may be the damage, laid over pages that were whole.
    if not foreign and _companion(path, "-wal").exists():
        yield from carving.rows(path, with_log=False)


def _epoch_of_records(path: Path) -> str | None:
    """Return the epoch as the ledger's first record names it."""
    for row in _carved(path):
        found = remains.record_of(row)
        record = None if found is None else remains.checked(found)
        if record is not None and record.kind == "epoch":
            return str(json.loads(record.body)["facts"].get("epoch") or "") or None
    return None


def _reader(path: Path) -> sqlite3.Connection | None:
    """Open the damaged file without changing it, None if SQLite cannot make anything of it."""
    if soundness.has_only_a_log(path):
        return None
    # `immutable` is how SQLite is told to look past the log.
    how = "immutable=1" if soundness.log_is_foreign(path) else "mode=ro"
    try:
        reader = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=5)
    except sqlite3.DatabaseError:
        return None
    try:
        reader.execute("select name from sqlite_schema").fetchall()
    except sqlite3.DatabaseError:
        reader.close()
        return None
    return reader


def _set_aside(path: Path) -> Path:
    """Rename the file and its companions; nothing recorded is ever deleted."""
    n = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{n}")).exists():
        n += 1
    path.rename(aside)
    for suffix in _COMPANIONS:
        companion = _companion(path, suffix)
        if companion.exists():
            companion.rename(_companion(aside, suffix))
    return aside


def _newest_aside(path: Path) -> Path:
    n = 1
    while path.with_name(f"{path.name}.corrupt-{n + 1}").exists():
        n += 1
    return path.with_name(f"{path.name}.corrupt-{n}")


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaging")


def _ready(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
