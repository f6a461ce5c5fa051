"""The ledger's rows of one request, as a person reads them; whatever a row holds is written, known or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from textual.content import Content

from appliance.contracts.audit import AuditRow
from appliance.tui.glyphs import STATUS_STYLES, STATUS_WORDS, Glyphs
from appliance.tui.queries import Entry, facts_of, personal, said
from appliance.tui.understanding import plain_name, shown_value, understand
from appliance.tui.widgets.card_text import call_lines, law_line, request, sureness

_TOLD: Final = frozenset(
    {
        "origin", "asked_as", "calls", "proposal", "refusal", "question", "status", "code", "latency_ms", "versions",
        "gen_ai.operation.name", "received_at", "assume_yes", "confirmed",
    }
)  # fmt: skip
"""Facts that have a line of their own, or are said better by the others."""


def story_lines(entry: Entry, story: Sequence[AuditRow], glyphs: Glyphs, zone: tzinfo | None) -> Iterator[Content]:
    """Write the story for a person."""
    status = STATUS_WORDS.get(entry.status, entry.status or plain_name(entry.kind))
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
            (f"   {row.hash[:10]}", "$quiet"),
        )
        yield from (Content.assemble("   ", line) for line in _row_lines(row, facts, glyphs))
        yield Content("")


def raw_lines(story: Sequence[AuditRow]) -> Iterator[Content]:
    """Write the rows as they lie in the ledger."""
    for row in story:
        yield Content.styled(f"#{row.seq} {row.kind}  hash {row.hash}", "bold $text-primary")
        yield Content(json.dumps(json.loads(row.body), indent=2, ensure_ascii=False))
        yield Content.styled("personal, not hashed but committed to:", "$quiet")
        yield Content(json.dumps(row.personal, indent=2, ensure_ascii=False))
        yield Content("")


def _row_lines(row: AuditRow, facts: dict[str, Any], glyphs: Glyphs) -> Iterator[Content]:
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
        yield Content.assemble((f"{'laws':<11}", "$quiet"), law_line(call))
    for written in calls:
        rules = written.get("rules")
        if isinstance(rules, dict) and rules:
            yield _field("rules", ", ".join(f"{plain_name(k)}: {v}" for k, v in rules.items()))
    yield from _decision_lines(facts, glyphs)
    yield from _outcome_lines(row, facts)
    for name, value in facts.items():
        if name not in _TOLD:
            yield _field(plain_name(name), shown_value(value))


def _decision_lines(facts: dict[str, Any], glyphs: Glyphs) -> Iterator[Content]:
    proposal = facts.get("proposal")
    if isinstance(proposal, dict):
        yield from _proposal_lines(proposal, glyphs)
    refusal = facts.get("refusal")
    if isinstance(refusal, dict):
        yield _field("refused", ", ".join(str(v) for v in refusal.values() if v))
    question = facts.get("question")
    if isinstance(question, dict):
        yield _field("asked for", ", ".join(question.get("missing", [])))
    if facts.get("confirmed") or facts.get("assume_yes"):
        yield _field("confirmed", "by a person" if facts.get("confirmed") else "beforehand, by who said it")
    versions = facts.get("versions")
    if isinstance(versions, dict):
        yield _field("decided by", "  ".join(f"{plain_name(k)} {str(v)[:16]}" for k, v in versions.items() if v))


def _outcome_lines(row: AuditRow, facts: dict[str, Any]) -> Iterator[Content]:
    if facts.get("status"):
        reason = personal(row, "reason")
        yield _field("outcome", f"{facts['status']}  {facts.get('code') or ''}  {reason}".rstrip())
    if facts.get("latency_ms"):
        yield _field("took", f"{facts['latency_ms']:g} ms")


def _proposal_lines(proposal: dict[str, Any], glyphs: Glyphs) -> Iterator[Content]:
    candidates = proposal.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        match candidate:
            case [str(tool), int() | float() as score]:
                yield Content.assemble(
                    (f"{'weighed':<11}", "$quiet"), plain_name(tool).ljust(24), sureness(score, glyphs)
                )
    yield _field(
        "model",
        f"abstain {proposal.get('abstain')}, {proposal.get('tokens_n')} tokens, {proposal.get('latency_ms')} ms",
    )


def _calls(row: AuditRow, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a row's calls together again: what anyone may read, and the words kept apart from it."""
    kept = personal(row, "calls")
    whole = []
    for n, call in enumerate(facts.get("calls") or ()):
        if not isinstance(call, dict):
            continue
        hidden = kept[n] if isinstance(kept, list) and n < len(kept) and isinstance(kept[n], dict) else {}
        verdict = call.get("verdict")
        words = {k: v for k, v in hidden.items() if k not in ("message", "output")}
        whole.append(
            {
                **call,
                "name": call.get("gen_ai.tool.name") or call.get("name", ""),
                "arguments": {**(call.get("arguments") or {}), **words},
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
    }.get(kind, plain_name(kind))


def _field(name: str, value: str) -> Content:
    return Content.assemble((f"{name:<11}", "$quiet"), value)
