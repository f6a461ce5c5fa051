"""Runs of declared workflows: where each is, in the transaction of the record that says how it came there.

Covers: a power cut (the newest row is the last committed step); a file that was brought back, exchanged, lost or
damaged: then a run may be older than what the machine did since, and `doubted` says so until a person begins it anew.
Does not cover: the steps; they are records of the ledger, of kind `run`, and `run_views` finds them there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.storage import meta
from appliance.storage.database import Database

DOUBT: Final = "runs_doubt"
"""Name in `meta` of why nobody knows where the runs are."""


class Run(NamedTuple):
    """A run as it was kept."""

    run_id: str
    workflow: str
    version: int
    digest: str
    started_at: str
    ended_at: str | None
    seq: int
    state: str
    body: str


def live(db: Database) -> list[Run]:
    """Return the runs that have not ended, by workflow."""
    return [Run(*row) for row in db.rows("select * from runs where ended_at is null order by workflow")]


def numbers(db: Database) -> dict[str, int]:
    """Return how many steps each run that has not ended has taken: enough to see whether a copy of it is still true."""
    return {row["run_id"]: row["seq"] for row in db.rows("select run_id, seq from runs where ended_at is null")}


def last_ended(db: Database, workflow: str) -> Run | None:
    """Return the run of *workflow* that ended last; None where none has."""
    row = db.row(
        "select * from runs where workflow = ? and ended_at is not null order by ended_at desc, seq desc limit 1",
        (workflow,),
    )
    return None if row is None else Run(*row)


def save(db: Database, run: Run) -> None:
    """Keep where a run is now."""
    db.execute(
        "insert into runs values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (run_id) do update set version = excluded.version, digest = excluded.digest,"
        " ended_at = excluded.ended_at, seq = excluded.seq, state = excluded.state, body = excluded.body",
        run,
    )


def doubt(db: Database, why: str) -> None:
    """Remember that the runs may not be where the machine is; the first reason stays."""
    if not doubted(db):
        meta.put(db, DOUBT, why)


def doubted(db: Database) -> str:
    """Return why nobody knows where the runs are; empty where all is as it was left."""
    return meta.get(db, DOUBT) or ""


def trust(db: Database) -> None:
    """Forget the doubt: the runs that were in it have ended, or there are none."""
    db.execute("delete from meta where key = ?", (DOUBT,))


def path(db: Database, run_id: str, last_n: int) -> list[JsonObject]:
    """Return the last moves of a run, oldest first: from where, to where, why, when."""
    found = db.rows(
        "select json_extract(body, '$.facts.before') as before, json_extract(body, '$.facts.after') as after,"
        " json_extract(body, '$.facts.cause') as cause, at, json_extract(body, '$.facts.kind') as kind"
        " from audit where kind = 'run' and"
        " json_extract(iif(json_valid(body), body, null), '$.facts.run_id') = ?"
        " order by seq desc limit ?",
        (run_id, 4 * last_n),
    )
    moves = [row for row in found if row["kind"] in ("started", "moved", "returned")][:last_n]
    return [
        {"before": row["before"], "after": row["after"], "cause": row["cause"] or "", "at": row["at"]}
        for row in reversed(moves)
    ]
