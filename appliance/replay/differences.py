"""Two decisions side by side: what differs, and what could be the reason."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from appliance import __version__
from appliance.contracts.decision import CallFacts, Decision, QuestionFacts
from appliance.contracts.manifest import Tolerance
from appliance.replay.again import Again
from appliance.replay.recorded import Recorded

ROUNDED: Final = 0.00011
"""Scores are recorded with four digits; less than this is no difference."""

UNEXPLAINED: Final = (
    "software, bundle, runtime and machine are those of the record, so nothing here explains it: "
    "check the ledger with `appliance audit verify`"
)


class Comparison(NamedTuple):
    """How a decision that was made again compares with the recorded one."""

    differences: tuple[str, ...] = ()
    """What differs; empty when the decisions are equal."""

    why: tuple[str, ...] = ()
    """What is not as it was then, and could be the reason."""

    drift: float = 0.0
    """Largest difference of a score that two runtimes may have; 0 on the same one."""

    unchecked: tuple[str, ...] = ()
    """Personal values that were erased and so could not be compared."""


class _Scores:
    """How far scores may differ here; remembers how far they did."""

    def __init__(self, tolerance: Tolerance | None) -> None:
        self._tolerance = tolerance
        self.drift = 0.0

    def are_equal(self, one: float, other: float) -> bool:
        """Tell whether two probabilities count as the same."""
        apart = abs(one - other)
        if apart <= ROUNDED:
            return True
        if self._tolerance is None:
            return False
        self.drift = max(self.drift, apart)
        return apart <= self._tolerance.confidence or abs(_logit(one) - _logit(other)) <= self._tolerance.runtimes_logit


def compare(recorded: Recorded, again: Again) -> Comparison:
    """Say how *again* differs from *recorded*."""
    was, now = recorded.facts, again.facts
    elsewhere = tuple(_elsewhere(again))
    tolerance = again.model.bundle.manifest.tolerance if elsewhere and again.model else None
    scores = _Scores(tolerance)
    found = [*_coming_to(was, now), *_calls(recorded, again, scores), *_said(was, now), *_proposal(was, now, scores)]
    why = [*_why(was), *elsewhere]
    if found and not why:
        why = [UNEXPLAINED]
    unchecked = tuple(sorted(recorded.erased & {"calls", "question"}))
    return Comparison(tuple(found), tuple(why) if found else (), scores.drift, unchecked)


def _coming_to(was: Decision, now: Decision) -> Iterator[str]:
    if was.comes_to != now.comes_to:
        yield f"decision: {was.comes_to} recorded, {now.comes_to} now"


def _calls(recorded: Recorded, again: Again, scores: _Scores) -> Iterator[str]:
    was, now = recorded.facts.calls, again.facts.calls
    if [c.tool for c in was] != [c.tool for c in now]:
        yield f"tools: {_named(was)} recorded, {_named(now)} now"
        return
    own: Any = again.record.personal.get("calls") or []
    kept: Any = None if "calls" in recorded.erased else recorded.words.get("calls") or []
    for n, (one, other) in enumerate(zip(was, now, strict=True)):
        yield from _arguments(one.tool, one.arguments, other.arguments)
        if kept is not None and _nth(kept, n) != _nth(own, n):
            yield f"{one.tool}: somebody's own words in it differ"
        if (one.spans, one.anchor) != (other.spans, other.anchor):
            yield f"{one.tool}: read from other words of the request"
        if not scores.are_equal(one.confidence, other.confidence):
            yield f"{one.tool}: confidence {one.confidence:.4f} recorded, {other.confidence:.4f} now"
        yield from _laws(one, other, scores)


def _arguments(tool: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name) or (name in was) != (name in now):
            yield f"{tool}: {name} {was.get(name, 'absent')} recorded, {now.get(name, 'absent')} now"


def _laws(was: CallFacts, now: CallFacts, scores: _Scores) -> Iterator[str]:
    if was.verdict != now.verdict:
        yield (
            f"{was.tool}: {was.verdict.verdict} by {was.verdict.rule} recorded, "
            f"{now.verdict.verdict} by {now.verdict.rule} now"
        )
    for name in sorted({*was.rules, *now.rules}):
        one, other = was.rules.get(name), now.rules.get(name)
        if one is None or other is None:
            yield f"{was.tool}: the rule {name} was {'not asked then' if one is None else 'asked then and is not now'}"
            continue
        if one.said != other.said:
            yield f"{was.tool}: the rule {name} said {one.said}, and now {other.said}"
        for value in sorted({*one.values, *other.values}):
            before, after = one.values.get(value), other.values.get(value)
            if isinstance(before, float) and isinstance(after, float) and scores.are_equal(before, after):
                continue
            if before != after:
                yield f"{was.tool}: the rule {name} judged on {value} {before}, and now {after}"


def _said(was: Decision, now: Decision) -> Iterator[str]:
    if _asked(was.question) != _asked(now.question):
        yield f"question: {_asked(was.question) or 'none'} recorded, {_asked(now.question) or 'none'} now"
    elif was.question is not None and now.question is not None:
        yield from _arguments(was.question.tool, was.question.arguments, now.question.arguments)
    if was.refusal != now.refusal:
        one, other = (r.code.value if r else "none" for r in (was.refusal, now.refusal))
        yield f"refusal: {one} recorded, {other} now"


def _proposal(was: Decision, now: Decision, scores: _Scores) -> Iterator[str]:
    if was.proposal is None or now.proposal is None:
        if was.proposal is not now.proposal:
            yield f"model: {'not asked' if was.proposal is None else 'asked'} then, and now the other way round"
        return
    if was.proposal.input_tokens != now.proposal.input_tokens:
        yield f"model: {was.proposal.input_tokens} tokens read then, {now.proposal.input_tokens} now"
    if not scores.are_equal(was.proposal.abstain, now.proposal.abstain):
        yield f"model: abstain {was.proposal.abstain:.4f} recorded, {now.proposal.abstain:.4f} now"
    known = dict(now.proposal.candidates)
    least = min(known.values(), default=0.0)  # at most that has a tool which is not among the likeliest now
    apart = [
        f"{tool} {score:.4f} recorded, {f'{known[tool]:.4f}' if tool in known else 'less likely'} now"
        for tool, score in was.proposal.candidates
        if not scores.are_equal(score, known.get(tool, min(score, least)))
    ]
    if apart:
        yield f"candidates: {'; '.join(apart)}"


def _why(was: Decision) -> Iterator[str]:
    if was.versions.software != __version__:
        yield f"software {was.versions.software} decided, this is {__version__}"


def _elsewhere(again: Again) -> Iterator[str]:
    """Name what makes the last bits of a score another device's business."""
    then = again.setup.configuration
    if again.model is None:
        return
    if again.model.sha256 != then.bundle_sha256:
        manifest = again.model.bundle.manifest
        yield f"bundle {then.bundle}/{then.bundle_version} decided, this is {manifest.name}/{manifest.version}"
    if again.model.runtime != then.runtime:
        yield f"recorded on {then.runtime}, here {again.model.runtime}: the last bits of a score may differ"
    if platform.machine() != then.machine:
        yield f"recorded on {then.machine}, here {platform.machine()}: the last bits of a score may differ"


def _asked(question: QuestionFacts | None) -> str:
    return "" if question is None else f"{question.tool}: {', '.join(question.missing)}"


def _named(calls: tuple[CallFacts, ...]) -> str:
    return ", ".join(call.tool for call in calls) or "none"


def _nth(values: Any, n: int) -> Any:
    return (values[n] if isinstance(values, list) and n < len(values) else None) or {}


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-4), 1 - 1e-4)
    return math.log(bounded / (1 - bounded))
