"""The ledger's rows of one request, as a person reads them; whatever a row holds is written, known or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from textual.content import Content

from appliance.contracts import steps_plainly
from appliance.contracts.audit import AuditRow
from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.workflow import Weighed
from appliance.tui.glyphs import STATUS_STYLES, STATUS_WORDS, Glyphs
from appliance.tui.queries import Entry, facts_of, personal, said, step_text
from appliance.tui.understanding import understand
from appliance.tui.widgets.card_text import call_lines, law_line, request, sureness

_TOLD: Final = frozenset(
    {
        "origin", "asked_as", "calls", "proposal", "refusal", "question", "status", "code", "latency", "versions",
        "gen_ai.operation.name", "gen_ai.request.model", "received_at", "assume_yes", "asked", "guards", "context",
        "approval", "comes_to", "decided", "continues", "configured", "workflows", "judged_at", "given", "barred",
    }
)  # fmt: skip
"""Facts that have a line of their own, or are said better by the others."""


def story_lines(entry: Entry, story: Sequence[AuditRow], glyphs: Glyphs, zone: tzinfo | None) -> Iterator[Content]:
    """Write the story for a person."""
    status = STATUS_WORDS.get(entry.status, entry.status or entry.text)
    yield Content.assemble(
        (f"{glyphs.of(entry.status)} {status}", f"bold {STATUS_STYLES.get(entry.status, '')}"), "  ", entry.reason
    )
    yield Content("")
    for row in story:
        facts = facts_of(row)
        at = datetime.fromisoformat(row.at).astimezone(zone)
        yield Content.assemble(
            (f"#{row.seq}", "bold $text-primary"),
            (f"  {at:%Y-%m-%d %H:%M:%S}  ", "$quiet"),
            (_kind_words(row.kind, facts), "bold"),
            (f"   {row.leaf.hex()[:10]}", "$quiet"),
        )
        yield from (Content.assemble("   ", line) for line in _row_lines(row, facts, glyphs))
        yield Content("")


def raw_lines(story: Sequence[AuditRow]) -> Iterator[Content]:
    """Write the rows as they lie in the ledger."""
    for row in story:
        yield Content.styled(f"#{row.seq} {row.kind}  leaf {row.leaf.hex()}", "bold $text-primary")
        yield Content(json.dumps(json.loads(row.body), indent=2, ensure_ascii=False))
        yield Content.styled("personal, not hashed but committed to:", "$quiet")
        yield Content(json.dumps(row.personal, indent=2, ensure_ascii=False))
        yield Content("")


def _row_lines(row: AuditRow, facts: dict[str, Any], glyphs: Glyphs) -> Iterator[Content]:
    if row.kind == "run":
        yield from _step_lines(facts)
        return
    text = said(row)
    calls = _calls(row, facts)
    understanding = understand(text, calls)
    origin = facts.get("origin")
    if isinstance(origin, dict):
        yield _field("asked by", f"{origin.get('kind')} ({origin.get('peer')}), as {facts.get('asked_as', '')}")
    if text:
        yield Content.assemble((f"{'said':<11}", "$quiet"), request(understanding))
    for call in understanding.calls:
        yield from call_lines(call, glyphs, is_read=bool(text))
        if call.verdict:
            yield Content.assemble((f"{'laws':<11}", "$quiet"), law_line(call))
    for written in calls:
        rules = written.get("rules")
        if isinstance(rules, dict) and rules:
            yield _field("rules", ", ".join(f"{plain_name(k)}: {_rule(v)}" for k, v in rules.items()))
    yield from _decision_lines(facts, glyphs)
    yield from _outcome_lines(row, facts)
    for name, value in facts.items():
        if name not in _TOLD:
            yield _field(plain_name(name), shown_value(value))


def _step_lines(facts: dict[str, Any]) -> Iterator[Content]:
    yield _field("step", step_text(facts))
    for one in facts.get("weighed") or ():
        yield _field("weighed", _weighed(one))


def _weighed(one: Any) -> str:
    try:
        return steps_plainly.weighed(Weighed.from_json(one))
    except ValueError:
        return shown_value(one)  # in the form of other software


def _decision_lines(facts: dict[str, Any], glyphs: Glyphs) -> Iterator[Content]:
    proposal = facts.get("proposal")
    if isinstance(proposal, dict):
        yield from _proposal_lines(proposal, facts.get("latency"), glyphs)
    refusal = facts.get("refusal")
    if isinstance(refusal, dict):
        yield _field("refused", ", ".join(str(v) for v in refusal.values() if v))
    question = facts.get("question")
    if isinstance(question, dict):
        yield _field("asked for", ", ".join(question.get("missing", [])))
    yield from _law_lines(facts)
    approval = facts.get("approval")
    if isinstance(approval, dict):
        word = "confirmed" if approval.get("yes", True) else "declined"
        edited = ", ".join(approval.get("edited", ()))
        by = approval.get("origin", {}).get("peer", "")
        yield _field("approval", f"{word} by {by}{f', with another {edited}' if edited else ''}")
    elif facts.get("assume_yes"):
        yield _field("approval", "beforehand, by who said it")
    versions = facts.get("versions")
    if isinstance(versions, dict):
        model = facts.get("gen_ai.request.model")
        parts = [str(model)] if model else []
        parts += [f"{plain_name(k)} {str(v)[:16]}" for k, v in versions.items() if v]
        yield _field("decided by", "  ".join(parts))


def _law_lines(facts: dict[str, Any]) -> Iterator[Content]:
    """Say by which workflows it was judged, where they were, and whose approvals it rests on."""
    if facts.get("barred"):
        yield _field("laws", f"could not be used: {facts['barred']}")
    for law in facts.get("workflows") or ():
        if isinstance(law, dict):
            yield _field("workflow", f"{law.get('name')} {law.get('version')} in {law.get('state') or 'no state'}")
    for given in facts.get("given") or ():
        if isinstance(given, dict):
            yield _field("approved", f"by {given.get('person')} ({given.get('role')})")


def _outcome_lines(row: AuditRow, facts: dict[str, Any]) -> Iterator[Content]:
    if facts.get("status"):
        reason = personal(row, "reason")
        yield _field("outcome", f"{facts['status']}  {facts.get('code') or ''}  {reason}".rstrip())
    elif row.request_id is None and personal(row, "reason"):
        yield _field("reason", str(personal(row, "reason")))
    latency = facts.get("latency")
    if isinstance(latency, dict) and latency.get("total_ms"):
        yield _field("took", f"{latency['total_ms']:g} ms")


def _proposal_lines(proposal: dict[str, Any], latency: Any, glyphs: Glyphs) -> Iterator[Content]:
    candidates = proposal.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        match candidate:
            case [str(tool), int() | float() as score]:
                yield Content.assemble(
                    (f"{'weighed':<11}", "$quiet"), plain_name(tool).ljust(24), sureness(score, glyphs)
                )
    took_ms = latency.get("reading_ms") if isinstance(latency, dict) else None
    tokens_n = proposal.get("gen_ai.usage.input_tokens")
    yield _field("model", f"abstain {proposal.get('abstain')}, {tokens_n} tokens, {took_ms} ms")


def _calls(row: AuditRow, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a row's calls together again: what anyone may read, and the words kept apart from it."""
    kept = personal(row, "calls")
    whole = []
    for n, call in enumerate(facts.get("calls") or ()):
        if not isinstance(call, dict):
            continue
        hidden = kept[n] if isinstance(kept, list) and n < len(kept) and isinstance(kept[n], dict) else {}
        verdict = call.get("verdict")
        words = {k: v for k, v in hidden.items() if k not in ("message", "gen_ai.tool.call.result")}
        whole.append(
            {
                **call,
                "name": call.get("gen_ai.tool.name") or call.get("name", ""),
                "arguments": {**(call.get("gen_ai.tool.call.arguments") or {}), **words},
                "verdict": verdict.get("verdict", "") if isinstance(verdict, dict) else verdict or "",
                "rule": verdict.get("rule", "") if isinstance(verdict, dict) else "",
                "message": hidden.get("message", ""),
            }
        )
    return whole


def _kind_words(kind: str, facts: dict[str, Any]) -> str:
    if kind == "note" and "of" in facts:
        return "a person answered"
    return {
        "decided": "decided, before anything moved",
        "step": "one call done, the next decided",
        "settled": "settled",
        "parked": "waits for a person",
        "indeterminate": "in doubt: it may or may not have happened",
        "resolved": "a person said what became of it",
        "emergency": "emergency stop" if facts.get("latched") else "emergency stop released",
        "key_rotated": "the device has a new key",
        "run": "a workflow's step",
        "laws": "the owner's laws were read",
        "people": "people",
        "maintenance": "locked for maintenance" if facts.get("on") else "the maintenance lock was released",
        "epoch": "a new ledger began",
    }.get(kind, plain_name(kind))


def _rule(rule: Any) -> str:
    """Write what a rule said, and what it judged on where it had something against the call."""
    if not isinstance(rule, dict):
        return str(rule)
    said, values = str(rule.get("said", "")), rule.get("values")
    if said == "pass" or not isinstance(values, dict):
        return said
    asked = values.get("asked")
    if isinstance(asked, list):
        return f"{said} ({'; '.join(_weighed(one) for one in asked)})"
    return f"{said} ({', '.join(f'{plain_name(k)} {shown_value(v)}' for k, v in values.items())})"


def _field(name: str, value: str) -> Content:
    return Content.assemble((f"{name:<10} ", "$quiet"), value)
