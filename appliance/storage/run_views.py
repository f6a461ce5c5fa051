"""The views of declared workflows: where each is, what it did, what it denied, who approved.

Covers: pages by number, of everything, of one workflow and of one run, each by an index that holds only such records.
Does not cover: what else a view does; `views` makes them, `view_sql` has what they share.
"""

# ruff: noqa: S608 -- the parts are our own text; nothing that anybody said is among them

from __future__ import annotations

from typing import Final

from appliance.storage import view_sql as sql
from appliance.storage.view_sql import View

DENIALS: Final = """(kind = 'settled' and (instr(body, '"rule":"workflow:') or instr(body, '"rule":"rule:')
          or instr(body, '"rule":"laws"'))
          or kind = 'run' and (instr(body, '"kind":"denied"') or instr(body, '"kind":"illegal"')
          or instr(body, '"kind":"held"')))"""
"""The condition of the indices `audit_denials` and `past_denials`, word for word; bodies are canonical JSON."""

APPROVALS: Final = """(kind = 'run' and (instr(body, '"event":{{"kind":"approved"') or instr(body, '"kind":"parked"')
          or instr(body, '"kind":"lapsed"'))
          or kind = 'parked' and instr(body, '"comes_to":"approve"')
          or kind in ('note', 'settled') and instr(body, '"asked_as":"approve"'))"""
"""The condition of the indices `audit_approvals` and `past_approvals`; its brace is doubled for `view_sql.both`."""

_RECORD: Final = {
    "epoch": "which database of this device",
    "seq": "number of the record; page by this",
    "at": "when, UTC",
}

RUNS: Final = View(
    "workflow_runs",
    "One row a run of a declared workflow: where it is, or was when it ended.",
    {
        "workflow": "the workflow",
        "run_id": "the run; a workflow has one at a time",
        "version": "of the file that judges it",
        "digest": "hash of that file",
        "state": "where it is",
        "interrupted": "JSON: the states that interrupts broke into, the oldest first",
        "waits_for": "the approval that an arrow waits for; `appliance workflow approve` takes it",
        "steps_n": "steps so far, calls that were only counted among them",
        "started_at": "when, UTC",
        "ended_at": "when, UTC; null while it goes on",
    },
    """
select workflow, run_id, version, digest, state,
  (select json_group_array(json_extract(f.value, '$.levels[#-1].state'))
   from json_each(iif(json_valid(body), body, null), '$.stack') as f),
  json_extract(iif(json_valid(body), body, null), '$.pending.approval_id'), seq, started_at, ended_at
from runs
""".strip(),
)


def _of(path: str) -> str:
    # Without the record's name, so that `view_sql.both` leaves it alone: `json_valid` is asked once a row, not for each
    # column, each of which would read the whole body again.
    return f"json_extract(body, '$.{path}')"


def _fact(name: str) -> str:
    return _of(f"facts.{name}")


def _indexed(name: str) -> str:
    """Return what an index is made of, word for word."""
    return f"json_extract(iif(json_valid(body), body, null), '$.facts.{name}')"


STEPS: Final = View(
    "workflow_steps",
    "One row a step of a run: what happened, what was asked, where it led.",
    {
        **_RECORD,
        "clock": "whether the wall clock was trusted then",
        "boot": "which start of the device",
        "request_id": "the request that caused it; null where a sensor or the clock did",
        "workflow": "the workflow",
        "version": "of the file that judged it",
        "run_id": "the run",
        "step_n": "which step of the run; numbers of calls that were only counted are left out",
        "kind": "started, moved, returned, parked, approved, lapsed, held, denied, illegal, swapped, ended, noted",
        "event": "what happened: the event that was said, or looked, ended, approved, emergency, resumed and others",
        "person": "who said it, if somebody did",
        "role": "in which role",
        "before": "the state before",
        "after": "the state after",
        "way": "the arrow: where it stands in the file",
        "cause": "why it was taken, in words",
        "outcome": "of a part that ended by it",
        "set_aside": "1 where something more urgent went first, and what happened did nothing itself",
        "reason": "what else there is to say",
        "weighed": "JSON: every guard that was asked, its answer, and the values that it looked at",
        "given": "JSON: the event, whole",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, {_of("clock")}, {_of("boot")}, r.request_id,
          {_indexed("workflow")}, {_fact("version")}, {_indexed("run_id")}, {_fact("seq")}, {_fact("kind")},
          coalesce({_fact("event.event")}, {_fact("event.kind")}),
          {_fact("event.who.person")}, {_fact("event.who.role")},
          {_fact("before")}, {_fact("after")}, {_fact("way")}, {_fact("cause")}, {_fact("outcome")},
          coalesce({_fact("set_aside")}, 0), {_fact("reason")}, {_fact("weighed")}, {_fact("event")}
        from {{t}} as r
        where kind = 'run' and json_valid(body)
        """
    ),
)

LINE: Final = f"""{_fact("workflow")} || ': ' || {_fact("kind")}
              || iif({_fact("before")} = {_fact("after")}, ' in ' || {_fact("after")},
                coalesce(' from ' || nullif({_fact("before")}, ''), '') || ' to ' || {_fact("after")})
              || coalesce(' - ' || coalesce({_fact("cause")}, {_fact("reason")}), '')"""
"""A step in the timeline."""

_AGAINST: Final = """(select {what} from json_each(u.value, '$.values.asked') as w
            where json_extract(w.value, '$.said') <> 'true' limit 1)"""
"""Of the first thing in a law that spoke against a call."""

_TEXT: Final = "json_extract(w.value, '$.text') || coalesce(': ' || json_extract(w.value, '$.why'), '')"

DENIED: Final = View(
    "workflow_denials",
    "One row each time a workflow said no: to a call (where no rule of the device did before), or to an event.",
    {
        **_RECORD,
        "request_id": "the request",
        "what": "call, or event",
        "workflow": "the workflow; null where the laws as a whole could not be used",
        "state": "where it was",
        "tool": "the tool that was to be called, or the event that was said",
        "arguments": "JSON: those of the call that are no person's words",
        "person": "who asked: the enrolled person, else as far as the device could tell",
        "role": "in which role",
        "rule": "what in the file said no",
        "reason": "what it said",
        "weighed": "JSON: everything that was asked on the way, with its values",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, r.request_id, 'call', nullif(substr(u.key, 10), ''),
          nullif(json_extract(u.value, '$.values.state'), ''), json_extract(c.value, '$."gen_ai.tool.name"'),
          json_extract(c.value, '$."gen_ai.tool.call.arguments"'),
          coalesce(nullif({_fact("origin.person")}, ''), {_fact("origin.peer")}),
          coalesce({_fact("origin.role")}, 'operator'),
          coalesce({_AGAINST.format(what="json_extract(w.value, '$.what')")}, u.key),
          coalesce({_AGAINST.format(what=_TEXT)}, nullif({_fact("barred")}, ''),
            json_extract(r.personal, '$.reason.value')),
          json_extract(u.value, '$.values.asked')
        from {{t}} as r join json_each(body, '$.facts.calls') as c join json_each(c.value, '$.rules') as u
        where {DENIALS} and r.kind = 'settled' and json_valid(body) and json_extract(u.value, '$.said') = 'deny'
          and (u.key = 'laws' or u.key like 'workflow:%')
        """
    )
    + "\nunion all\n"
    + sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, r.request_id, 'event', +{_fact("workflow")}, {_fact("before")},
          coalesce({_fact("event.event")}, replace({_fact("event.kind")}, 'approved', 'approval')), null,
          {_fact("event.who.person")}, {_fact("event.who.role")},
          coalesce({_fact("way")}, {_fact("kind")}), {_fact("reason")}, {_fact("weighed")}
        from {{t}} as r  -- the plus: few steps deny, so their own index goes before that of a workflow
        where {DENIALS} and r.kind = 'run' and json_valid(body)
        """
    ),
)

APPROVED: Final = View(
    "workflow_approvals",
    "One row each time enrolled people were asked to approve, and each answer: of an arrow, or of a call.",
    {
        **_RECORD,
        "request_id": "the request: the one that waits, or the one that carried the answer",
        "what": "arrow, or call",
        "of": "what is approved: the approval's id, or the id of the request that waits",
        "workflow": "the workflow; null for a call, which several may want approved",
        "state": "where it was",
        "said": "asked, approved, refused, not counted (wrong role, twice, nothing waited), lapsed",
        "person": "who asked or answered",
        "role": "in which role",
        "reason": "what came of it",
    },
    sql.both(
        f"""
        select {{epoch}}, r.seq, r.at, r.request_id, iif(r.kind = 'run', 'arrow', 'call'),
          case when r.kind = 'parked' then r.request_id when {_fact("kind")} = 'parked'
            then {_fact("run_id")} || ':' || {_fact("seq")} else coalesce({_fact("event.of")}, {_fact("of")}) end,
          {_fact("workflow")}, {_fact("before")},
          case when r.kind = 'parked' or {_fact("kind")} = 'parked' then 'asked'
            when r.kind = 'settled' or {_fact("kind")} in ('denied', 'illegal') then 'not counted'
            when coalesce({_fact("event.yes")}, {_fact("yes")}) = 0 then 'refused'
            when {_fact("kind")} = 'lapsed' then 'lapsed' else 'approved' end,
          coalesce({_fact("event.who.person")}, nullif({_fact("origin.person")}, ''), {_fact("origin.peer")}),
          coalesce({_fact("event.who.role")}, {_fact("origin.role")}, iif(r.kind = 'run', null, 'operator')),
          coalesce({_fact("reason")}, {_fact("code")}, json_extract(r.personal, '$.reason.value'))
        from {{t}} as r
        where {APPROVALS} and json_valid(body) and (r.kind <> 'settled' or {_fact("code")} in ('roles', 'not_waiting'))
        """
    ),
)

VIEWS: Final = (RUNS, STEPS, DENIED, APPROVED)
