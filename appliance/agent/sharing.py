"""What leaves the device: the one place that decides, for both streams, for answers and for the description.

| level | ledger | reports | answers | description |
|---|---|---|---|---|
| `counts` | each record's kind, time and leaf | status, time, versions | status, code | no tools |
| `decisions` | the body, commitments for words | tools, verdicts, rules | also calls, readings | tools, schemas |
| `words` | and the values behind the commitments | the same | all that was said | the same |

At every level the controller grows the same tree: a leaf is the hash of a record, and says nothing of it. The records
that a ledger is followed by (its beginning, its gaps, a new key) go whole at every level; there are no words in them.

Covers: batches of the ledger and reports; the answer to a controller's own command, to which a person at the device may
have added; the retained description.
Does not cover: the device's state; the answer to a message that was refused, whose words are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from pydantic import JsonValue

from appliance.contracts.envelope import Response
from appliance.contracts.record import JsonObject
from appliance.storage.outbox import Outgoing, Stream

Share = Literal["counts", "decisions", "words"]

_FOLLOWED: Final = frozenset({"epoch", "key_rotated", "pruned", "gap"})
"""Records that a controller needs to follow the ledger at all."""

_COUNTED: Final = ("status", "latency_ms", "bundle_sha256", "software")
"""Of a report: that something was decided, and by what."""

_OF_A_CALL: Final = ("name", "confidence", "verdict", "rule", "state", "postcondition")
"""Of an answer's call: what its record says in clear too. What a tool said is personal there, and here."""

_DEEPEST: Final = 4
"""Levels of a tool's output that are looked through for what it measured."""

Public = Callable[[str, JsonObject], JsonObject]
"""Of a tool's arguments, those that are nobody's words."""


def leaving(share: Share, stream: Stream, row: Outgoing) -> JsonObject:
    """Return the body of *row* as it may leave the device."""
    if stream == "evt":
        return {name: row.body[name] for name in _COUNTED if name in row.body} if share == "counts" else row.body
    if share == "counts" and row.kind not in _FOLLOWED:
        return {"leaf": row.leaf}
    if share == "words" and row.personal:
        return {**row.body, "personal": row.personal}
    return row.body


def named(share: Share, stream: Stream, row: Outgoing) -> str:
    """Return the id of *row*; a report's says the request's, which its asker may have chosen."""
    return f"{stream}-{row.seq}" if share == "counts" else row.envelope_id


def answered(share: Share, response: Response, public: Public) -> Response:
    """Return *response* as it may leave the device; status and code always do."""
    if share == "words" or "calls" not in response.result:
        return response  # without calls it is our own sentences and numbers, or what `commands` let out
    if share == "counts":
        return response.model_copy(update={"text": "", "result": {}})
    calls = [_call(call, public) for call in _objects(response.result.get("calls"))]
    text = ", ".join(f"{call['name']}: {call['state']}" for call in calls if call.get("name") and call.get("state"))
    result = {"status": response.result.get("status", ""), "calls": calls}
    return response.model_copy(update={"text": text[:2000], "result": result})


def described(share: Share, tools: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
    """Return the tools as the description may name them."""
    return () if share == "counts" else tools


def _call(call: JsonObject, public: Public) -> JsonObject:
    arguments = call.get("arguments")
    kept = public(str(call.get("name")), arguments if isinstance(arguments, dict) else {})
    measured = _measured(call.get("output"), _DEEPEST)
    named: JsonObject = {name: call[name] for name in _OF_A_CALL if name in call}
    return {**named, "arguments": kept, **({} if measured is None else {"output": measured})}


def _measured(output: JsonValue, levels: int) -> JsonValue:
    """Return the numbers and switches of a tool's output: a reading is nobody's words, and what was asked for."""
    if isinstance(output, bool | int | float):
        return output
    if not isinstance(output, dict) or not levels:
        return None
    inner = {name: _measured(value, levels - 1) for name, value in output.items()}
    return {name: value for name, value in inner.items() if value is not None} or None


def _objects(values: object) -> list[JsonObject]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
