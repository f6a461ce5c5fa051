"""What the views have in common: how a record's facts are named in SQL, for the present epoch and for earlier ones."""

# ruff: noqa: S608 -- the parts are our own text; nothing that anybody said is among them

from __future__ import annotations

import re
from textwrap import dedent
from typing import Final, NamedTuple


class View(NamedTuple):
    """A table that is worked out when it is read."""

    name: str
    tells: str
    columns: dict[str, str]
    """Name to meaning, in order."""

    sql: str
    """The `select` behind it."""


_EPOCH: Final = "(select value from meta where key = 'epoch')"


def both(arm: str) -> str:
    """Return *arm* for the present epoch and for earlier ones.

    In *arm*, `{t}` is the table, `{epoch}` the epoch of `r`, and `{same:x}` ties another record `x` to it: its plus
    keeps SQLite from walking through the whole epoch instead of looking the request up. A body that is not JSON reads
    as an empty one: one such record must not blind every query.
    """
    arm = _JSON.sub(r"iif(json_valid(\1.\2), \1.\2, null)", dedent(arm).strip())

    class Same:
        def __init__(self, text: str) -> None:
            self.text = text

        def __format__(self, other: str) -> str:
            return self.text.format(x=other)

    present = arm.format(t="audit", epoch=_EPOCH, same=Same(""))
    earlier = arm.format(t="past", epoch="r.epoch", same=Same("+{x}.epoch = r.epoch and "))
    return f"{present}\nunion all\n{earlier}"


_JSON: Final = re.compile(r"\b([a-z])\.(body|personal)\b")


def of(record: str, path: str) -> str:
    """Return what reads one value of a record's body."""
    return f"json_extract({record}.body, '$.{path}')"


WHOLE: Final = (
    "(x.kind in ('decided', 'parked') or x.kind = 'settled' and json_extract(x.body, '$.facts.comes_to') <> '')"
)
"""Record `x` says how a request was understood and judged."""

NEWEST: Final = (
    "r.kind in ('decided', 'parked', 'settled') and "
    + WHOLE.replace("x.", "r.")
    + "\n  and not exists (select 1 from {t} as x where {same:x}x.request_id = r.request_id and x.seq > r.seq and "
    + WHOLE
    + ")"
)
"""Record `r` is the newest of those of its request."""

RESULT: Final = """(select {what} from {{t}} as x join json_each(x.body, '$.facts.calls') as e
            where {{same:x}}x.request_id = r.request_id and x.seq > r.seq and x.kind in ('step', 'settled')
              and json_extract(e.value, '$."gen_ai.tool.call.id"') = json_extract(c.value, '$."gen_ai.tool.call.id"')
            limit 1)"""
"""What came of call `c` of record `r`."""

_DOUBTFUL: Final = "json_extract(x.body, '$.facts.doubtful_call')"

DOUBT: Final = f"""(select
              case when {_DOUBTFUL} = c.key then 'indeterminate' when {_DOUBTFUL} < c.key then 'skipped' end
            from {{t}} as x where {{same:x}}x.request_id = r.request_id and x.seq > r.seq and x.kind = 'indeterminate'
            limit 1)"""
"""What became of call `c` where the power went."""

WORDS: Final = """(select json_extract(x.personal, '$.text.value') from {t} as x
            where {same:x}x.request_id = r.request_id and json_extract(x.personal, '$.text.value') <> ''
            order by x.seq limit 1)"""
"""What was said; a later record of the request does not repeat it."""

MESSAGES: Final = """(select group_concat(json_extract(e.value, '$.message'), ' ')
            from {t} as x join json_each(x.personal, '$.calls.value') as e
            where {same:x}x.request_id = r.request_id and x.kind in ('step', 'settled'))"""


def of_calls(record: str, value: str, several: str) -> str:
    """Return what reads *value* (a path) of the record's only call, or *several* where there are more.

    Nearly every request is one call; unpacking a list of calls parses the whole body again, each time.
    """
    calls = f"json_array_length({record}.body, '$.facts.calls')"
    return f"iif({calls} = 1, {of(record, f'facts.calls[0].{value}')}, {several})"


TOOLS: Final = """(select group_concat(json_extract(c.value, '$."gen_ai.tool.name"'), ', ')
     from json_each({record}.body, '$.facts.calls') as c)"""

STRICTEST: Final = """(select json_extract(c.value, '$.verdict.{field}') from json_each(d.body, '$.facts.calls') as c
     order by case json_extract(c.value, '$.verdict.verdict')
       when 'deny' then 0 when 'approve' then 1 when 'confirm' then 2 else 3 end limit 1)"""

LOWEST: Final = "(select min(json_extract(c.value, '$.confidence')) from json_each(d.body, '$.facts.calls') as c)"

REQUEST_KINDS: Final = "('decided', 'step', 'settled', 'parked', 'indeterminate', 'resolved')"
