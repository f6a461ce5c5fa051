"""A deterministic guard beside the network: words that forbid an act, and how far they reach.

Covers: forbidding ("don't", "never", "no need to", "you must not"), setting aside ("instead of", "rather than",
"without", "stop ... from"), excepting ("not the kitchen", "all but the hall") and taking back ("never mind").
Does not cover: irony, negation spread over sentences, languages other than English.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

from appliance.contracts.toolcall import Refusal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.grounding.values import words

_VERBS: Final = (
    "turn|switch|set|open|close|shut|start|stop|lock|unlock|dim|brighten|raise"
    "|lower|increase|decrease|put|make|run|play|pause|"
    "cancel|add|remove|delete|send|call|show|tell|remind|create|book|activate"
    "|deactivate|enable|disable|turn|keep|leave|use|"
    "take|give|bring|change|adjust|move|go|begin|begin|end|water|feed|heat|cool"
    "|warm|record|save|read|check|get|find|search|"
    "schedule|wake|mute|unmute|reset|restart|reboot|light|ring|sound|drain|fill"
    "|empty|vent|arm|disarm|order|buy|pay|text|"
    "message|email|write|note|log|list|resume|skip|try|do|please|boost|reduce"
    "|cut|kill|power|spin|drop|lift|release|hold|have|get|let|raise|pick|mark"
)
_EXEMPT: Final = re.compile(
    r"\b(?:"
    r"(?:do not|don'?t|never) let (?:me|us|him|her|them|\w+) forget\b|"
    r"(?:do not|don'?t|never) (?:let|allow|permit) [^,.;!?]{1,60}? (?:leave|exceed"
    r"|fall|drop|rise|pass|go (?:over|above|below|under|beyond|out)|get (?:above"
    r"|below|over|under|out)|out of)\b|"
    r"(?:do not|don'?t|never|doesn'?t) (?:you )?(?:forget|fail|hesitate|delay|neglect)(?: to)?\b"
    r"|(?:why|can'?t|couldn'?t|won'?t|wouldn'?t|could|can|would) (?:don'?t|do"
    r" not|not|you not|you please not)? ?(?:you|we|i|u)\b(?! (?:please )?not\b)"
    r"|why (?:don'?t|not|do not) ?(?:we|you|i)?"
    r"|(?:do not|don'?t) (?:just|only|worry|panic|be (?:shy|silly|afraid|late"
    r"|stingy|lazy)|bother asking|wait(?=[,. ]+(?:and|just|for|to)?))"
    r"|(?:do not|don'?t) mind(?: if| me)?"
    r"|do(?: |-)not(?: |-)disturb\b(?! (?:me|him|her|them|us|the|anyone|my))"
    r"|not (?:only|just|more than|less than|later than|earlier than|above|below"
    r"|over|under|to exceed|exceeding|at all(?= bright)|too|so|very|quite|necessarily"
    r"|sure|yet sure|bad)"
    r"|no (?:more|less|later|earlier|fewer|higher|lower|longer|sooner) than"
    r"|no (?:problem|worries|rush|hurry|smoking|doubt|idea|kidding)"
    r"|(?:if|or|whether or) not|(?:remind|tell|warn|ask|advise|text|message|email)\b[^,.;!?]{0,40}? not to"
    r"|,? ?(?:won'?t|will|can'?t|could|couldn'?t|would|wouldn'?t|don'?t|isn'?t"
    r"|aren'?t|haven'?t) (?:you|it|they|we)(?: think)?(?= ?[?.!]*$)"
    r"|nothing (?:else|more)|not yet(?! open)"
    r"|(?:has|have|had|is|are|was|were|am|it'?s|that'?s|he'?s|she'?s|i'?m|there'?s"
    r"|they'?re|isn'?t|aren'?t|wasn'?t|weren'?t|hasn'?t|haven'?t|hadn'?t) not(?!"
    r" (?:supposed|allowed|going|permitted|meant|ready|to)\b)"
    r")"
)
_WANT: Final = (
    r"(?:want|need|wish|require|intend|plan|think|recommend|advise|permit|allow"
    r"|mean|say|said|ask|asked|tell|told|meant)"
)
_FORBID: Final = re.compile(
    r"(?<![\w'])(?:"
    r"(?P<person>i|we|they|he|she|it|nobody|somebody) (?:really |just )?(?:do"
    r" not|don'?t|doesn'?t|does not|did not|didn'?t|never|wouldn'?t|would not)"
    r"(?: really| actually| ever)? (?P<stative>\w+)"
    r"|(?:do not|don'?t|do n'?t|donot|never(?! ?mind)|please not|not to|better not|rather not)\b"
    r"|(?:you|u|one|it|we|nobody|no one|noone|no-one) (?:must|should|may|shall|need|can|could|ought)(?: ?n'?t| not)\b"
    r"|(?:must|should|need|shall|ought)(?:n'?t| not)\b|(?:you )?(?:can ?not|can'?t)"
    r" (?:just )?(?=open|unlock|start|turn)"
    r"|(?:could|can|would|will) (?:you|u) (?:please )?not\b|would you mind not\b"
    r"|(?:there(?:'s| is) )?no (?:need|reason|point|cause) (?:to|for|in|of)?"
    r"|(?:nobody|no one|no-one) (?:should|may|must|can|is (?:allowed|permitted)"
    r" to)"
    r"|under no (?:circumstances?|conditions?)|by no means|on no account|in no (?:case|way)|at no (?:time|point)"
    r"|(?:it is|it's|that's|that is) (?:not|forbidden|prohibited)|not (?:going"
    r"|supposed|allowed|meant|permitted|ready) to"
    r"|(?:leave|keep) (?=[\w' ]{1,40}? (?:as (?:it is|they are|is|usual)|alone|the way (?:it|they)))"
    rf"|(?:stop|cancel|quit|skip|abort)(?= (?:{_VERBS})(?:ing)?\b)|(?:stop|quit)(?= \w+ing\b)"
    r"|instead of(?= \w+ing\b)"
    r"|d[o0] n o t|hate it if|rather you didn'?t"
    r"|refrain from|hold off(?: on)?|avoid(?= \w+ing\b)|forbid|i forbid|(?:stop"
    r"|keep|prevent|block) [\w' ]{1,30}? from(?= \w+ing\b)"
    r"|(?:instead of|rather than|without|never ?mind)(?= \w+ing\b)"
    r"|(?:skip|forget|cancel)(?= \w+ing\b)|forget about(?= \w+ing\b)"
    r")"
)
_EXCEPT: Final = re.compile(
    r"(?<![\w'])(?<!does )(?<!did )(?<!do )(?<!will )(?<!would )(?:but not|and"
    r" not|not|except(?: for)?|apart from|other than"
    r"|instead of|rather than|excluding|leaving out|leave out|"
    r"all but|anything but|never mind|nevermind|forget about)\b(?! (?:a|the)? ?(?:moment|second)\b)"
)
_TAKEN_BACK: Final = re.compile(
    r"(?:\w[^\n]*?)(?P<cue>[\s,.;!?-]+(?:(?:actually|wait|hmm|no|oh|on second thoughts?|or|well|nah|sorry)[\s,.-]+)*"
    r"(?:never ?mind(?: (?:that|it|about (?:it|that)))?|forget (?:it|that|about"
    r" it|about that)|scratch that|cancel (?:that|it)|"
    r"(?:please )?(?:don'?t|do not)(?: (?:do (?:it|that)|bother|please))?|not|no|nope|just kidding|i changed my mind|"
    r"leave it(?: (?:be|alone))?|let it be|belay that|disregard(?: (?:that|it))?|ignore that|strike that))[\s.!?]*$"
)
_CLAUSE_END: Final = re.compile(
    r"[.;!?\n]"
    r"|,? (?:but|however|instead|although|though|unless|until|except|because|since|so(?! that)|yet)\b"
    r"|,? (?:just|rather|only)(?= (?:" + _VERBS + r")\b)"
    rf"|[,:] ?(?:and |then |and then |please |just |rather |only |you can |i want"
        rf" |i'd like |i need |instead |now |let's |could you |can you |also )*(?={_VERBS})\b"
    r"|,? (?:and|then|and then) (?:please|then|instead|just|rather|now|also|i want|i need|i'd like|could you|can you)\b"
    r"| - | -- |,? (?:the|my) (?:\w+ )?(?:instead)"
    r"|, (?=(?:i|we|you|it|they|the|a|this|that|there) (?:\w+ )?(?:want|need|is|are|like|would|can|will|have)\b)"
)  # fmt: skip
_PHRASE_END: Final = re.compile(
    rf"[,.;!?\n:]| - |,? (?:but|and then|then|because|so|instead|while|when|if|unless)\b|,? (?:and )?(?={_VERBS})\b"
)
_ASIDES: Final = re.compile(
    r", ?(?:please|under any circumstances|whatever (?:you do|happens)|ever|for"
    r" now|at any time|by any means|i repeat|again|okay|ok)(?:,|(?=[.!?]*$))"
)
_ABOUT_LEAVING_OUT: Final = re.compile(
    r"exclu|except|without|avoid|ignore|skip|\bnot\b|omit|leave|negat|block|deny|ban|forbid|filter"
)
_PERCEIVING: Final = re.compile(rf"^(?!{_WANT}$)")


_ASIDE_CUES: Final = ("instead of", "rather than", "without", "never mind", "nevermind")
_MOST_CUES: Final = 32
"""More than anybody says; keeps a hostile request from costing time."""


class Scope(NamedTuple):
    """A cue and how far it reaches."""

    cue: Span
    end: int
    is_forbidding: bool
    """True forbids acts; False only sets things aside."""


def refusal(text: str, call: ToolCall, spec: ToolSpec) -> Refusal | None:
    """Return why *call* may not be made where the words forbid it, else None."""
    low = _masked(words.lowered(text))
    found = scopes(text)
    for scope in found:
        if scope.is_forbidding and _covers(scope, found, low, call, spec):
            cue = " ".join(text[scope.cue.start : scope.cue.end].split()).strip(" ,.;!?-")
            return Refusal(code=RefusalCode.NEGATED, reason=f'"{cue}" says not to do this.', tool=spec.name)
    for scope in found:
        name = _excepted(scope, call, spec)
        if name is not None:
            cue = text[scope.cue.start : scope.end].strip(" ,.;!?-")
            reason = f'"{cue}" leaves this out.'
            return Refusal(code=RefusalCode.NEGATED, reason=reason, tool=spec.name, parameter=name)
    return None


def scopes(text: str) -> tuple[Scope, ...]:
    """Return every negation of *text* with its reach."""
    low = _masked(words.lowered(text))
    found: list[Scope] = []
    back = _TAKEN_BACK.match(low)
    if back is not None and len(low[: back.start("cue")].split()) > 1:
        found.append(Scope(Span(back.start("cue"), back.end("cue")), 0, is_forbidding=True))
    for match in islice(_FORBID.finditer(low), _MOST_CUES):
        if match["person"] and _PERCEIVING.match(match["stative"]):
            continue
        # "Instead of heating the hall heat the kitchen": what is set aside ends where the next command begins.
        ends = _PHRASE_END if match[0].startswith(_ASIDE_CUES) else _CLAUSE_END
        end = ends.search(low, match.end() + 1)
        found.append(Scope(Span(match.start(), match.end()), end.start() if end else len(low), is_forbidding=True))
    covered = [s.cue for s in found]
    for match in islice(_EXCEPT.finditer(low), _MOST_CUES):
        if any(c.start <= match.start() < c.end for c in covered):
            continue
        end = _PHRASE_END.search(low, match.end() + 1)
        found.append(Scope(Span(match.start(), match.end()), end.start() if end else len(low), is_forbidding=False))
    return tuple(found)


def _masked(low: str) -> str:
    """Blank what looks like a negation and is none, and asides between commas; positions stay."""
    blanked = _ASIDES.sub(lambda m: " " * len(m[0]), low)
    return _EXEMPT.sub(lambda m: "_" * len(m[0]), blanked)


def _covers(scope: Scope, found: tuple[Scope, ...], low: str, call: ToolCall, spec: ToolSpec) -> bool:
    if scope.end == 0:
        return True  # taken back: everything before it
    if _is_content(scope, call):
        return False
    spans = [s for m in call.mentions.values() for s in m.spans]
    if call.anchor is not None and call.anchor.start < call.anchor.end:
        start = call.anchor.start
        if scope.cue.start <= start < scope.end:
            return True
        is_inside = start < scope.cue.start < call.anchor.end
        return is_inside and re.search(rf"\b(?:{_VERBS})\b", low[start : scope.cue.start].replace("please", "")) is None
    if spans:
        return any(scope.cue.start <= s.start < scope.end for s in spans)
    return _names_tool(low, found, spec)


def _is_content(scope: Scope, call: ToolCall) -> bool:
    """Say whether the cue itself is part of a value: a message, a title, a note."""
    return any(
        s.start <= scope.cue.start and scope.cue.end <= s.end and s.end - s.start > scope.cue.end - scope.cue.start
        for m in call.mentions.values() for s in m.spans
    )  # fmt: skip


def _names_tool(low: str, found: tuple[Scope, ...], spec: ToolSpec) -> bool:
    """Decide for a call that points at no words: is the tool named outside every scope?"""
    free = low
    for scope in found:
        if scope.is_forbidding:
            free = free[: scope.cue.start] + " " * (scope.end - scope.cue.start) + free[scope.end :]
    named = {t for t in words.tokens(re.sub(r"([a-z])([A-Z])", r"\1 \2", spec.name).replace("_", " ")) if len(t) > 2}
    hits = [t for t in named if re.search(rf"\b{re.escape(t[:5])}", free)]
    inside = [t for t in named if re.search(rf"\b{re.escape(t[:5])}", low)]
    return len(hits) < max(1, len(inside))


def _excepted(scope: Scope, call: ToolCall, spec: ToolSpec) -> str | None:
    """Return the parameter whose words an exception sets aside."""
    if scope.is_forbidding or _is_content(scope, call):
        return None
    for name, mention in call.mentions.items():
        parameter = spec.parameter(name)
        if parameter is None or parameter.kind == "boolean":
            continue
        if _ABOUT_LEAVING_OUT.search(f"{name} {parameter.description}".lower()):
            continue
        if any(scope.cue.end <= s.start < scope.end for s in mention.spans):
            return name
    return None
