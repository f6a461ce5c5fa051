"""The ledger's rows to tables that a person can ask questions of, read-only; made anew when their text changes.

Covers: the present epoch and earlier ones (`past`) side by side, records whose words were erased, a
record that is not JSON at all (its row has no values, the others have theirs), pages by number over millions of records
without a sort, all with what SQLite had in 2020 (tools of these years can read them).
Does not cover: proof. A view shows what the file holds; `appliance audit verify` tells whether that was written.
"""

# ruff: noqa: S608 -- the parts are our own text; nothing that anybody said is among them

from __future__ import annotations

import sqlite3
from textwrap import dedent
from typing import Final

from appliance.storage import run_views
from appliance.storage import view_sql as sql
from appliance.storage.view_sql import View


def apply(connection: sqlite3.Connection) -> None:
    """Make every view in *connection*'s database as this software has it; nothing is written when all are so.

    A full disk leaves the views as they were until the next start: nothing that decides needs them.
    """
    kept = dict(connection.execute("select name, sql from sqlite_schema where type = 'view'").fetchall())
    wanted = {view.name: f"CREATE VIEW {_text(view)}" for view in VIEWS}
    stale = [name for name, text in wanted.items() if kept.get(name) != text]
    gone = [name for name in (*RETIRED, *stale) if name in kept]
    if not stale and not gone:
        return
    try:
        connection.execute("begin immediate")
        for name in gone:
            connection.execute(f'drop view "{name}"')
        for name in stale:
            connection.execute(wanted[name])
        connection.commit()
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.rollback()


def lend(connection: sqlite3.Connection) -> None:
    """Give a reader every view in this software's words: these go before what the file has under the same names."""
    for view in VIEWS:
        connection.execute(f"create temp view {_text(view)}")


def _text(view: View) -> str:
    return f"{view.name} ({', '.join(view.columns)}) as\n{view.sql}"


RETIRED: Final[tuple[str, ...]] = ()
"""Names of views that earlier software made; somebody's own views are left alone."""

_RECORD: Final = {
    "epoch": "which database of this device",
    "seq": "number of the record",
    "request_id": "the request",
}

DECISIONS: Final = View(
    "decisions",
    "One row a request: what was asked, what it came to, and who said yes.",
    {
        "epoch": "which database of this device; a restored or salvaged one has a new epoch",
        "seq": "number of its newest record; page by this",
        "first_seq": "number of its first record",
        "request_id": "the request",
        "asked_at": "when it was received, UTC",
        "settled_at": "when its newest record was written, UTC",
        "clock": "whether the wall clock was trusted then",
        "boot": "which start of the device",
        "origin": "operator, controller, timer or system",
        "peer": "who, as far as the device could tell",
        "asked_as": "ask (words), call, undo, confirm, answer",
        "words": "what was said, while the device still has it",
        "tools": "the tools that it was understood as",
        "verdict": "the strictest of its calls: allow, confirm, approve, deny",
        "rule": "the rule that gave that verdict",
        "confidence": "the lowest of its calls, 0 to 1",
        "confirmed_by": "who said yes or no to it, if it waited",
        "status": "done, refused, failed, waiting, asked, indeterminate, under way",
        "code": "why not: the rule or the kind of refusal",
        "reason": "what the asker was told, while the device still has it",
        "latency_ms": "from the inbox to the outcome; a person's thinking is not in it",
        "bundle": "name and version of the model bundle, where words were read",
        "bundle_sha256": "hash of that bundle's manifest",
        "software": "version of the appliance",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq,
          (select min(x.seq) from {{t}} as x where {{same:x}}x.request_id = r.request_id),
          r.request_id,
          {sql.of("d", "facts.received_at")}, r.at, {sql.of("r", "clock")}, {sql.of("r", "boot")},
          {sql.of("d", "facts.origin.kind")}, {sql.of("d", "facts.origin.peer")}, {sql.of("d", "facts.asked_as")},
          {sql.WORDS},
          {sql.of_calls("d", '"gen_ai.tool.name"', sql.TOOLS.format(record="d"))},
          {sql.of_calls("d", "verdict.verdict", sql.STRICTEST.format(field="verdict"))},
          {sql.of_calls("d", "verdict.rule", sql.STRICTEST.format(field="rule"))},
          {sql.of_calls("d", "confidence", sql.LOWEST)},
          coalesce({sql.of("r", "facts.approval.origin.peer")}, {sql.of("d", "facts.approval.origin.peer")}),
          case r.kind when 'decided' then 'under way' when 'step' then 'under way'
            when 'resolved' then iif({sql.of("r", "facts.happened")}, 'done', 'failed')
            else {sql.of("r", "facts.status")} end,
          {sql.of("r", "facts.code")},
          coalesce(json_extract(r.personal, '$.reason.value'), {sql.MESSAGES}),
          {sql.of("r", "facts.latency.total_ms")},
          {sql.of("d", 'facts."gen_ai.request.model"')},
          {sql.of("d", "facts.versions.bundle_sha256")}, {sql.of("d", "facts.versions.software")}
        from {{t}} as r join {{t}} as d on {{same:d}}d.seq = coalesce(
          (select max(x.seq) from {{t}} as x where {{same:x}}x.request_id = r.request_id and {sql.WHOLE}), r.seq)
        where r.kind in {sql.REQUEST_KINDS}
          and not exists (select 1 from {{t}} as x where {{same:x}}x.request_id = r.request_id and x.seq > r.seq
            and x.kind in {sql.REQUEST_KINDS})
        """
    ),
)

CALLS: Final = View(
    "calls",
    "One row a call of a tool: with which arguments, what the laws said, what came of it.",
    {
        **_RECORD,
        "call_n": "which call of the request, from 0",
        "at": "when it was judged, UTC",
        "tool": "the tool",
        "arguments": "JSON; words of a person are in it while the device still has them",
        "confidence": "0 to 1",
        "verdict": "allow, confirm, approve, deny",
        "rule": "the rule that gave it",
        "state": "done, failed, skipped, indeterminate, waiting, under way; not done where it was refused",
        "postcondition": "whether a look afterwards bore it out: held, failed, unchecked",
        "message": "what the tool answered, while the device still has it",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.request_id, c.key, r.at, json_extract(c.value, '$."gen_ai.tool.name"'),
          json_patch(coalesce(json_extract(c.value, '$."gen_ai.tool.call.arguments"'), '{{{{}}}}'),
            coalesce(json_extract(r.personal, '$.calls.value[' || c.key || ']'), '{{{{}}}}')),
          json_extract(c.value, '$.confidence'), json_extract(c.value, '$.verdict.verdict'),
          json_extract(c.value, '$.verdict.rule'),
          coalesce({sql.RESULT.format(what="json_extract(e.value, '$.state')")}, {sql.DOUBT},
            case r.kind when 'decided' then 'under way' when 'parked' then 'waiting' else 'not done' end),
          {sql.RESULT.format(what="json_extract(e.value, '$.postcondition')")},
          {sql.RESULT.format(what="json_extract(x.personal, '$.calls.value[' || e.key || '].message')")}
        from {{t}} as r join json_each(r.body, '$.facts.calls') as c
        where {sql.NEWEST}
        """
    ),
)

RULES: Final = View(
    "rules",
    "One row a rule that judged a call: what it said, and the values that it judged on.",
    {
        **_RECORD,
        "at": "when it was judged, UTC",
        "call_n": "which call of the request, from 0",
        "tool": "the tool",
        "rule": "the rule",
        "said": "pass, or its verdict",
        "given": "JSON: the values that it judged on",
        "decided_it": "1 where this rule gave the call's verdict",
        "verdict": "of the call: allow, confirm, approve, deny",
        "arguments": "JSON: those of the call that are no person's words",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.request_id, r.at, c.key, json_extract(c.value, '$."gen_ai.tool.name"'), u.key,
          coalesce(json_extract(u.value, '$.said'), u.value), json_extract(u.value, '$.values'),
          u.key = json_extract(c.value, '$.verdict.rule'), json_extract(c.value, '$.verdict.verdict'),
          json_extract(c.value, '$."gen_ai.tool.call.arguments"')
        from {{t}} as r join json_each(r.body, '$.facts.calls') as c join json_each(c.value, '$.rules') as u
        where {sql.NEWEST}
        """
    ),
)

CANDIDATES: Final = View(
    "candidates",
    "One row a tool that was considered for the words of a request, with its score.",
    {
        **_RECORD,
        "place": "1 is the likeliest",
        "tool": "the tool",
        "score": "as the network gave it",
        "chosen": "1 where the request was understood as this tool",
        "abstain": "how likely nothing here should act, 0 to 1",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.request_id, c.key + 1, json_extract(c.value, '$[0]'), json_extract(c.value, '$[1]'),
          exists (select 1 from json_each(r.body, '$.facts.calls') as k
            where json_extract(k.value, '$."gen_ai.tool.name"') = json_extract(c.value, '$[0]')),
          {sql.of("r", "facts.proposal.abstain")}
        from {{t}} as r join json_each(r.body, '$.facts.proposal.candidates') as c
        where r.kind in ('decided', 'parked', 'settled')
        """
    ),
)

STOPS: Final = View(
    "stops",
    "One row each time the emergency stop was pressed or let go.",
    {
        "epoch": "which database of this device",
        "seq": "number of the record",
        "at": "when, UTC",
        "clock": "whether the wall clock was trusted then",
        "boot": "which start of the device",
        "latched": "1 pressed, 0 let go",
        "peer": "by whom",
        "reason": "what was said with it, while the device still has it",
        "facts": "JSON: the rest, such as outputs that could not be made safe",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, {sql.of("r", "clock")}, {sql.of("r", "boot")}, {sql.of("r", "facts.latched")},
          {sql.of("r", "facts.peer")}, json_extract(r.personal, '$.reason.value'), {sql.of("r", "facts")}
        from {{t}} as r
        where r.request_id is null and r.kind = 'emergency'
        """
    ),
)

SYSTEM: Final = View(
    "system",
    "One row a thing that happened to the device or its ledger: starts, epochs, configurations, checkpoints, pruning.",
    {
        "epoch": "which database of this device",
        "seq": "number of the record; of a checkpoint, how many records it covers",
        "at": "when, UTC",
        "kind": "boot, epoch, configured, pruned, redacted, hold, key_rotated, checkpoint and others",
        "facts": "JSON: what was recorded; of a checkpoint, its note",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, r.kind, {sql.of("r", "facts")}
        from {{t}} as r
        where r.request_id is null
        """
    )
    + "\nunion all\nselect epoch, size, at, 'checkpoint', json_object('note', note) from checkpoints",
)

TIMELINE: Final = View(
    "timeline",
    "Every record as one line of text.",
    {
        "epoch": "which database of this device",
        "seq": "number of the record",
        "at": "when, UTC",
        "clock": "whether the wall clock was trusted then",
        "kind": "what kind of record",
        "request_id": "the request, if it belongs to one",
        "line": "what it says, in short",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, {sql.of("r", "clock")}, r.kind, r.request_id,
          iif(json_valid(r.body), case r.kind
            when 'decided' then 'decided to do: ' || coalesce({sql.TOOLS.format(record="r")}, 'nothing')
            when 'step' then 'goes on with call ' || ({sql.of("r", "facts.next_call")} + 1)
            when 'settled' then {sql.of("r", "facts.status")}
              || coalesce(' (' || nullif({sql.of("r", "facts.code")}, '') || ')', '')
              || coalesce(': ' || {sql.TOOLS.format(record="r")}, '')
            when 'parked' then iif({sql.of("r", "facts.status")} = 'asked', 'asks', 'waits for a yes')
              || coalesce(' (' || nullif({sql.of("r", "facts.code")}, '') || ')', '')
              || coalesce(': ' || {sql.TOOLS.format(record="r")}, '')
            when 'indeterminate' then 'may or may not have happened'
            when 'resolved' then 'a person says: it '
              || iif({sql.of("r", "facts.happened")}, 'happened', 'did not happen')
            when 'emergency' then iif({sql.of("r", "facts.latched")}, 'EMERGENCY STOP', 'emergency stop released')
            when 'people' then 'people: ' || {sql.of("r", "facts.what")}
              || coalesce(' ' || {sql.of("r", "facts.name")}, '')
            when 'run' then {run_views.LINE}
            when 'laws' then coalesce('NO LAWS CAN BE USED: ' || {sql.of("r", "facts.barred")}, 'laws in force: '
              || (select coalesce(group_concat(json_extract(l.value, '$.name') || ' '
                || json_extract(l.value, '$.version'), ', '), 'none') from json_each(r.body, '$.facts.laws') as l))
            when 'maintenance' then iif({sql.of("r", "facts.on")}, 'locked for maintenance by ',
              'maintenance lock released by ') || {sql.of("r", "facts.by")}
            when 'note' then coalesce({sql.of("r", "facts.asked_as")} || ' to ' || {sql.of("r", "facts.of")},
              {sql.of("r", "facts.event")}, 'note')
            else replace(r.kind, '_', ' ')
          end, r.kind || ': this record cannot be read; see appliance audit verify')
            || coalesce(' - "' || json_extract(r.personal, '$.text.value') || '"', '')
        from {{t}} as r
        """
    ),
)

SEGMENTS: Final = View(
    "segments",
    "One row each 256 records: when they began and ended, to find a day without reading the others.",
    {
        "first_seq": "number of the first record, a multiple of 256",
        "last_seq": "number of the last",
        "from_at": "the earlier of the times at its two ends, UTC",
        "to_at": "the later of them; a clock that was set forth and back in between is not seen",
    },
    dedent(
        """
        select seq, coalesce(next_seq - 1, newest),
          min(at, coalesce(next_at, newest_at)), max(at, coalesce(next_at, newest_at))
        from (select seq, at, lead(seq) over (order by seq) as next_seq, lead(at) over (order by seq) as next_at,
            (select max(seq) from audit) as newest, (select at from audit order by seq desc limit 1) as newest_at
          from audit where seq % 256 = 0)
        union all
        select (select min(seq) from audit), min(255, (select max(seq) from audit)),
          min(a.at, b.at), max(a.at, b.at)
        from audit as a join audit as b on b.seq = (select max(seq) from audit where seq <= 256)
        where a.seq = (select min(seq) from audit) and a.seq < 256
        """
    ).strip(),
)

VIEWS: Final = (DECISIONS, CALLS, RULES, CANDIDATES, STOPS, *run_views.VIEWS, SYSTEM, TIMELINE, SEGMENTS)
