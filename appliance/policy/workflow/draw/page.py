"""A law as one HTML page that needs nothing else: diagram, findings, and every state and rule in words."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib import resources
from typing import Final

from appliance.policy.workflow.complaint import Complaint, Refused
from appliance.policy.workflow.draw.diagram import Diagram, diagrams
from appliance.policy.workflow.draw.svg import svg
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.rulesbeside import KINDS, Rule
from appliance.policy.workflow.selecting import described
from appliance.policy.workflow.words import duration

_STYLE: Final = (resources.files(__package__) / "page.css").read_text(encoding="utf-8")
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src"
    f" 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
"""Nothing is fetched and nothing runs: only the style sheet of this page counts, whatever an author wrote."""

_LEGEND: Final = (
    "▶ begins here",
    "double green border: safe state",
    "blue: somebody says it",
    "grey: measured, or a call ends",
    "dashed: time, deadline, cap",
    "red: interrupts",
)


def page(loaded: Loaded, findings: Iterable[Complaint], *, lit: str = "", refresh_s: int = 0) -> str:
    """Draw *loaded* with what the validator found.

    Args:
        refresh_s: how often a browser reads the page again, while an author edits; 0 for never.
    """
    law, found = loaded.law, tuple(findings)
    body = [
        f"<h1>{escape(loaded.compiled.title)}</h1>",
        (
            f'<p class="meta"><code>{escape(law.workflow)}</code> version {law.version} · danger: {law.danger}'
            f" · sha256 {loaded.compiled.digest[:16]}…</p>"
        ),
        f"<p>{escape(law.about)}</p>" if law.about else "",
        _count(found),
    ]
    for diagram in diagrams(loaded, found):
        if diagram.name:
            body.append(f"<h2>Part: {escape(diagram.name)}</h2><p>{escape(diagram.about)}</p>")
        drawn = svg(diagram, lit)
        body += _arrows(diagram) if drawn is None else [f'<div class="scroll">{drawn}</div>']
    body.append(f'<p class="legend">{"".join(f"<span>{escape(text)}</span>" for text in _LEGEND)}</p>')
    body += [*_findings(loaded.name, found), *_states(loaded), *_events(loaded), *_measures(loaded), *_rules(loaded)]
    return _whole(loaded.compiled.title, body, refresh_s)


def refused_page(refused: Refused, *, refresh_s: int = 0) -> str:
    """Show why a file does not load, where the diagram would be."""
    return _whole(
        refused.name, [f"<h1>{escape(refused.name)}</h1>", *_findings(refused.name, refused.complaints)], refresh_s
    )


def _whole(title: str, body: Iterable[str], refresh_s: int) -> str:
    refresh = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{refresh}<title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _count(found: tuple[Complaint, ...]) -> str:
    errors_n = sum(one.level == "error" for one in found)
    if not found:
        return '<p class="none">✓ The validator has nothing against it.</p>'
    counted = [
        f"{n} {word}{'s' if n != 1 else ''}" for n, word in ((errors_n, "error"), (len(found) - errors_n, "warning"))
    ]
    verdict = "A device refuses it" if errors_n else "A device takes it"
    level = "error" if errors_n else "warning"
    return f'<p class="count {level}">⚠ {verdict}: {", ".join(text for text in counted if text[0] != "0")}.</p>'


def _findings(name: str, found: tuple[Complaint, ...]) -> Iterator[str]:
    if not found:
        return
    yield "<h2>What the validator found</h2>"
    yield '<ul class="found">'
    for one in found:
        check = "" if one.check == "load" else f" <code>{escape(one.check)}</code>"
        remedy = f'<br><span class="remedy">→ {escape(one.remedy)}</span>' if one.remedy else ""
        at = f"{escape(name.rpartition('/')[2])}:{one.place.line}:{one.place.column}"
        yield f'<li class="{one.level}"><code>{at}</code> {escape(one.what)}{check}{remedy}</li>'
    yield "</ul>"


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    if cells:
        yield f"<h2>{title}</h2><table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
        yield from (f"<tr>{row}</tr>" for row in cells)
        yield "</table>"


def _arrows(diagram: Diagram) -> Iterator[str]:
    """List what is too much to draw."""
    yield (
        f'<p class="count warning">Too large to draw: {len(diagram.boxes):,} states, {len(diagram.lines):,} arrows.'
        " The arrows are listed instead.</p>"
    )
    rows = [(line.source, line.label, line.target) for line in diagram.lines]
    yield from _table("Arrows", ("from", "when", "to"), rows)


def _states(loaded: Loaded) -> Iterator[str]:
    rows = [(name, state.about, state.instructions) for name, state in loaded.law.states.items()]
    for part, held in loaded.law.parts.items():
        rows += [(f"{part}: {name}", state.about, state.instructions) for name, state in held.states.items()]
    yield from _table("States", ("state", "", "what the operator reads"), rows)


def _events(loaded: Loaded) -> Iterator[str]:
    rows = [(name, event.about, ", ".join(event.by)) for name, event in loaded.law.events.items()]
    yield from _table("Events", ("say", "", "who may"), rows)


def _measures(loaded: Loaded) -> Iterator[str]:
    rows = [
        (
            name,
            f"sensor {measure.sensor}" if measure.sensor is not None else f"device {measure.device}",
            f"{measure.type} {measure.unit}".strip() + (f": {', '.join(measure.words)}" if measure.words else ""),
            f"unknown after {duration(measure.stale_after)}",
        )
        for name, measure in loaded.law.measures.items()
    ]
    rows += [(name, "", text, "") for name, text in loaded.law.guards.items()]
    yield from _table("Measures and guards", ("name", "source", "", ""), rows)


def _rules(loaded: Loaded) -> Iterator[str]:
    rows = [(name, _rule(rule), rule.why) for name, rule in loaded.law.rules.items()]
    yield from _table("Rules in every state", ("rule", "", "why"), rows)


def _rule(rule: Rule) -> str:
    tools = ", ".join(map(described, rule.tools))
    kind = next(kind for kind in KINDS if getattr(rule, kind) is not None)
    match kind:
        case "quiet" if rule.quiet is not None:
            return f"{tools}: not from {rule.quiet.start} to {rule.quiet.end}, {', '.join(rule.quiet.days)}"
        case "limit" if rule.limit is not None:
            return f"{tools}: at most {rule.limit.calls} in {duration(rule.limit.per)}, counted by {rule.limit.each}"
        case "exclusive" if rule.exclusive is not None:
            other = ", ".join(map(described, rule.exclusive.against))
            return f"{tools}: not within {duration(rule.exclusive.within)} of {other}"
        case "roles":
            return f"{tools}: only {', '.join(rule.roles or ())}"
        case "confirm" if rule.confirm is not None:
            below = f" below a confidence of {rule.confirm.below:g}" if rule.confirm.below is not None else ""
            return f"{tools}: confirmed by a person{below}"
        case _:
            return f"{tools}: only while {rule.needs}"
