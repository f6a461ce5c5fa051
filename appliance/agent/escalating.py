"""Whether a second model is asked, and what it said: one question at a time, beside the turns and never in their way.

The request that asked is set aside; the worker goes on with the others, with timers and with the laws. When the answer
is there, or the time is over, the request is read again and the answer goes through the gate that every proposal does.

Covers: an answer that never comes, a power cut meanwhile (the request is still in the inbox, unbegun), several requests
that want to ask (the second one is told that it is not asked, and refused as it would be without).
Does not cover: what is sent and how it is read; `adapters` does. Whether the laws, the stop or maintenance forbid it;
`turn` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from appliance.adapters.breaker import Breaker
from appliance.adapters.choosing import choose, has_passed
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.saying import Proposer, Question, Silent, Word
from appliance.agent.plan import Plan
from appliance.agent.reading import wants_help
from appliance.contracts.decision import CameBack, Escalated, EscalatedCall
from appliance.contracts.record import JsonObject
from appliance.contracts.toolcall import RefusalCode, ToolCall
from appliance.contracts.toolspec import ToolSpec

LATER: Final = "later"
REASON_CHARS: Final = 200

GRACE_S: Final = 0.5
"""After the time limit, until a question counts as lost: a server that was cut off says so within milliseconds."""


class _UnderWay(NamedTuple):
    request_id: str
    question: Question
    begun_s: float
    until_s: float
    why: RefusalCode


class Escalating:
    """Asks a second model; all of it is called by the worker, only the question itself runs elsewhere."""

    def __init__(
        self,
        proposer: Proposer,
        *,
        time_limit_s: float,
        tools_n: int,
        monotonic_s: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
        may_be_asked: Callable[[], bool] = lambda: True,
    ) -> None:
        self._proposer = proposer
        self._wake = wake
        self._may_be_asked = may_be_asked
        self._time_limit_s = time_limit_s
        self._tools_n = tools_n
        self._monotonic_s = monotonic_s
        self._breaker = Breaker(monotonic_s)
        self._under_way: _UnderWay | None = None
        self._left_behind: Question | None = None

    def aside(self) -> str:
        """Return the request that waits for an answer and is not to be taken up yet; empty when none does."""
        asked = self._under_way
        return "" if asked is None or self._is_over(asked) else asked.request_id

    def word(
        self, request_id: str, plan: Plan, tools: Sequence[ToolSpec], may_ask: Callable[[], bool]
    ) -> Escalated | Literal["later"] | None:
        """Return what the second model said of *plan*; `LATER` while it is asked; None where it is not to be asked."""
        asked = self._under_way
        if asked is not None and asked.request_id == request_id:
            return self._answer(asked) if self._is_over(asked) else LATER
        if asked is not None and self._is_over(asked):
            self._answer(asked)  # nobody came back for it
        if plan.refusal is None or not wants_help(plan) or not may_ask():
            return None
        why = plan.refusal.code
        if not self._may_be_asked():
            return self._told(why, "untried")
        if self._breaker.rests_s() > 0:
            return self._told(why, "resting")
        if self._under_way is not None or (self._left_behind is not None and not self._left_behind.is_over):
            return self._told(why, "busy")
        now_s = self._monotonic_s()
        chosen = nearest(plan, tools, self._tools_n)
        question = Question(self._proposer, plan.text, chosen, self._wake).start()
        self._under_way = _UnderWay(request_id, question, now_s, now_s + self._time_limit_s + GRACE_S, why)
        return LATER

    def _is_over(self, asked: _UnderWay) -> bool:
        return asked.question.said is not None or self._monotonic_s() >= asked.until_s

    def _answer(self, asked: _UnderWay) -> Escalated:
        self._under_way, self._left_behind = None, asked.question
        said = asked.question.said or Silent("timeout", "it did not come back")
        took_ms = round((self._monotonic_s() - asked.begun_s) * 1000, 2)
        if isinstance(said, Word):
            self._breaker.succeeded()
            return recorded(self._proposer, said, why=asked.why, took_ms=took_ms)
        self._breaker.failed()
        told = self._told(asked.why, said.why, sent=said.sent_sha256, took_ms=took_ms)
        return told.model_copy(update={"reason": str(said)[:REASON_CHARS]})

    def _told(self, why: RefusalCode, came_back: CameBack, *, sent: str = "", took_ms: float = 0.0) -> Escalated:
        nothing = recorded(self._proposer, Word((), sent), why=why, took_ms=took_ms)
        return nothing.model_copy(update={"came_back": came_back})


def recorded(
    proposer: Proposer, said: Word, *, why: RefusalCode = RefusalCode.NOTHING_TO_DO, took_ms: float = 0.0
) -> Escalated:
    """Write what a second model said: where its words stand, and none of them."""
    return Escalated(
        proposer=proposer.kind,
        model=proposer.name,
        where_sha256=proposer.where_sha256,
        why=why,
        came_back="answered",
        sent_sha256=said.sent_sha256,
        took_ms=took_ms,
        calls=tuple(_call(call) for call in said.calls),
    )


def build(
    chosen: EscalationSettings, home: Path, *, monotonic_s: Callable[[], float], wake: Callable[[], None]
) -> Escalating | None:
    """Make what asks the second model that the owner chose; None where it is off."""
    proposer = choose(chosen, home)
    if proposer is None:
        return None
    return Escalating(
        proposer,
        time_limit_s=chosen.time_limit_s,
        tools_n=chosen.tools_n,
        monotonic_s=monotonic_s,
        wake=wake,
        may_be_asked=lambda: has_passed(chosen, home),
    )


def described(chosen: EscalationSettings, home: Path) -> JsonObject:
    """Write what decisions depend on, for the configuration: addresses as hashes; empty where it is off."""
    proposer = choose(chosen, home)
    if proposer is None:
        return {}
    return {
        "proposer": proposer.kind,
        "model": proposer.name,
        "where_sha256": proposer.where_sha256,
        "time_limit_s": chosen.time_limit_s,
        "tools_n": chosen.tools_n,
    }


def nearest(plan: Plan, tools: Sequence[ToolSpec], most_n: int) -> tuple[ToolSpec, ...]:
    """Return the tools that the device's own model thought likeliest: what is not told cannot leave."""
    ranked = [] if plan.proposal is None else sorted(plan.proposal.candidates, key=lambda one: -one.score)
    named = {tool.name: tool for tool in tools}
    found = [named[one.tool] for one in ranked if one.tool in named]
    return tuple(found[:most_n] or tools[:most_n])


def _call(call: ToolCall) -> EscalatedCall:
    return EscalatedCall(
        tool=call.tool,
        spans={name: mention.spans for name, mention in call.mentions.items()},
        options={name: mention.option for name, mention in call.mentions.items() if mention.option is not None},
    )
