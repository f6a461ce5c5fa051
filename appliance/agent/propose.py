"""A request to what it means: inference and grounding together, without the site, its laws or its record.

Covers: what may be acted on, confirmed, asked back or refused, from the words and the model's confidence alone.
Does not cover: the laws; `turn` judges every call that leaves here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol, assert_never

from appliance.agent import request_lines
from appliance.contracts.manifest import Thresholds
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.request import MAX_TEXT_CHARS
from appliance.contracts.toolcall import Grounded, GroundedCall, Proposal, Question, Refusal, RefusalCode, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong
from appliance.grounding import language, negation, several, unserved
from appliance.grounding.ground import ground

Decision = Literal["act", "confirm", "ask", "refuse"]


class Decoder(Protocol):
    """What turns words into proposed calls."""

    def propose(self, text: str, tools: Sequence[ToolSpec]) -> Proposal:
        """Say what *text* asks of *tools*.

        Raises:
            InputTooLong: request and tools do not fit the network; the message has the counts.
        """
        ...


class Understanding(Record):
    """What a request means, as far as words and model can say."""

    decision: Decision
    reason: str
    """One sentence: why this decision."""

    calls: tuple[GroundedCall, ...] = ()
    """What to do for `act` and `confirm`; what is clear already for `ask`."""

    question: Question | None = None
    refusal: Refusal | None = None
    proposal: Proposal | None = None
    """What the model said, before grounding; None when it was not asked."""


def propose(
    decoder: Decoder, text: str, tools: Sequence[ToolSpec], now: datetime, thresholds: Thresholds
) -> Understanding:
    """Read *text* against *tools*; what relative times are relative to is *now*."""
    refusal = _unfit(text, tools)
    if refusal is not None:
        return _refused(refusal, None)
    try:
        proposal = decoder.propose(text, tools)
    except InputTooLong as error:
        return _refused(Refusal(code=RefusalCode.TOO_LONG, reason=str(error)), None)
    return understand(proposal, text, tools, now, thresholds)


def understand(
    proposal: Proposal, text: str, tools: Sequence[ToolSpec], now: datetime, thresholds: Thresholds
) -> Understanding:
    """Decide what a proposal for *text* comes to."""
    if not proposal.calls and any(scope.is_forbidding for scope in negation.scopes(text)):
        reason = "This says not to; nothing is done."
        return _refused(Refusal(code=RefusalCode.NEGATED, reason=reason), proposal)
    if not proposal.calls:
        return _refused(Refusal(code=RefusalCode.NOTHING_TO_DO, reason="No tool here does what was asked."), proposal)
    if proposal.abstain >= thresholds.abstain:
        reason = "Nothing here seems to be asked of these tools."
        return _refused(Refusal(code=RefusalCode.NOTHING_TO_DO, reason=reason), proposal)
    specs = {spec.name: spec for spec in tools}
    read = [(call, _grounded(call, specs, text, now)) for call in several.own_words(proposal.calls, specs)]
    whole = [call for call, grounded in read if isinstance(grounded, GroundedCall)]
    found: list[GroundedCall] = []
    questions: list[Question] = []
    negated: Refusal | None = None
    for call, grounded in read:
        if any(several.outdone(call, other, complete=isinstance(grounded, GroundedCall)) for other in whole):
            continue
        match grounded:
            case GroundedCall():
                found.append(grounded)
            case Question():
                questions.append(grounded)
            case Refusal(code=RefusalCode.NEGATED):
                negated = grounded
            case Refusal():
                return _refused(_named(grounded, len(proposal.calls)), proposal)
            case _ as never:
                assert_never(never)
    if negated is not None and not found and not questions:
        return _refused(negated, proposal)
    calls = several.arrange(found)
    left = unserved.refusal(text, calls, specs) if calls and not questions and negated is None else None
    if left is not None:
        return _refused(left, proposal)
    understood = _decided(calls, questions, proposal, thresholds)
    if negated is not None and understood.decision == "act":
        # "Don't open the gate but turn on the lights": the rest is meant; how far the "not" reaches is worth a look.
        reason = f"{negated.reason} The rest may be meant."
        return understood.model_copy(update={"decision": "confirm", "reason": reason})
    return understood


def _grounded(call: ToolCall, specs: Mapping[str, ToolSpec], text: str, now: datetime) -> Grounded:
    spec = specs.get(call.tool)
    if spec is None:
        reason = f"There is no tool called {call.tool!r} here."
        return Refusal(code=RefusalCode.UNKNOWN_TOOL, reason=reason, tool=call.tool)
    return ground(call, spec, text, now)


def _decided(
    calls: tuple[GroundedCall, ...], questions: Sequence[Question], proposal: Proposal, thresholds: Thresholds
) -> Understanding:
    confidence = min([*(c.confidence for c in calls), *(q.confidence for q in questions)])
    if confidence < thresholds.confirm:
        reason = f"Not sure enough what was meant ({confidence:.0%}); say it in other words."
        return _refused(Refusal(code=RefusalCode.UNSURE, reason=reason), proposal)
    if questions:
        # The first question; its answer is read together with the rest of the request.
        return Understanding(
            decision="ask", reason=questions[0].text, question=questions[0], calls=calls, proposal=proposal
        )
    if confidence < thresholds.act:
        reason = f"Understood with {confidence:.0%} confidence; from {thresholds.act:.0%} on it needs no confirmation."
        return Understanding(decision="confirm", reason=reason, calls=calls, proposal=proposal)
    return Understanding(
        decision="act", reason=f"Understood with {confidence:.0%} confidence.", calls=calls, proposal=proposal
    )


def _unfit(text: str, tools: Sequence[ToolSpec]) -> Refusal | None:
    """Refuse what the model need not look at."""
    if not text.strip():
        return Refusal(code=RefusalCode.EMPTY, reason="Nothing was said.")
    if len(text) > MAX_TEXT_CHARS:
        reason = f"The request has {len(text)} characters; {MAX_TEXT_CHARS} are the most that is read."
        return Refusal(code=RefusalCode.TOO_LONG, reason=reason)
    if not tools:
        return Refusal(code=RefusalCode.NOTHING_TO_DO, reason="There are no tools here.")
    return language.refusal(text)


def _named(refusal: Refusal, calls_n: int) -> Refusal:
    """Say which of several calls stopped the whole request."""
    if calls_n == 1 or refusal.tool is None:
        return refusal
    return refusal.model_copy(update={"reason": f"{refusal.tool}: {refusal.reason} So nothing of the request is done."})


def _refused(refusal: Refusal, proposal: Proposal | None) -> Understanding:
    return Understanding(decision="refuse", reason=refusal.reason, refusal=refusal, proposal=proposal)


def run_lines(
    lines: Iterable[str | bytes],
    decoder: Decoder,
    thresholds: Thresholds,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    stopwatch: Callable[[], float] = time.perf_counter,
) -> Iterator[str]:
    """Yield one JSON object for each line of requests, in order; a line that cannot be read gets an error object.

    Args:
        now: the time for a line that brings none in its context.
    """
    reader = request_lines.LineReader()
    for raw in lines:
        started_s = stopwatch()
        try:
            line = reader.read(raw)
            answer = _answer(propose(decoder, line.query, line.tools, line.now or now(), thresholds))
        except request_lines.BadLine as error:
            answer = _error(error.code, str(error))
        except Exception as error:  # noqa: BLE001 -- one line's fault is told and must not end the stream
            answer = _error("internal", f"{type(error).__name__}: {error}")
        answer["latency_ms"] = round((stopwatch() - started_s) * 1000, 3)
        yield json.dumps(answer)


def _answer(found: Understanding) -> JsonObject:
    if found.refusal is not None and found.refusal.code is RefusalCode.TOO_LONG:
        return _error(found.refusal.code, found.reason)
    acts = found.calls if found.decision in {"act", "confirm"} else ()
    answer: JsonObject = {
        "calls": [
            {
                "name": call.tool,
                "arguments": call.arguments,
                "confidence": round(call.confidence, 4),
                "spans": {name: [list(span) for span in spans] for name, spans in call.spans.items()},
            }
            for call in acts
        ],
        "decision": found.decision,
        "reason": found.reason,
    }
    if found.question is not None:
        answer["question"] = {"tool": found.question.tool, "missing": list(found.question.missing)}
    if found.refusal is not None:
        answer["code"] = found.refusal.code.value
    return answer


def _error(code: str, message: str) -> JsonObject:
    return {"calls": [], "decision": "refuse", "reason": message, "error": {"code": str(code), "message": message}}
