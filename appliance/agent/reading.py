"""Words, calls, corrections and answers to a `Plan`: where inference and grounding meet."""

from __future__ import annotations

import re
import time
from datetime import datetime, tzinfo
from typing import Final, Protocol, assert_never

from appliance.agent import propose
from appliance.agent.plan import Plan
from appliance.contracts.decision import Escalated, EscalatedCall
from appliance.contracts.manifest import Thresholds
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Ask, Call, Origin, OriginKind, Undo
from appliance.contracts.toolcall import (
    GroundedCall,
    Mention,
    Proposal,
    Question,
    Refusal,
    RefusalCode,
    Span,
    ToolCall,
)
from appliance.contracts.toolspec import ToolSpec
from appliance.grounding import negation
from appliance.grounding.ground import ground

_DECLINES: Final = re.compile(
    r"\s*(no|nope|cancel|stop|never ?mind|forget it|none|nothing|don'?t|do not|abort|leave it)\b.*",
    re.IGNORECASE | re.DOTALL,
)

_NOT_KNOWN: Final = frozenset({RefusalCode.NOTHING_TO_DO, RefusalCode.UNSURE})
"""What a second model may know better: that no tool seems to do it, and that it is not sure."""

_SILENT: Final = {
    "resting": "The second model was not asked: it failed too often just now.",
    "busy": "The second model was not asked: it is busy with another request.",
    "untried": "The second model was not asked: its weights have not passed `appliance escalation check --all` here.",
}


class Catalogue(Protocol):
    """The tools as a reader needs them."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools that words may be understood as."""

    def spec(self, name: str) -> ToolSpec | None:
        """Return the tool called *name*, with those that only timers and undo call."""


class Reader:
    """Reads requests against this site's tools."""

    def __init__(
        self,
        decoder: propose.Decoder | None,
        catalogue: Catalogue,
        thresholds: Thresholds,
        zone: tzinfo | None = None,
    ) -> None:
        self._decoder = decoder
        self._catalogue = catalogue
        self._thresholds = thresholds
        self._zone = zone  # in which "at eight" is meant; the system's when absent

    def request(self, body: Ask | Call | Undo, origin: Origin, now: datetime, back: ToolCall | None = None) -> Plan:
        """Read what a request wants.

        Args:
            back: the call that takes the last act back, for `Undo`; None where nothing can be taken back.
        """
        if origin.expires_at is not None and now > origin.expires_at:
            return Plan(refusal=Refusal(code=RefusalCode.EXPIRED, reason="It expired before the device came to it."))
        match body:
            case Ask(text=text):
                return self.words(text, now)
            case Call(call=call):
                return self.call(call, now, internal=origin.kind in {OriginKind.TIMER, OriginKind.SYSTEM})
            case Undo() if back is None:
                reason = "There is nothing that can be taken back."
                return Plan(refusal=Refusal(code=RefusalCode.NOTHING_TO_DO, reason=reason))
            case Undo():
                return self.call(back, now, internal=True)
            case _ as never:
                assert_never(never)

    def words(self, text: str, now: datetime) -> Plan:
        """Read a request in plain words."""
        if self._decoder is None:
            reason = "There is no usable model on this device, so words cannot be read; `appliance doctor` says why."
            return Plan(text=text, by_model=True, refusal=Refusal(code=RefusalCode.NO_MODEL, reason=reason))
        begun = time.perf_counter()
        read = propose.propose(self._decoder, text, self._catalogue.specs(), self.local(now), self._thresholds)
        took_ms = (time.perf_counter() - begun) * 1000
        return Plan(
            text=text,
            by_model=True,
            calls=read.calls,
            question=read.question,
            refusal=read.refusal,
            proposal=None if read.proposal is None else read.proposal.model_copy(update={"latency_ms": took_ms}),
            doubtful=read.decision == "confirm" and all(c.confidence >= self._thresholds.act for c in read.calls),
        )

    def call(self, call: ToolCall, now: datetime, *, internal: bool = False) -> Plan:
        """Read a tool call that was proposed as one; *internal* lets timers, undo and laws use what only they may."""
        offered = internal or any(spec.name == call.tool for spec in self._catalogue.specs())
        return self._with(Plan(), call, "", now) if offered else _unknown(Plan(), call.tool)

    def advised(self, plan: Plan, said: Escalated, now: datetime) -> Plan:
        """Go on with what a second model said of words that the device's own could not read.

        It is one more proposal, and no more: the same checks, and no confidence of its own. Whatever comes through them
        is as sure as the least that a person may be asked about, and a person is asked.
        """
        if not wants_help(plan):
            return plan
        if said.came_back != "answered":
            return _unaided(plan, said)
        calls = tuple(_proposed(call, self._thresholds.confirm) for call in said.calls)
        read = propose.understand(
            Proposal(calls=calls), plan.text, self._catalogue.specs(), self.local(now), self._thresholds
        )
        found = {"calls": read.calls, "question": read.question, "refusal": read.refusal}
        return plan.model_copy(update={**found, "escalated": said, "doubtful": True})

    def edited(self, plan: Plan, edits: JsonObject, now: datetime) -> Plan:
        """Correct arguments of a plan by hand; what was corrected is checked like anything else."""
        if not edits:
            return plan
        calls: list[GroundedCall] = []
        left = dict(edits)
        for call in plan.calls:
            spec = self._catalogue.spec(call.tool)
            assert spec is not None  # a plan holds grounded calls only
            mine = {name: left.pop(name) for name in list(left) if spec.parameter(name) is not None}
            literal = ToolCall(tool=call.tool, literals={**call.arguments, **mine}, confidence=call.confidence)
            checked = ground(literal, spec, "", self.local(now))
            if isinstance(checked, Refusal):
                return plan.model_copy(update={"refusal": checked})
            if isinstance(checked, Question):
                return plan.model_copy(update={"question": checked})
            calls.append(checked)
        if left:
            reason = f"No call here has an argument called {', '.join(left)}."
            return plan.model_copy(update={"refusal": Refusal(code=RefusalCode.UNKNOWN_ARGUMENT, reason=reason)})
        return plan.model_copy(update={"calls": tuple(calls)})

    def answered(self, plan: Plan, text: str, now: datetime) -> Plan:
        """Continue a plan whose question has been answered."""
        asked = plan.question
        if asked is None or self._catalogue.spec(asked.tool) is None:
            return plan
        joined = f"{plan.text} - {text}" if plan.text else text
        if not text.strip() or _DECLINES.fullmatch(text):
            declined = Refusal(code=RefusalCode.DECLINED, reason="Declined.", tool=asked.tool)
            return plan.model_copy(update={"text": joined, "question": None, "refusal": declined})
        if len(asked.missing) == 1:
            mention = Mention(spans=(Span(0, len(text)),))
            call = ToolCall(tool=asked.tool, mentions={asked.missing[0]: mention}, literals=asked.arguments)
            read = self._with(plan, call, text, now)
            if read.refusal is None and read.question is None:
                return _moved(read, asked, len(joined) - len(text)).model_copy(update={"text": joined})
        again = self.words(f"{plan.text} {text}", now)
        if again.refusal is None and again.question is None:
            return again.model_copy(update={"text": joined})
        return self._unread(plan, asked, text, now).model_copy(update={"text": joined})

    def local(self, now: datetime) -> datetime:
        """Return *now* in the zone in which times of day are meant."""
        return now.astimezone(self._zone)

    def _unread(self, plan: Plan, asked: Question, text: str, now: datetime) -> Plan:
        """Say why an answer did not help, in the words of its own check."""
        if len(asked.missing) == 1:
            mention = Mention(spans=(Span(0, len(text)),))
            call = ToolCall(tool=asked.tool, mentions={asked.missing[0]: mention}, literals=asked.arguments)
            spec = self._catalogue.spec(asked.tool)
            read = None if spec is None else ground(call, spec, text, self.local(now))
            if isinstance(read, Refusal):
                return plan.model_copy(update={"question": None, "refusal": read})
        return plan.model_copy(update={"question": asked})

    def _with(self, plan: Plan, call: ToolCall, text: str, now: datetime) -> Plan:
        spec = self._catalogue.spec(call.tool)
        if spec is None:
            return _unknown(plan, call.tool)
        checked = ground(call, spec, text, self.local(now))
        match checked:
            case GroundedCall():
                calls = tuple(c for c in plan.calls if c.tool != checked.tool or c.arguments != checked.arguments)
                return plan.model_copy(update={"question": None, "refusal": None, "calls": (*calls, checked)})
            case Question():
                return plan.model_copy(update={"question": checked})
            case Refusal():
                return plan.model_copy(update={"question": None, "refusal": checked})
            case _ as never:
                assert_never(never)


def wants_help(plan: Plan) -> bool:
    """Return whether the device's own model looked at the words and did not know, and no word of them forbids anything.

    Whatever was understood and may not be done (negated, out of range, a name that is not here) is not asked again
    elsewhere until somebody says yes.
    """
    if not plan.by_model or plan.proposal is None or plan.refusal is None or plan.refusal.code not in _NOT_KNOWN:
        return False
    return not negation.scopes(plan.text)


def _proposed(call: EscalatedCall, confidence: float) -> ToolCall:
    """Return the proposal that a second model made."""
    mentions = {name: Mention(spans=spans, option=call.options.get(name)) for name, spans in call.spans.items()}
    return ToolCall(tool=call.tool, mentions=mentions, confidence=confidence)


def _unaided(plan: Plan, said: Escalated) -> Plan:
    """Refuse as without a second model, and say that none helped."""
    assert plan.refusal is not None  # nothing else wants help
    silent = f"The second model gave no answer{f': {said.reason}' if said.reason else ''}."
    reason = f"{plan.refusal.reason} {_SILENT.get(said.came_back, silent)}"
    return plan.model_copy(update={"refusal": plan.refusal.model_copy(update={"reason": reason}), "escalated": said})


def _moved(plan: Plan, asked: Question, by: int) -> Plan:
    """Let the answered call's spans count in the request with its answer, beside those that were known before."""
    *others, answered = plan.calls
    spans = {name: tuple(Span(s.start + by, s.end + by) for s in found) for name, found in answered.spans.items()}
    return plan.model_copy(update={"calls": (*others, answered.model_copy(update={"spans": {**asked.spans, **spans}}))})


def _unknown(plan: Plan, tool: str) -> Plan:
    refusal = Refusal(code=RefusalCode.UNKNOWN_TOOL, reason=f"There is no tool called {tool!r} here.")
    return plan.model_copy(update={"question": None, "refusal": refusal})
