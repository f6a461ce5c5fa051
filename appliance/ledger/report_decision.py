"""One request, explained: what was asked and understood, what the laws said, what was done, when on every clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appliance.contracts import decision, steps_plainly
from appliance.contracts.decision import Decision
from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.workflow import Step, Weighed
from appliance.ledger import story
from appliance.ledger.markup import Node, el
from appliance.ledger.report_words import at_once, facts, line_of, meant, named, quoted, table, who
from appliance.ledger.story import Deed, Story, Told

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

_SHORT_CHARS: Final = 160

_TONE: Final = {"done": "good", "failed": "bad", "indeterminate": "bad", "refused": "wait"}

_SAID: Final = {
    "done": "done",
    "failed": "failed",
    "refused": "refused",
    "waiting": "waited for a person",
    "asked": "asked back",
    "indeterminate": "in doubt: it may or may not have happened",
    "under way": "under way",
}

_VERDICTS: Final = {
    "allow": "may happen",
    "confirm": "only after a person's yes",
    "approve": "only after enrolled people approve",
    "deny": "may not happen",
}

_LOOKED: Final = {
    "held": "a look afterwards bore it out",
    "failed": "a look afterwards did NOT bear it out",
    "unchecked": "nothing to look at afterwards",
    None: "not looked at afterwards",
}

_MEANT: Final = {
    "ask": "said",
    "call": "asked for a call of a tool",
    "undo": "asked to take the last act back",
    "confirm": "confirmed",
    "answer": "answered",
    "event": "said an event to a workflow",
    "approve": "gave their word on what waited for approval",
    "maintenance": "spoke of the maintenance lock",
}


def anchor(one: Story) -> str:
    """Return the place of its card on the page."""
    return f"r{one.records[0].seq}"


def asked_for(one: Story) -> str:
    """Say in short what was asked."""
    if one.words:
        words = one.words if len(one.words) <= _SHORT_CHARS else one.words[:_SHORT_CHARS] + "\N{HORIZONTAL ELLIPSIS}"
        return quoted(words)
    if one.deeds:
        return "; ".join(f"{plain_name(deed.call.tool)}: {named(deed.arguments)}" for deed in one.deeds)
    return "(words withheld)" if any("text" in record.withheld for record in one.records) else "(no words)"


def outcome(one: Story) -> Node:
    """Say in short what came of it."""
    why = f": {meant(one.code)}" if one.code else ""
    return el("span", _SAID.get(one.status, one.status) + why, class_=f"tag {_TONE.get(one.status, 'wait')}")


def card(one: Story) -> Node:
    """Return everything about one request."""
    return el(
        "section",
        el("header", el("h3", at_once(one.records[0].at)), outcome(one)),
        el("p", el("code", one.request_id), class_="soft"),
        *_asked(one),
        *_understood(one),
        *_judged(one),
        *_confirmed(one),
        *_workflows(one),
        *_done(one),
        *_times(one),
        class_="card",
        id=anchor(one),
    )


def _asked(one: Story) -> Iterator[Node]:
    yield el("h4", "Asked")
    origin = _origin(one)
    if origin is not None:
        asker, asked_as = origin
        yield el("p", f"{who(asker)} {_MEANT.get(asked_as, asked_as)}:" if one.words else
                 f"{who(asker)} {_MEANT.get(asked_as, asked_as)}.")  # fmt: skip
    if one.words is not None:
        letters = _letters(one.deeds)
        yield el("blockquote", *(_piece(piece, letters) for piece in story.pieces(one.words, one.deeds)))
    elif any("text" in record.withheld for record in one.records):
        said = "The words are withheld; their salted hash is in the record: they can be shown, and checked, later."
        yield el("p", said, class_="box")


def _understood(one: Story) -> Iterator[Node]:
    judged = one.decision
    if judged is None:
        last = next((r for r in reversed(one.records) if r.kind == "settled"), one.records[-1])
        yield el("p", "No decision was needed: " + line_of(last))
        return
    yield el("h4", "Understood as")
    if judged.refusal is not None:
        parameter = f", {plain_name(judged.refusal.parameter)}" if judged.refusal.parameter else ""
        about = f" ({plain_name(judged.refusal.tool)}{parameter})" if judged.refusal.tool else ""
        yield el("p", f"Nothing that can be done{about}: {meant(judged.refusal.code.value)}.")
    if judged.question is not None:
        missing = ", ".join(plain_name(name) for name in judged.question.missing)
        yield el("p", f"{plain_name(judged.question.tool)}, but not complete: {missing} missing.")
    letters = _letters(one.deeds)
    for n, deed in enumerate(one.deeds):
        yield el("p", el("strong", plain_name(deed.call.tool)), f", confidence {deed.call.confidence:.1%}")
        rows: list[list[Node]] = []
        for name, value in deed.arguments.items():
            letter = letters.get(f"{n}.{name}", "")
            rows.append([el("strong", letter), plain_name(name), shown_value(value), _carried(one, deed, name)])
        if rows:
            yield table(("", "Argument", "Value", "From"), rows)
    yield from _candidates(one, judged)


def _candidates(one: Story, judged: Decision) -> Iterator[Node]:
    seen = [r.typed.proposal for r in one.records if isinstance(r.typed, Decision) and r.typed.proposal is not None]
    if not seen:
        return
    chosen = {call.tool for call in judged.calls}
    top = max([score for _, score in seen[-1].candidates] or [1.0]) or 1.0
    rows: list[list[Node]] = [
        [
            plain_name(tool),
            el("span", "", class_="bar", style=f"width:{max(0.0, score / top) * 6:.1f}rem"),
            f"{score:.4g}",
        ]
        for tool, score in seen[-1].candidates
    ]
    classes = ["chosen decisive" if tool in chosen else "" for tool, _ in seen[-1].candidates]
    yield el("h4", "Tools that were considered")
    yield table(("Tool", "", "Score"), rows, classes=classes)
    yield el("p", f"That nothing should act: {seen[-1].abstain:.1%}.", class_="soft")


def _judged(one: Story) -> Iterator[Node]:
    judged = one.decision
    if judged is None or not judged.calls:
        return
    yield el("h4", "Judged")
    for record in one.records:
        earlier = record.typed.calls if record is not one.decided_at and isinstance(record.typed, Decision) else ()
        for call in earlier:
            said = _VERDICTS[call.verdict.verdict]
            yield el(
                "p", f"At first: {plain_name(call.tool)} {said}, by the rule {call.verdict.rule} (record {record.seq})."
            )
    for call in judged.calls:
        verdict = call.verdict
        by = "no rule had anything against it" if verdict.rule == "default" else f"by the rule {verdict.rule}"
        yield el("p", el("strong", plain_name(call.tool)), f" {_VERDICTS[verdict.verdict]}: {by}.")
        rows: list[list[Node]] = [[name, rule.said, _judged_on(name, rule)] for name, rule in call.rules.items()]
        yield table(
            ("Rule", "Said", "Judged on"),
            rows,
            classes=["decisive" if name == verdict.rule else "" for name in call.rules],
        )
    guards = judged.guards
    yield el(
        "p",
        f"At that moment: emergency stop {'LATCHED' if guards.locked else 'not latched'}, "
        f"the log {'could' if guards.recordable else 'could NOT'} be written, "
        f"a person had {'' if guards.confirmed else 'not '}confirmed it, state {judged.state}"
        + ("." if guards.permitted else "; the stop came between verdict and act."),
        class_="soft",
    )


def _judged_on(name: str, rule: decision.Rule) -> Node:
    """Write what a rule looked at; of a workflow each thing that was asked, a line each."""
    asked = rule.values.get("asked")
    if not name.startswith("workflow:") or not isinstance(asked, list):
        return named(rule.values)
    try:
        lines = [steps_plainly.weighed(Weighed.from_json(said)) for said in asked]
    except ValueError:
        return named(rule.values)  # of another version's form
    return el("div", el("p", f"in {rule.values.get('state')}"), *(el("p", line) for line in lines))


def _workflows(one: Story) -> Iterator[Node]:
    """Tell where the workflows were before, whose approvals there were, and what the request did to them."""
    judged = one.decision
    steps = [record for record in one.records if isinstance(record.typed, Step)]
    if (judged is None or not (judged.workflows or judged.barred)) and not steps:
        return
    yield el("h4", "Workflows")
    if judged is not None:
        if judged.barred:
            yield el("p", f"The laws could not be used: {judged.barred}.", class_="box wait")
        rows: list[list[Node]] = [
            [law.name, f"{law.version}", law.state or "no run: denied", _readings(law)] for law in judged.workflows
        ]
        if rows:
            yield table(("Workflow", "Version", "It was in", "Measured"), rows)
        for given in judged.given:
            yield el("p", f"Approved by {given.person}, role {given.role}, at {at_once(given.at.at.isoformat())}.")
    for record in steps:
        assert isinstance(record.typed, Step)  # chosen above
        yield el("p", el("strong", f"#{record.seq} "), steps_plainly.line(record.typed), ".")
        if record.typed.weighed:
            yield el("ul", *(el("li", steps_plainly.weighed(said)) for said in record.typed.weighed))


def _readings(law: decision.Workflow) -> str:
    values = {name: read.get("value") for name, read in law.readings.items() if isinstance(read, dict)}
    return named(values) or "nothing"


def _confirmed(one: Story) -> Iterator[Node]:
    approval = next((r.typed.approval for r in reversed(one.records)
                     if isinstance(r.typed, Decision | decision.Closed) and r.typed.approval), None)  # fmt: skip
    if approval is not None:
        said = "answered" if approval.asked_as == "answer" else "said yes" if approval.yes else "said no"
        edited = f" and corrected {', '.join(plain_name(n) for n in approval.edited)}" if approval.edited else ""
        yield el("h4", "Confirmed")
        yield el("p", f"{who(approval.origin)} {said}{edited} at {at_once(approval.at.isoformat())} "
                 f"(record {approval.note}).")  # fmt: skip
    elif one.decision is not None and one.decision.assume_yes:
        yield el("h4", "Confirmed")
        yield el("p", "Beforehand, by whoever said it.")


def _done(one: Story) -> Iterator[Node]:
    yield el("h4", "What was done")
    for deed in one.deeds:
        result = deed.result
        looked = f"; {_LOOKED[result.postcondition]}" if result is not None else ""
        took = f" in {result.latency_ms:g} ms" if result is not None else ""
        said = f" {quoted(deed.message)}" if deed.message else None
        yield el("p", el("strong", plain_name(deed.call.tool)), f": {deed.state}{took}{looked}.", said)
    if not one.deeds:
        yield el("p", "Nothing.")
    if one.reason and not any(deed.message for deed in one.deeds):
        yield el("p", f"The asker was told: {quoted(one.reason)}")


def _times(one: Story) -> Iterator[Node]:
    yield el("h4", "Records and times")
    rows: list[list[Node]] = [
        [f"#{r.seq}", plain_name(r.kind), at_once(r.at), f"{r.monotonic_s:.3f} s", f"{r.boot}", r.clock]
        for r in one.records
    ]
    yield table(("Record", "Kind", "Wall clock", "Monotonic", "Start no.", "Wall clock is"), rows)
    total = _total_ms(one.records)
    judged = one.decision
    parts: list[tuple[str, Node]] = []
    if total is not None:
        parts.append(("From inbox to outcome", f"{total:g} ms, a person's thinking left out"))
    if judged is not None:
        versions = judged.versions
        by = f"appliance {versions.software}, {judged.model or 'no model'}, {versions.runtime or 'no runtime'}"
        parts.append(("Decided by", by))
        parts.append(("Under configuration", el("code", judged.configured)))
    if parts:
        yield facts(*parts)


def _origin(one: Story) -> tuple[decision.Asker, str] | None:
    for record in one.records:
        match record.typed:
            case Decision(origin=origin, asked_as=asked_as) | decision.Closed(origin=origin, asked_as=asked_as):
                return origin, asked_as
            case _:
                pass
    return None


def _letters(deeds: tuple[Deed, ...]) -> dict[str, str]:
    """Give a letter to every argument that words carry."""
    carried = [f"{n}.{name}" for n, deed in enumerate(deeds) for name in deed.arguments if deed.call.spans.get(name)]
    return dict(zip(carried, _LETTERS, strict=False))


def _piece(piece: story.Piece, letters: dict[str, str]) -> Node:
    ends = "".join(letters.get(mark, "") for mark in piece.ends)
    badge = el("sup", ends) if ends else None
    return el("mark", piece.text, badge) if piece.marks else el("span", piece.text)


def _carried(one: Story, deed: Deed, name: str) -> str:
    spans = deed.call.spans.get(name)
    if not spans:
        return "not from words"
    if one.words is None:
        return ", ".join(f"characters {start} to {end}" for start, end in spans)
    return ", ".join(quoted(one.words[s:e]) for s, e in spans)


def _total_ms(records: tuple[Told, ...]) -> float | None:
    for record in reversed(records):
        match record.typed:
            case decision.Settled(latency=latency) | decision.Closed(latency=latency) | Decision(latency=latency):
                return latency.total_ms
            case _:
                pass
    return None
