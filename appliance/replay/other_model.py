"""What another bundle would have done with what was asked here: counts, and what changes, most dangerous first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from appliance.contracts.decision import CallFacts, ComesTo, Decision
from appliance.contracts.toolspec import Risk
from appliance.replay.again import Again
from appliance.replay.recorded import Recorded

Change = Literal["same", "now acts", "other tool", "other arguments", "now asks", "now refuses"]
CHANGES: Final[tuple[Change, ...]] = ("same", "now acts", "other tool", "other arguments", "now asks", "now refuses")

_DANGER: Final[dict[tuple[ComesTo, ComesTo], int]] = {
    ("refuse", "act"): 0,
    ("ask", "act"): 1,
    ("confirm", "act"): 1,
    ("approve", "act"): 1,
    ("act", "act"): 2,
    ("refuse", "confirm"): 3,
    ("ask", "confirm"): 4,
    ("confirm", "confirm"): 4,
    ("approve", "confirm"): 4,
    ("refuse", "approve"): 5,
    ("ask", "approve"): 5,
    ("confirm", "approve"): 5,
    ("approve", "approve"): 5,
}
"""From what was decided to what would have been; what asks or refuses now moves nothing."""

_RISKS: Final = {Risk.HIGH.value: 0, Risk.LOW.value: 1, Risk.READ.value: 2, "": 3}


class Would(NamedTuple):
    """A decision, and what the other bundle would have made of it."""

    seq: int
    at: datetime
    request_id: str
    text: str
    change: Change
    was: Decision
    now: Decision
    risk: str
    """The highest of the calls that it would make."""

    @property
    def danger(self) -> tuple[int, int, float, int]:
        """Return what to sort by: the smaller, the more a person should look at it."""
        surest = max((call.confidence for call in self.now.calls), default=0.0)
        return _DANGER.get((self.was.comes_to, self.now.comes_to), 9), _RISKS[self.risk], -surest, self.seq


def would(recorded: Recorded, again: Again) -> Would:
    """Say what *again*, by another bundle, changes."""
    was, now = recorded.facts, again.facts
    risks = {spec.risk.value for call in now.calls if (spec := again.setup.catalogue.spec(call.tool)) is not None}
    return Would(
        seq=recorded.seq,
        at=recorded.at,
        request_id=recorded.request_id,
        text=str(recorded.words.get("text", "")),
        change=_change(recorded, again),
        was=was,
        now=now,
        risk=min(risks, key=lambda risk: _RISKS[risk], default=""),
    )


def counted(found: Iterable[Would]) -> dict[Change, int]:
    """Count the changes, in their order."""
    counts = Counter(one.change for one in found)
    return {change: counts[change] for change in CHANGES}


def is_asked_of_a_model(recorded: Recorded) -> bool:
    """Tell whether words were read for the first time; an answer to the old model says nothing of a new one."""
    return recorded.facts.asked_as == "ask" and recorded.facts.continues is None


def described(decision: Decision) -> str:
    """Write what a decision comes to in one short line."""
    if decision.refusal is not None:
        return f"refuse ({decision.refusal.code.value})"
    if decision.question is not None:
        return f"ask {decision.question.tool}: {', '.join(decision.question.missing)}"
    return f"{decision.comes_to} {'; '.join(_call(call) for call in decision.calls)}"


def _change(recorded: Recorded, again: Again) -> Change:
    was, now = recorded.facts, again.facts
    if was.comes_to != now.comes_to:
        kept: dict[ComesTo, Change] = {"act": "now acts", "refuse": "now refuses"}
        return kept.get(now.comes_to, "now asks")
    if now.comes_to == "refuse":
        return "same"
    if _tools(was) != _tools(now):
        return "other tool"
    return "same" if _values(was, recorded.words) == _values(now, again.record.personal) else "other arguments"


def _tools(decision: Decision) -> list[str]:
    return [*(call.tool for call in decision.calls), *([decision.question.tool] if decision.question else [])]


def _values(decision: Decision, words: Mapping[str, Any]) -> object:
    question = decision.question
    missing = (question.missing, question.arguments) if question else None
    return [call.arguments for call in decision.calls], missing, words.get("calls"), words.get("question")


def _call(call: CallFacts) -> str:
    values = ", ".join(f"{name}={value}" for name, value in sorted(call.arguments.items()))
    return f"{call.tool}({values}) {call.confidence:.2f}"
