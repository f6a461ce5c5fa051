"""What somebody said, erased everywhere on the device; that something was said stays, and stays provable.

A record's hashed body holds a salted commitment in place of each personal value. Erased are value and salt together:
without the salt nobody can try values until one fits. The copies go with them: the request and its answer in the inbox,
the answer kept for a controller, the way back in `undo`, a note with the same text.

Why something was held or erased is personal too, but no age erases it: only a person does.

Covers: one transaction for the values, their copies and the record of it; free space inside pages (`secure_delete`);
records under a hold, and requests still under way (refused).
Does not cover: the write-ahead log, which `Database.cut_log` cuts; files that were set aside; what has left the device;
what a card keeps in blocks that it has retired.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.storage import audit, database, holds, meta
from appliance.storage.database import Database

AT_ONCE_N: Final = 64
"""Records in one transaction: a decision waits no longer than that takes."""

ERASED: Final = "What was said has been erased."

_WORDS_UPTO: Final = "words-upto"
_ANSWERS_UPTO: Final = "answers-upto"

_CALL_FIELDS: Final = ("name", "confidence", "verdict", "rule", "state", "postcondition")
_ANSWER_FIELDS: Final = ("request_id", "status", "code", "latency_ms")


class Row(NamedTuple):
    """A record that holds personal values."""

    epoch: str
    seq: int
    request_id: str | None
    personal: JsonObject


class Reach(NamedTuple):
    """Up to where old words have been looked for; what lies before has none that may be erased."""

    past: int = 0
    """A row of `past`."""

    epoch: str = ""
    seq: int = 0


class Erased(NamedTuple):
    """What a redaction came to."""

    records_n: int
    values_n: int
    copies_n: int
    """Rows beside the ledger that held the same words."""


def of_request(db: Database, request_id: str) -> list[Row] | str:
    """Return what was said in a request and in the answers to its questions, or why that is not erased now."""
    if db.row("select 1 from inbox where request_id = ? and status <> 'done'", (request_id,)) is not None:
        return f"{request_id} is still under way; answer it or let it lapse, then redact it"
    current = database.epoch(db)
    found: list[Row] = []
    asked = "request_id = ? or iif(json_valid(body), json_extract(body, '$.facts.of'), null) = ?"
    span = db.row("select min(seq) as first, max(seq) as last from audit where request_id = ?", (request_id,))
    if span is not None and span["first"] is not None:
        rows = db.rows(
            f"select seq, request_id, personal from audit where seq between ? and ? and ({asked})",  # noqa: S608 -- our own text
            (span["first"], span["last"], request_id, request_id),
        )
        found += [_row(current, row) for row in rows]
    past = db.rows(f"select epoch, seq, request_id, personal from past where {asked}", (request_id, request_id))  # noqa: S608 -- our own text
    found += [_row(str(row["epoch"]), row) for row in past]
    return found or f"there is no record of {request_id}"


def of_number(db: Database, seq: int) -> list[Row] | str:
    """Return the record numbered *seq* of the current epoch, or why it is not erased now."""
    row = db.row("select seq, request_id, personal from audit where seq = ?", (seq,))
    if row is None:
        return f"there is no record {seq:,}"
    if row["request_id"] is not None:
        open_ = "select 1 from inbox where request_id = ? and status <> 'done'"
        if db.row(open_, (row["request_id"],)) is not None:
            return f"record {seq:,} belongs to a request that is still under way"
    return [_row(database.epoch(db), row)]


def older(db: Database, horizon: datetime, reach: Reach) -> tuple[list[Row], Reach]:
    """Return the next records with personal values that were written before *horizon* by a trusted clock.

    Returns:
        Those that may be erased, and where this look ended: where it began when nothing older is left.
    """
    current = database.epoch(db)
    with db.reading() as connection:
        active = holds.active(connection)
    looked = _looked_past(db, horizon, reach)
    if looked is None:
        looked = _looked_current(db, current, horizon, reach if reach.epoch == current else reach._replace(seq=0))
    rows, ended = looked
    free = [row for row in rows if holds.over(active, row.epoch, row.seq, row.seq) is None]
    return free, ended._replace(epoch=current) if rows else reach


def held(db: Database, rows: Iterable[Row]) -> holds.Hold | None:
    """Return a hold that is on one of *rows*."""
    with db.reading() as connection:
        active = holds.active(connection)
    return next((h for r in rows if (h := holds.over(active, r.epoch, r.seq, r.seq)) is not None), None)


def erase(
    db: Database,
    rows: Sequence[Row],
    *,
    fields: tuple[str, ...],
    by: str,
    why: str,
    reason: str,
    moment: Moment,
    reach: Reach | None = None,
) -> Erased:
    """Erase the named *fields* of *rows* (all when empty) and every copy, and write down that it was done.

    Args:
        why: `person` or `age`.
        reason: in a person's words; itself personal.
        reach: where the look for old words has come; kept in the same transaction.
    """
    values: set[str] = set()
    erased: dict[str, list[int]] = {}
    names: set[str] = set()
    values_n = copies_n = 0
    with db.atomic() as connection:
        for row in rows:
            gone = {n: kept for n, kept in row.personal.items() if not fields or n in fields}
            if not gone:
                continue
            left = {n: kept for n, kept in row.personal.items() if n not in gone}
            table, where, key = _place(row, database.epoch(db))
            connection.execute(
                f"update {table} set personal = ? where {where}",  # noqa: S608 -- our own names
                (canonical(left).decode() if left else None, *key),
            )
            copies_n += _erase_hold(connection, table, where, key, gone)
            values.update(text for kept in gone.values() for text in texts(kept))
            names.update(gone)
            values_n += len(gone)
            erased.setdefault(row.epoch, []).append(row.seq)
        requests = {r.request_id for r in rows if r.request_id is not None}
        copies_n += erase_copies(connection, requests, values if why == "person" else set())
        if erased:
            facts: dict[str, Any] = {
                "why": why,
                "by": by,
                "fields": sorted(names),
                "values_n": values_n,
                "records": {epoch: _runs(seqs) for epoch, seqs in erased.items()},
            }
            personal: JsonObject = {"reason": reason} if reason else {}
            audit.append(db, AuditRecord(kind="redacted", moment=moment, facts=facts, personal=personal))
        if reach is not None:
            meta.put(db, _WORDS_UPTO, json.dumps(reach))
    return Erased(sum(map(len, erased.values())), values_n, copies_n)


def reached(db: Database) -> Reach:
    """Return up to where old words have been erased already."""
    kept = meta.get(db, _WORDS_UPTO)
    return Reach() if kept is None else Reach(*json.loads(kept))


def begin_again(db: Database) -> None:
    """Look at everything again: a hold was released, and what it held may be old."""
    db.execute("delete from meta where key = ?", (_WORDS_UPTO,))


def forget_answers(db: Database, *, before: datetime, keep_n: int) -> int:
    """Erase the words of settled requests that nobody will ask for again; the ledger has them.

    A request of the same id still acts once: its row stays, and says that it was settled and how.

    Args:
        before: requests received earlier need their words no longer.
        keep_n: nor do those beyond the newest *keep_n*.

    Returns:
        How many rows were looked at; fewer than `AT_ONCE_N` when there are no more.
    """
    with db.atomic() as connection:
        upto = int(meta.get(db, _ANSWERS_UPTO) or 0)
        rows = connection.execute(
            "select seq, request_id, status, received_at, body, outcome from inbox where seq > ? and (received_at < ?"
            " or seq <= (select max(seq) from inbox) - ?) order by seq limit ?",
            (upto, before.isoformat(), keep_n, AT_ONCE_N),
        ).fetchall()
        done = 0
        for row in rows:
            if row["status"] != "done" or json.loads(row["outcome"]).get("status") == "indeterminate":
                break  # a person still has to answer; what is behind it waits until then
            _erase_inbox(connection, row)
            upto, done = row["seq"], done + 1
        if done:
            meta.put(db, _ANSWERS_UPTO, str(upto))
    return done


def wordless_request(body: JsonObject) -> JsonObject:
    """Return a request's body as it is once its words are erased: who asked and when, not what.

    >>> wordless_request({"kind": "ask", "text": "good night"})
    {'kind': 'ask', 'text': ''}
    """
    said: dict[str, Any] = dict(body)
    for name, empty in (("text", ""), ("because", ""), ("edits", {})):
        if name in said:
            said[name] = empty
    if isinstance(call := said.get("call"), dict):
        said["call"] = {**call, **{name: {} for name in ("literals", "arguments", "spans") if name in call}}
    return said


def wordless_outcome(outcome: JsonObject) -> JsonObject:
    """Return what the asker was told without the words: which tools, and how it ended."""
    calls: Any = outcome.get("calls") or []
    kept: list[Any] = [{name: call[name] for name in _CALL_FIELDS if name in call} for call in calls]
    return {
        **{name: outcome[name] for name in _ANSWER_FIELDS if name in outcome},
        "calls": kept,
        "reason": ERASED,
    }


def erase_copies(connection: sqlite3.Connection, requests: Iterable[str], values: Iterable[str]) -> int:
    """Erase what lies beside the ledger: the words of settled *requests*, and notes that are one of *values*.

    Returns:
        How many rows held some.
    """
    copies_n = 0
    for request_id in requests:
        row = connection.execute(
            "select seq, body, outcome from inbox where request_id = ? and status = 'done'", (request_id,)
        ).fetchone()
        if row is not None:
            copies_n += _erase_inbox(connection, row)
        copies_n += connection.execute(
            "update undo set body = null where request_id = ? and body is not null", (request_id,)
        ).rowcount
        owed = connection.execute("select seq, response from replies where request_id = ?", (request_id,)).fetchone()
        if owed is not None:
            response = canonical({**json.loads(owed["response"]), "text": ERASED, "result": {}}).decode()
            copies_n += connection.execute(
                "update replies set response = ?1 where seq = ?2 and response <> ?1", (response, owed["seq"])
            ).rowcount
    for text in values:
        copies_n += connection.execute("delete from notes where text = ?", (text,)).rowcount
    return copies_n


def texts(value: object) -> list[str]:
    """Return every text inside a personal value, salts and names left out."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, dict):
        return [text for name, inner in value.items() if name != "salt" for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return []


def _looked_past(db: Database, horizon: datetime, reach: Reach) -> tuple[list[Row], Reach] | None:
    """Look at earlier epochs in the order in which they ended; None when all of them have been looked at."""
    rows = db.rows(
        "select rowid, epoch, seq, request_id, personal, at,"
        " iif(json_valid(body), json_extract(body, '$.clock'), null) as clock from past"
        " where rowid > ? and personal is not null and kind not in ('hold', 'redacted') order by rowid limit ?",
        (reach.past, AT_ONCE_N),
    )
    if not rows:
        return None
    old = _old(rows, horizon, _first_trusted(db) if rows[-1]["clock"] != "trusted" else None)
    found = [_row(str(row["epoch"]), row) for row in old]
    return found, reach._replace(past=old[-1]["rowid"]) if old else reach


def _looked_current(db: Database, current: str, horizon: datetime, reach: Reach) -> tuple[list[Row], Reach]:
    rows = db.rows(
        "select seq, request_id, personal, at,"
        " iif(json_valid(body), json_extract(body, '$.clock'), null) as clock from audit"
        " where seq > ? and personal is not null and kind not in ('hold', 'redacted') order by seq limit ?",
        (reach.seq, AT_ONCE_N),
    )
    old = _old(rows, horizon, None)
    return [_row(current, row) for row in old], reach._replace(seq=old[-1]["seq"]) if old else reach


def _old(rows: list[sqlite3.Row], horizon: datetime, then: datetime | None) -> list[sqlite3.Row]:
    """Return the rows at the beginning that were written before *horizon*; *then* is when all of them had been."""
    by = [datetime.fromisoformat(row["at"]) if row["clock"] == "trusted" else None for row in rows]
    for n in range(len(by) - 1, -1, -1):
        # What an untrusted clock wrote was written before what came next.
        by[n] = by[n] or (by[n + 1] if n + 1 < len(by) else then)
    young = next((n for n, at in enumerate(by) if at is None or at >= horizon), len(rows))
    return rows[:young]


def _first_trusted(db: Database) -> datetime | None:
    row = db.row(
        "select at from audit where iif(json_valid(body), json_extract(body, '$.clock'), null) = 'trusted'"
        " order by seq limit 1"
    )
    return None if row is None else datetime.fromisoformat(row["at"])


def _erase_inbox(connection: sqlite3.Connection, row: sqlite3.Row) -> int:
    request = json.loads(row["body"])
    request = {**request, "body": wordless_request(request["body"])}
    outcome = wordless_outcome(json.loads(row["outcome"]))
    return connection.execute(
        "update inbox set body = ?1, outcome = ?2 where seq = ?3 and (body <> ?1 or outcome <> ?2)",
        (canonical(request).decode(), canonical(outcome).decode(), row["seq"]),
    ).rowcount


def _erase_hold(
    connection: sqlite3.Connection, table: str, where: str, key: tuple[object, ...], gone: JsonObject
) -> int:
    """Erase the reason of a hold in the table of holds, too, if it is the one that this record gave.

    Returns:
        How many rows held it.
    """
    # Numbers of holds may come again after a restore; number and text together mean one hold.
    return sum(
        connection.execute(
            "update holds set reason = '' where reason = ? and hold_id ="  # noqa: S608 -- our own names
            f" (select iif(json_valid(body), json_extract(body, '$.facts.hold_id'), null) from {table}"
            f" where {where} and kind = 'hold')",
            (text, *key),
        ).rowcount
        for text in texts(gone.get("reason"))
    )


def _runs(seqs: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for seq in sorted(seqs):
        if runs and seq == runs[-1][1] + 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    return runs


def _place(row: Row, current: str) -> tuple[str, str, tuple[object, ...]]:
    if row.epoch == current:
        return "audit", "seq = ?", (row.seq,)
    return "past", "epoch = ? and seq = ?", (row.epoch, row.seq)


def _row(epoch: str, row: sqlite3.Row) -> Row:
    return Row(epoch, row["seq"], row["request_id"], json.loads(row["personal"] or "{}"))
