"""What a person asked for to the records that are meant, of the present epoch or of an earlier one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from appliance.contracts.audit import AuditRow
from appliance.contracts.selection import Selection
from appliance.errors import UsageError
from appliance.storage import audit, tree

MAX_RECORDS_N: Final = 20_000
"""About two weeks at 500 decisions a day; more is a copy of the ledger (`appliance backup`), not an incident."""

_CONTEXT_KINDS: Final = ("boot", "emergency", "key_rotated", "laws")
"""Of each, the newest before the first record that was asked for is sent along."""

_STEP_BEFORE: Final = (
    "select max(seq) from {} where kind = 'run' and seq < :first"
    " and json_extract(iif(json_valid(body), body, null), '$.facts.workflow') = :workflow"
)
"""What an index of `storage.migrations` holds, word for word: the newest step of a workflow."""

_ANSWERS: Final = (
    "select seq from {} where seq between :low and :high and kind = 'note'"
    " and iif(json_valid(body), json_extract(body, '$.facts.of'), null) = :id"
)


class Source(NamedTuple):
    """The records of one epoch, present or earlier."""

    reader: sqlite3.Connection
    epoch: str
    is_current: bool

    def select(self, what: str, **given: object) -> list[Any]:
        """Return rows of *what*: columns, ` from {}` and conditions, in which the epoch's table goes."""
        table = "audit" if self.is_current else "(select * from past where epoch = :epoch)"
        return self.reader.execute(what.format(table), {"epoch": self.epoch, **given}).fetchall()

    def rows(self, seqs: Sequence[int]) -> Iterable[AuditRow]:
        """Return the records with exactly these numbers, as far as they are here."""
        for seq in seqs:
            found = next(audit.rows(self.reader, after=seq - 1, limit=1, epoch=self.epoch), None)
            if found is not None and found.seq == seq:
                yield found


def source(reader: sqlite3.Connection, selections: Sequence[Selection]) -> Source:
    """Return where the records lie that *selections* mean.

    Raises:
        UsageError: they name several epochs, or one that has no records here.
    """
    current = tree.current(reader)
    named = {selection.epoch or current for selection in selections}
    if len(named) != 1:
        raise UsageError("records of one epoch at a time; each is a log of its own")
    epoch = named.pop()
    found = Source(reader, epoch, epoch == current)
    if not found.is_current and not found.select("select 1 from {} limit 1"):
        raise UsageError(
            f"no records of an epoch {epoch!r} are here; the first record of an epoch names the one before"
        )
    return found


def asked(ledger: Source, selections: Sequence[Selection]) -> set[int]:
    """Return the numbers of the records that *selections* mean.

    Raises:
        UsageError: none, or more than an archive holds.
    """
    found: set[int] = set()
    for selection in selections:
        if fault := selection.fault():
            raise UsageError(fault)
        if selection.request_id is not None:
            seqs = _of_request(ledger, selection.request_id)
            if not seqs:
                raise UsageError(f"no record of request {selection.request_id!r}; was it pruned, or mistyped?")
        elif selection.since is not None or selection.until is not None:
            seqs = _between(ledger, selection.since, selection.until)
        else:
            rows = ledger.select(
                "select seq from {} where seq > :after and seq < :before order by seq limit :most",
                after=selection.after or 0,
                before=selection.before or 2**62,
                most=MAX_RECORDS_N + 1,
            )
            seqs = [row[0] for row in rows]
        found.update(seqs)
    if not found:
        raise UsageError("no record is meant by that; `appliance audit query --saved timeline` shows what there is")
    if len(found) > MAX_RECORDS_N:
        raise UsageError(f"more than {MAX_RECORDS_N:,} records; ask for less, or take a copy with `appliance backup`")
    return found


def context(ledger: Source, asked: set[int]) -> set[int]:
    """Return what is needed to understand the others.

    The log's beginning, the last start, stop, reading of the laws and configurations, and of each workflow that judged
    or took a step the step before: it says where the workflow was, and since when.
    """
    first = min(asked)
    found = {row[0] for row in ledger.select("select seq from {} where seq = 1")}
    newest = "select max(seq) from {} where request_id is null and kind = :kind and seq < :first"
    found |= {ledger.select(newest, kind=kind, first=first)[0][0] for kind in _CONTEXT_KINDS}
    configured = ledger.select("select seq, body from {} where kind = 'configured' order by seq")
    digests = [(seq, json.loads(body)["facts"].get("digest")) for seq, body in configured]
    workflows: set[str] = set()
    for row in ledger.rows(sorted(asked)):
        facts = json.loads(row.body)["facts"]
        cited = facts.get("configured")
        if isinstance(cited, str):
            found.add(max((seq for seq, digest in digests if digest == cited and seq < row.seq), default=None))
        workflows |= _workflows_of(facts)
    for workflow in workflows:
        found.add(ledger.select(_STEP_BEFORE, workflow=workflow, first=first)[0][0])
    return {seq for seq in found if seq is not None} - asked


def _workflows_of(facts: Any) -> set[str]:
    """Name the workflows that judged in a decision, or whose step it is."""
    judged = facts.get("workflows")
    names = [law.get("name") for law in judged if isinstance(law, dict)] if isinstance(judged, list) else []
    return {name for name in (*names, facts.get("workflow")) if isinstance(name, str)}


def _of_request(ledger: Source, request_id: str) -> list[int]:
    """Return the request's records and those of the people who answered it, which lie between them."""
    own = [row[0] for row in ledger.select("select seq from {} where request_id = :id", id=request_id)]
    if not own:
        return []
    return own + [row[0] for row in ledger.select(_ANSWERS, low=min(own), high=max(own), id=request_id)]


def _between(ledger: Source, since: datetime | None, until: datetime | None) -> list[int]:
    """Return the records of some time, by their own clock; of the present epoch only segments that touch it."""
    day_n = 24 * 3600
    # Text order is time order but for the offset; a day to each side, then compared as times.
    low = datetime.fromtimestamp(since.timestamp() - day_n, since.tzinfo).isoformat() if since else ""
    high = datetime.fromtimestamp(until.timestamp() + day_n, until.tzinfo).isoformat() if until else "~"
    touching = (
        "select a.seq, a.at from segments as s join {} as a on a.seq between s.first_seq and s.last_seq"
        " where s.to_at >= :low and s.from_at <= :high limit :most"
    )
    everything = "select seq, at from {} where at >= :low and at <= :high order by seq limit :most"
    wanted = touching if ledger.is_current else everything
    found = []
    for seq, at in ledger.select(wanted, low=low, high=high, most=50 * MAX_RECORDS_N):
        moment = datetime.fromisoformat(at)
        if (since is None or moment >= since) and (until is None or moment <= until):
            found.append(seq)
            if len(found) > MAX_RECORDS_N:
                break
    return found
