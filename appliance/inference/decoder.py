"""A request and the tools at hand to proposed calls: which tools, which words fill which parameter, how sure.

One look at the request finds every tool that is meant. Only a tool that is meant more than once ("close doors 1 and
2") costs further looks, with the words of the calls already found marked as used. There is no loop over tokens, and
nothing is generated: every argument is words of the request or an option of the schema.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from appliance.contracts.manifest import Calibration
from appliance.contracts.toolcall import Candidate, Mention, Proposal, Span, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.inference import confidence, pointing, readings, retrieval
from appliance.inference.encoding import Encoded, Encoder, ParameterPlace, ToolPlace
from appliance.inference.interpreter import Scorer
from appliance.inference.pointing import Pointed
from appliance.inference.readings import Answer

CALLS_OF_ONE_TOOL_N: Final = 6
"""Looks at most for a tool that is meant again and again."""


class Found(NamedTuple):
    """A call with the evidence that its confidence is computed from."""

    call: ToolCall
    evidence: dict[str, float]
    mentions: dict[str, dict[str, float]]
    """Evidence for every parameter that was found."""

    again: bool


class Decoder:
    """Proposes calls; keeps nothing between requests but the tokens of tools it has seen."""

    def __init__(self, encoder: Encoder, scorer: Scorer, calibration: Calibration) -> None:
        self.encoder = encoder
        self.scorer = scorer
        self.calibration = calibration

    def propose(self, text: str, tools: Sequence[ToolSpec]) -> Proposal:
        """Say what *text* asks of *tools*, in the order said.

        Raises:
            InputTooLong: request and tools do not fit the network together.
        """
        candidates: list[Candidate] = []
        if not retrieval.fits(self.encoder, text, tools):
            tools, candidates = retrieval.shortlist(self.encoder, self.scorer, text, tools)
        encoded = self.encoder.encode(text, tools)
        if not encoded.request or not tools:
            return Proposal(abstain=1.0, tokens_n=len(encoded.ids))
        answer = self.scorer.score(encoded)
        calls: list[ToolCall] = []
        for place in encoded.tools:
            if readings.scalar(answer, "call", place.marker) >= self.calibration.call_logit:
                calls.extend(self._calls_of(place.tool, tools, text, self._read(encoded, answer, place)))
        return Proposal(
            calls=tuple(sorted(calls, key=_order)),
            abstain=confidence.probability(self.calibration.abstain, outcome_evidence(answer)),
            candidates=tuple(candidates or _candidates(encoded, answer)),
            tokens_n=len(encoded.ids),
        )

    def find(self, encoded: Encoded, answer: Answer) -> list[Found]:
        """Every tool that is meant, with the evidence: what calibration is fitted on."""
        return [
            self._read(encoded, answer, place)
            for place in encoded.tools
            if readings.scalar(answer, "call", place.marker) >= self.calibration.call_logit
        ]

    def _calls_of(self, tool: ToolSpec, tools: Sequence[ToolSpec], text: str, first: Found) -> list[ToolCall]:
        """The first call of *tool*, and those that further looks find."""
        found = [first]
        used = _words_of(first.call)
        while found[-1].again and used and len(found) < CALLS_OF_ONE_TOOL_N:
            encoded = self.encoder.encode(text, tools, used)
            answer = self.scorer.score(encoded)
            place = next(p for p in encoded.tools if p.tool.name == tool.name)
            if readings.scalar(answer, "call", place.marker) < self.calibration.call_logit:
                break
            further = self._read(encoded, answer, place)
            if any(
                further.call.mentions.keys() == f.call.mentions.keys() and _same(further.call, f.call) for f in found
            ):
                break
            found.append(further)
            used = [*used, *_words_of(further.call)]
        return [f.call for f in found]

    def _read(self, encoded: Encoded, answer: Answer, place: ToolPlace) -> Found:
        mentions: dict[str, Mention] = {}
        evidence_of: dict[str, dict[str, float]] = {}
        present = {
            p.parameter.name: readings.scalar(answer, "present", p.marker) - self.calibration.present_logit
            for p in place.parameters
        }
        said = [p for p in place.parameters if present[p.parameter.name] >= 0]
        for parameter, pointed in zip(said, _pointed(encoded, answer, said), strict=True):
            name = parameter.parameter.name
            if pointed is None:
                continue
            mentions[name], evidence_of[name] = self._mention(answer, parameter, pointed, present[name])
        spans = [0.0, *(evidence["span"] for evidence in evidence_of.values())]
        options = [0.0, *(evidence["option"] for evidence in evidence_of.values())]
        decided = [0.0, *(readings.log_sigmoid(abs(score)) for score in present.values())]

        anchor = pointing.one_span(encoded, readings.pointer(answer, encoded, place.marker))
        others = [readings.scalar(answer, "call", p.marker) for p in encoded.tools if p.marker != place.marker]
        evidence = {
            "call": readings.log_sigmoid(readings.scalar(answer, "call", place.marker)),
            "decided": sum(decided),
            "span": min(spans),
            "option": min(options),
            "alone": sum(readings.log_sigmoid(-score) for score in others if score < self.calibration.call_logit),
            **outcome_evidence(answer),
        }
        call = ToolCall(
            tool=place.tool.name,
            mentions=mentions,
            confidence=confidence.probability(self.calibration.call, evidence),
            anchor=anchor.spans[0] if anchor.spans else None,
        )
        return Found(call, evidence, evidence_of, readings.scalar(answer, "again", place.marker) > 0)

    def _mention(
        self, answer: Answer, place: ParameterPlace, pointed: Pointed, present: float
    ) -> tuple[Mention, dict[str, float]]:
        option = None
        evidence = {"present": present, "span": pointed.log_probability, "option": 0.0}
        spans = pointed.spans
        if place.options:
            scores = np.array([readings.scalar(answer, "option", marker) for _, marker in place.options], np.float32)
            chosen = int(np.argmax(scores))
            option = place.options[chosen][0]
            evidence |= {"span": 0.0, "option": float(pointing.log_softmax(scores)[chosen])}
            # An option may be meant without being said ("shut it"): then no words carry it.
            spans = spans if pointed.inside > 0 else ()
        probability = confidence.probability(self.calibration.mention, evidence)
        return Mention(spans=spans, option=option, confidence=probability), evidence


def _pointed(encoded: Encoded, answer: Answer, places: Sequence[ParameterPlace]) -> list[Pointed | None]:
    """Where every parameter points; words that one parameter takes are not another's."""
    found: dict[int, Pointed | None] = {}
    single = []
    for place in places:
        pointer = readings.pointer(answer, encoded, place.marker)
        if place.parameter.kind == "array":
            found[place.marker] = pointing.several_spans(encoded, pointer)
        elif place.options:
            # What speaks for an option is often the verb, or another parameter's words.
            found[place.marker] = pointing.one_span(encoded, pointer)
        else:
            single.append((place.marker, pointer))
    apart = pointing.apart(encoded, [pointer for _, pointer in single])
    found |= dict(zip((marker for marker, _ in single), apart, strict=True))
    return [found[place.marker] for place in places]


def outcome_evidence(answer: Answer) -> dict[str, float]:
    """What the request as a whole looks like: log-odds of acting, and of refusing."""
    act, ask, refuse = (float(score) for score in readings.outcome(answer))
    return {"act": act - np.logaddexp(ask, refuse), "refuse": refuse - np.logaddexp(act, ask)}


def _candidates(encoded: Encoded, answer: Answer) -> list[Candidate]:
    """Every tool and its score, the likeliest first."""
    found = [Candidate(p.tool.name, readings.sigmoid(readings.scalar(answer, "call", p.marker))) for p in encoded.tools]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.tool))


def _words_of(call: ToolCall) -> list[Span]:
    words = [span for mention in call.mentions.values() for span in mention.spans]
    return [*words, call.anchor] if words and call.anchor else words


def _same(a: ToolCall, b: ToolCall) -> bool:
    return all(
        a.mentions[n].spans == b.mentions[n].spans and a.mentions[n].option == b.mentions[n].option for n in a.mentions
    )


def _order(call: ToolCall) -> tuple[int, int, str]:
    """By the words that ask for the call, then by the first of its values: two calls may share a verb."""
    value = min((span.start for mention in call.mentions.values() for span in mention.spans), default=0)
    return (call.anchor.start if call.anchor else value, value, call.tool)
