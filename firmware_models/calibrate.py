"""Evidence and outcomes to calibrated probabilities and thresholds."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from appliance.contracts.manifest import Calibration, Scale, Thresholds
from appliance.contracts.toolcall import Proposal
from appliance.errors import InputTooLong
from appliance.inference import confidence
from appliance.inference.confidence import Evidence
from appliance.inference.decoder import Decoder, outcome_evidence
from appliance.inference.encoding import Encoded
from appliance.inference.readings import Answer
from firmware_models import judging
from firmware_models.rows import Row

CALL_EVIDENCE: Final = ("call", "decided", "span", "option", "alone", "act")
MENTION_EVIDENCE: Final = ("present", "span", "option")
ABSTAIN_EVIDENCE: Final = ("refuse",)
RIDGE: Final = 1.0
"""Pull of the weights towards zero, in rows: keeps a small sample from inventing certainty."""

BINS_N: Final = 10

ASK_FROM: Final = 0.25
"""A call with less than one chance in four is not worth a person's attention."""

CALL_LOGITS: Final = (-1.5, -1.25, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5)
"""Scores that are tried for `call_logit`."""


class Sample(NamedTuple):
    """Evidence for one statement, and whether it was true."""

    evidence: Evidence
    true: bool


class Asked(NamedTuple):
    """A row and what the network answered."""

    row: Row
    encoded: Encoded
    answer: Answer


class Samples(NamedTuple):
    """All that a set of rows says about calibration."""

    calls: list[Sample]
    mentions: list[Sample]
    abstain: list[Sample]


def ask(decoder: Decoder, data: Iterable[Row]) -> list[Asked]:
    """Run the network over rows that training never saw; rows that do not fit are left out."""
    asked = []
    for row in data:
        try:
            encoded = decoder.encoder.encode(row.line.request, row.tools)
        except InputTooLong:
            continue
        asked.append(Asked(row, encoded, decoder.scorer.score(encoded)))
    return asked


def call_logit(decoder: Decoder, asked: Sequence[Asked]) -> float:
    """The score from which a tool counts as called, so that most rows come out exactly right.

    Training weighs wrong calls double, which moves the even odds away from zero.
    """

    def exact_n(score: float) -> int:
        tried = decoder.calibration.model_copy(update={"call_logit": score})
        looking = Decoder(decoder.encoder, decoder.scorer, tried)
        found = (Proposal(calls=tuple(f.call for f in looking.find(a.encoded, a.answer))) for a in asked)
        return sum(judging.judge(a.row, proposal).exact for a, proposal in zip(asked, found, strict=True))

    return max(CALL_LOGITS, key=lambda score: (exact_n(score), score))


def gather(decoder: Decoder, asked: Iterable[Asked]) -> Samples:
    """What was found, and whether it was right."""
    samples = Samples([], [], [])
    for row, encoded, answer in asked:
        samples.abstain.append(Sample(outcome_evidence(answer), row.line.expect == "refuse" and not row.line.calls))
        for found in decoder.find(encoded, answer):
            wanted = [call for call in row.line.calls if call.name == found.call.tool]
            right = [call for call in wanted if judging.same_call(row, call, found.call)]
            samples.calls.append(Sample(found.evidence, bool(right)))
            if wanted:
                tool = next(tool for tool in row.tools if tool.name == found.call.tool)
                for name, evidence in found.mentions.items():
                    argument = (right or wanted)[0].arguments.get(name)
                    mention = found.call.mentions[name]
                    same = argument is not None and judging.same_mention(tool, name, argument, mention)
                    samples.mentions.append(Sample(evidence, same))
    return samples


def fit(samples: Samples, called_from: float) -> Calibration:
    """One logistic regression for each kind of statement."""
    return Calibration(
        call_logit=called_from,
        call=_regress(samples.calls, CALL_EVIDENCE),
        mention=_regress(samples.mentions, MENTION_EVIDENCE),
        abstain=_regress(samples.abstain, ABSTAIN_EVIDENCE),
    )


def expected_error(scale: Scale, samples: Sequence[Sample]) -> float:
    """Expected calibration error over ten bins of equal width."""
    if not samples:
        return 0.0
    said = np.array([confidence.probability(scale, s.evidence) for s in samples])
    true = np.array([s.true for s in samples], float)
    bins = np.minimum((said * BINS_N).astype(int), BINS_N - 1)
    filled = [bins == b for b in range(BINS_N) if (bins == b).any()]
    return float(sum(abs(said[b].mean() - true[b].mean()) * b.mean() for b in filled))


def thresholds(calibration: Calibration, samples: Samples, wrong_share: float) -> Thresholds:
    """The lowest confidence to act from at which wrong acts stay below *wrong_share* of all requests.

    Below it, down to `ASK_FROM`, a person is asked.
    """
    requests_n = max(1, len(samples.abstain))
    said = sorted(((confidence.probability(calibration.call, s.evidence), s.true) for s in samples.calls), reverse=True)
    act, wrong_n = 1.0, 0
    for probability, true in said:
        wrong_n += not true
        if wrong_n > wrong_share * requests_n:
            break
        act = probability
    act = min(max(act, 0.5), 0.95)
    return Thresholds(act=round(act, 3), confirm=round(min(ASK_FROM, act), 3), abstain=0.6)


def _regress(samples: Sequence[Sample], names: Sequence[str]) -> Scale:
    """Newton's method on the ridge-penalised log-likelihood."""
    x = np.array([[1.0, *(confidence.capped(s.evidence.get(name, 0.0)) for name in names)] for s in samples])
    y = np.array([s.true for s in samples], float)
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-3
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - y) + penalty @ weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    named = {name: round(float(weight), 5) for name, weight in zip(names, weights[1:], strict=True)}
    return Scale(bias=round(float(weights[0]), 5), weights=named)
