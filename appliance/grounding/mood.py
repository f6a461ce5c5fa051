"""Whether the words ask for an act at all: reports, conditions, thoughts and questions about acts do not.

Precise first: what is not clearly one of these passes. Tools that only look something up answer questions, so questions
and thoughts are no bar for them.
"""

from __future__ import annotations

import re
from typing import Final

from appliance.contracts.toolcall import Refusal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.grounding.values import words

_LOOKING: Final = re.compile(
    r"^(?:get|search|find|read|list|show|check|query|look|fetch|tell|explain"
    r"|answer|help|calculate|compute|convert|translate|"
    r"ask|browse|recommend|suggest|view|retrieve|describe|lookup|weather|status"
    r"|info|is|are|what|who|count|compare|analy[sz]e|"
    r"estimate|predict|measure|summari[sz]e|report|display|detect|identify|verify"
    r"|validate|generate|returns?|provides?|gets|"
    r"searches|finds|retrieves|fetches|reads|lists|shows|checks|calculates|converts|translates)(?![a-z])"
)
_ASKING: Final = ("_query", "_status", "_lookup", "_search", "_info")
_PAST: Final = (
    "turned|switched|opened|closed|shut|started|stopped|locked|unlocked|dimmed"
    "|set|raised|lowered|put|made|ran|played|paused|"
    "cancelled|canceled|added|removed|deleted|sent|called|activated|deactivated"
    "|enabled|disabled|changed|adjusted|moved|heated|"
    "watered|fed|filled|emptied|drained|armed|disarmed|booked|ordered|paid|wrote|saved|bought"
)
_SAID: Final = (
    r"(?:said|says|told (?:me|us|him|her|them)|asked|wrote|yelled|shouted|whispered"
    r"|texted|claimed|replied|answered|announced|mentioned|keeps saying|was saying)"
)
_WHO: Final = r"(?:he|she|they|someone|somebody|my \w+|the \w+|mom|mum|dad|(?!please\b|it\b|i\b|we\b|you\b)[a-z]+)"

_REPORTS: Final = (
    re.compile(
        rf"^\W*(?:i|we)(?:'ve| have| had|'d)? (?:just |already |only |accidentally"
        rf" |also |never )*(?:{_PAST})\b(?!.*\b(?:please|can you|could you|now (?:turn"
        rf"|open|close|set|undo))\b)"
    ),
    re.compile(
        rf"^\W*(?:he|she|they|someone|somebody|my \w+|the \w+)(?:'s|'ve| has| have"
        rf"| had)? (?:just |already )*(?:{_PAST})\b(?!.*\b(?:please|so |can you|could"
        rf" you|, (?:turn|open|close|set|undo))\b)"
    ),
    re.compile(
        rf"^\W*(?:the|my|all|our) [\w ]{{1,40}}? (?:was|were|has been|have been|had"
        rf" been|is already|are already|got) (?:just |already )*(?:{_PAST}|on|off)\b[^,;]*$"
    ),
    re.compile(
        rf"^\W*(?:yesterday|last (?:night|week|month|year|monday|tuesday|wednesday"
        rf"|thursday|friday|saturday|sunday)|earlier today|this morning|an? \w+ ago),?"
        rf" (?:i|we|he|she|they|someone) (?:{_PAST})\b"
    ),
    re.compile(rf"^\W*{_WHO} {_SAID}\b"),
)
_THOUGHTS: Final = (
    re.compile(r"^\W*(?:so |and |but |hey |ok(?:ay)? )*what (?:happens|would happen|will"
        r" happen|'d happen|if|happened)\b"),
    re.compile(r"^\W*(?:just )?(?:suppose|imagine|assume|assuming|pretend|hypothetically"
        r"|theoretically|in theory|let's say|let's pretend)\b"),
    re.compile(r"\bif i (?:were to|had|would have|ever|should ever)\b"),
    re.compile(r"^\W*(?:i|we|you|he|she|they) (?:would|could|should|might|may|must)(?:'ve| have) \w+"),
    re.compile(r"^\W*(?:i|we) (?:wonder|was wondering (?:what|why|how)|used to|dreamed|dreamt"
        r"|remember(?:ed)?|might|may)\b(?! .*\b(?:if you (?:could|can|would)|whether"
        r" you)\b)"),
)  # fmt: skip
_QUESTIONS: Final = (
    re.compile(r"^\W*(?:so |and |hey |ok(?:ay)? )*(?:how (?:do|can|would|could|should|does"
        r"|did|to)|why (?:did|is|are|was|were|does|do|would|has|have)(?!n'?t)|who"
        r"|when (?:did|was|were|will|does|do)|should (?:i|we)|did (?:you|i|we|he"
        r"|she|they|someone|the)|have (?:you|i|we|they)|has (?:he|she|the|my|someone"
        r"|anyone|it)|was|were|is (?:the|it|my|there|this|that)(?! (?:possible|ok"
        r"|okay|alright)\b)|are (?:the|they|my|there|you (?:able|allowed))|does|am"
        r" i|are we|may i ask|do i|do we|do you (?:know|think|remember|have|like"
        r"|see|ever|usually))\b"),
    re.compile(r"^\W*(?:please )?(?:check|see|verify|look|find out|make sure i know) (?:if|whether)\b"),
    re.compile(r"^\W*(?:explain|describe|teach me|show me how|tell me (?:how|why|what happens"
        r"|about|when|who|if|whether))\b"),
)  # fmt: skip
_POLITE: Final = re.compile(
    r"^\W*(?:may|might|can|could) i (?:ask|request|trouble|bother|beg|invite)"
    r" you\b|^\W*i(?:'d| would)? (?:ask|beg|request)\b"
    r"|^\W*how (?:do|would|can|could|should) (?:you|i|we|one) (?:say|spell|pronounce"
    r"|translate|write)\b|^[\W_]*(?:could|can|would|will) (?:you|we|i)\b|\bis"
    r" it (?:possible|ok|okay"
    r"|alright)|how about|do you mind|would you|why (?:don'?t|not)"
)
_POLITE_IF: Final = re.compile(
    r"\bif (?:you (?:can|could|would|please|don'?t mind|like|want|have (?:time"
    r"|a (?:moment|minute|second))|get (?:a chance|time)|are (?:free|able)|'re"
    r" free|will|may)|"
    r"possible|(?:it|that)(?:'s| is) (?:ok|okay|alright|fine|possible|not too"
    r" much|no trouble)|necessary|needed|that works|you'?d (?:be so kind|like"
    r"|mind)|i may|i might)"
    r"|\bwhen(?:ever)? you (?:can|get (?:a chance|time|a moment|a minute)|have"
    r" (?:a (?:moment|minute|second)|time)|are (?:ready|free|done)|'re (?:ready"
    r"|free)|like)|when possible|as soon as (?:possible|you can)"
    r"|\bonce (?:more|again|a (?:day|week|month|year|hour)|per|every|daily|weekly"
    r"|upon)|\bsee if\b|\bask if\b|\bcheck (?:if|whether)|\btell (?:me|\w+) (?:if"
    r"|when)|\blet (?:me|\w+) know (?:if|when)|\bremind\b|\bwonder(?:ing|ed)?"
    r" if|\bas if\b|\beven if\b|\bif (?:so|not)\b|\bmind if\b|\bif only\b"
)
_WAITING: Final = re.compile(r"rule|alert|alarm|trigger|automat|notif|watch|monitor|threshold|condition|limit|\bwhen\b")
_SUBJECT: Final = (
    r"(?:it|the|he|she|they|there|someone|somebody|anyone|anybody|nobody|no one"
    r"|we|i|my|our|a|an|any|all|that|this|temperature|temperatures|motion|rain"
    r"|humidity|sunset|sunrise|nothing|everyone|\w+(?:'s)? (?:is|are|gets?|goes"
    r"|drops?|rises?|falls?|exceeds?|reaches))"
)
_IF_FIRST: Final = re.compile(
    rf"^\W*(?:only |and |then |so )?(?:if|when|whenever|once|as soon as|unless"
    rf"|in case|as long as|every time|the moment|should the|in the event) {_SUBJECT}\b"
)
_IF_LAST: Final = re.compile(
    rf"(?<=\w),? (?:only |but only )?(?:if|unless|whenever|in case|as long as"
    rf"|as soon as|every time|the moment|in the event) {_SUBJECT}\b|(?<=\w) (?:when"
    rf"|once) (?:the|it|he|she|they|i|we|someone|somebody|my|there|motion)\b"
)
_QUOTED: Final = re.compile(
    r"[\"\u201c](?P<quote>[^\"\u201c\u201d]{2,})[\"\u201d]|(?<!\w)['\u2018](?P<single>[^'\u2018\u2019]{4,})['\u2019](?!\w)"
)
_REPORTING: Final = re.compile(
    rf"\b(?:{_SAID}|the (?:sign|note|label|message|letter|email|text|sticker|display"
    rf"|screen|manual|card) (?:says|said|reads|read))\W*$"
)
_REPORTED_AFTER: Final = re.compile(r"^\W*(?:he|she|they|[a-z]+) (?:said|says|shouted|yelled|wrote|whispered|told)\b")


def refusal(text: str, call: ToolCall, spec: ToolSpec) -> Refusal | None:
    """Return why *call* may not be made where the words only speak about it, else None."""
    low = words.lowered(text)
    reason = _quoted(low, call) or _condition(low, call, spec)
    if reason is None and not is_looking(spec):
        reason = _spoken_about(_clause(low, call), call)
    if reason is None:
        return None
    return Refusal(code=RefusalCode.NOTHING_TO_DO, reason=reason, tool=spec.name)


def is_looking(spec: ToolSpec) -> bool:
    """Say whether a tool only looks something up: a question may well mean it."""
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", spec.name).lower()
    return spec.risk is Risk.READ or any(
        _LOOKING.match(t) or t.endswith(_ASKING)
        for t in (name, *re.split(r"[_.\-]", name)[1:2], spec.description.lower().strip())
    )


def _spoken_about(clause: str, call: ToolCall) -> str | None:
    if _POLITE.search(clause):
        return None
    for patterns, reason in (
        (_REPORTS, "This tells what was done or said; nothing here asks for an act."),
        (_THOUGHTS, "This only considers an act; nothing here asks for it."),
        (_QUESTIONS, "This asks about an act; nothing here asks for it."),
    ):
        if any(p.search(clause) for p in patterns):
            return reason
    return None


def _clause(low: str, call: ToolCall) -> str:
    """Return the sentence that the call points at, or the whole text."""
    spans = [s for m in call.mentions.values() for s in m.spans]
    at = call.anchor.start if call.anchor is not None else min((s.start for s in spans), default=None)
    if at is None:
        return low
    ends = [
        m.end()
        for m in re.finditer(r"[.!?;\n]+(?=\s|$)|,? (?:so|but|now|then)(?= \w)|, (?=please|can you|could you)", low)
    ]
    start = max((e for e in ends if e <= at), default=0)
    stop = min((e for e in ends if e > at), default=len(low))
    return low[start:stop].strip()


def _condition(low: str, call: ToolCall, spec: ToolSpec) -> str | None:
    """Find "if it rains, ..." where no parameter of the tool takes the condition."""
    polite = _POLITE_IF.sub(lambda m: "_" * len(m[0]), low)
    first, last = _IF_FIRST.search(polite), None if is_looking(spec) else _IF_LAST.search(polite)
    match = first if first is not None and not is_looking(spec) else last
    if match is None:
        return None
    where = Span(match.start(), match.end())
    spans = [s for m in call.mentions.values() for s in m.spans]
    if any(s.start < where.end and where.start < s.end for s in spans):
        return None
    # A rule, an alarm: the tool exists to wait for conditions, and parts of this one are its values.
    declared = words.lowered(" ".join((spec.name, spec.description, *(p.name for p in spec.parameters))))
    if _WAITING.search(declared) and any(s.start >= where.end for s in spans):
        return None
    return "This depends on something that has not happened; a condition cannot be waited for here."


def _quoted(low: str, call: ToolCall) -> str | None:
    """Find a call that somebody else's quoted words ask for."""
    for match in _QUOTED.finditer(low):
        group = "quote" if match["quote"] is not None else "single"
        start, end = match.span(group)
        is_reported = _REPORTING.search(low[: match.start()]) or _REPORTED_AFTER.match(low[match.end() :])
        if not is_reported:
            continue
        spans = [s for m in call.mentions.values() for s in m.spans]
        at = call.anchor.start if call.anchor is not None else min((s.start for s in spans), default=start)
        if start <= at < end:
            return "These are somebody's words, quoted; nothing here asks for the act."
    return None
