"""What a bundle would have made of what was asked here: the device's own ledger, decided again by caged answers.

The words go into the cage and proposals come out; the device's own reader and judge do the rest, exactly as a replay
does them, so a bundle that nobody trusts yet is never loaded by whoever reads the ledger.

Covers: decisions whose words are still here, of every tool that this site has or had, judged by the laws, runs and
readings that stood then: a call that a law denied then is denied again, whichever bundle proposes it.
Does not cover: words that were erased; they are counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from typing_extensions import override

from appliance.agent.model import Model
from appliance.canary.errand import Answered, Asked
from appliance.contracts.canary import CanaryLimits, Check
from appliance.contracts.decision import Decision
from appliance.contracts.toolcall import Proposal
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong
from appliance.inference.bundle import Bundle
from appliance.replay import run
from appliance.replay.again import Replayer
from appliance.replay.models import Models
from appliance.replay.other_model import Would, is_asked_of_a_model
from appliance.replay.recorded import CannotReplay, Ledger

NAMED_N: Final = 10


class Questions(NamedTuple):
    """What the ledger would have asked."""

    ledger: Ledger
    seqs: tuple[int, ...]
    asked: tuple[Asked, ...]
    """Of the same length."""

    catalogues: tuple[tuple[ToolSpec, ...], ...]
    unread_n: int
    """Decisions that cannot be decided again."""


class Told:
    """A decoder that has been asked already."""

    def __init__(self, questions: Questions, answers: Sequence[Answered]) -> None:
        self._known = {
            (one.text, questions.catalogues[one.catalogue]): answer
            for one, answer in zip(questions.asked, answers, strict=True)
        }

    def propose(self, text: str, tools: Sequence[ToolSpec]) -> Proposal:
        """Say what the caged bundle said.

        Raises:
            InputTooLong: it did not fit.
        """
        answer = self._known[text, tuple(tools)]
        if answer.proposal is None:
            raise InputTooLong(answer.too_long)
        return answer.proposal


class _OnlyTold(Models):
    """The one bundle that has been asked."""

    def __init__(self, model: Model) -> None:
        super().__init__((), runtime="auto", threads_n=1)
        self._model = model

    @override
    def find(self, wanted: str) -> Model | None:
        return self._model if wanted == self._model.sha256 else None


def gather(reader: sqlite3.Connection, limits: CanaryLimits) -> Questions:
    """Collect the newest decisions that words led to."""
    ledger = Ledger(reader)
    seqs: list[int] = []
    asked: list[Asked] = []
    places: dict[str, int] = {}
    catalogues: list[tuple[ToolSpec, ...]] = []
    unread_n = 0
    for seq in ledger.decisions(last_n=limits.recorded_n, in_words=True) if limits.recorded_n else ():
        try:
            decision = ledger.decision(seq)
            setup = ledger.setup(decision.facts.configured)
            text = decision.said("text") or ""
        except CannotReplay:
            unread_n += 1
            continue
        if not is_asked_of_a_model(decision):
            continue
        place = places.get(decision.facts.configured)
        if place is None:
            place = places[decision.facts.configured] = len(catalogues)
            catalogues.append(setup.catalogue.specs())
        seqs.append(seq)
        asked.append(Asked(text=text, catalogue=place))
    return Questions(ledger, tuple(seqs), tuple(asked), tuple(catalogues), unread_n)


def judge(
    questions: Questions, answers: Sequence[Answered], bundle: Bundle, sha256: str, limits: CanaryLimits
) -> Check:
    """Check that what was decided here would be decided about the same way."""
    model = Model(Told(questions, answers), bundle, sha256, "caged")
    replayer = Replayer(questions.ledger, _OnlyTold(model), other=sha256)
    found: list[Would] = []
    unread_n = questions.unread_n
    for result in run.imagined(questions.ledger, replayer, questions.seqs):
        if result.would is None:
            unread_n += 1
        else:
            found.append(result.would)
    changed = [one for one in found if one.change != "same"]
    acts = [one for one in changed if one.now.comes_to == "act"]
    risky = [one for one in changed if one.risk == "high" and _tools(one.now) - _tools(one.was)]
    silent = [
        one for one in changed if one.now.comes_to in {"refuse", "ask"} and one.was.comes_to not in {"refuse", "ask"}
    ]
    share = len(found) or 1
    figures = {"changed": len(changed), "acts": len(acts), "risky": len(risky), "refuses": len(silent)}
    reasons = []
    # Not once: what opens or unlocks is worth a release of its own, even where it is understood better than before.
    if risky:
        reasons.append(f"would call a tool of high risk where the device did not: {_named(risky)}")
    if len(found) >= limits.recorded_least_n:
        if len(acts) / share > limits.recorded_acts:
            reasons.append(f"would do something else with {len(acts)} of {len(found)}: {_named(acts)}")
        if len(silent) / share > limits.recorded_refuses:
            reasons.append(f"would refuse or ask back {len(silent)} of {len(found)}: {_named(silent)}")
    return Check(
        name="recorded",
        passed=not reasons,
        tried_n=len(found),
        failed_n=len(changed),
        reason="; ".join(reasons),
        figures={**{name: float(n) for name, n in figures.items()}, "unread": float(unread_n)},
    )


def _tools(decision: Decision) -> set[str]:
    return {call.tool for call in decision.calls}


def _named(found: Sequence[Would]) -> str:
    """Numbers of records: what was said stays in them."""
    dots = ", ..." if len(found) > NAMED_N else ""
    return ", ".join(f"#{one.seq}" for one in found[:NAMED_N]) + dots
