"""What was said and no call serves: a time, a repetition, an exception, a second wish.

To act on the rest would be to do something else than was asked ("turn it on at five" is not "turn it on"), so the whole
request is refused, with the words that nothing here can serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from appliance.contracts.toolcall import GroundedCall, Refusal, RefusalCode, Span
from appliance.contracts.toolspec import ToolSpec
from appliance.grounding import mood
from appliance.grounding.values import words

_DAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_HOUR: Final = r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_DELAYS: Final = re.compile(
    r"\b(?:in|after) (?:an?|half an?|a few|[\w.]+(?:[ -]\w+)?)"
    r" (?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?)\b"
)
_TIMES: Final = re.compile(
    rf"\b(?:at|until|till|by|before|around|from) (?:{_HOUR}(?::\d\d)? ?(?:am|pm|a\.m\.|p\.m\.|o'?clock)|\d{{1,2}}:\d\d"
    rf"|noon|midnight|sunset|sunrise|half past \w+|(?:a )?quarter (?:past|to) \w+)(?!\w)|\b(?:until|till) {_HOUR}\b"
    rf"|\b(?:every|each) (?:\w+ )?(?:day|morning|afternoon|evening|night|hour|minute|week|month|weekday|weekend"
    rf"|{_DAY})s?\b"
    rf"|\b(?:daily|weekly|hourly|nightly|on weekdays|on weekends|tomorrow|tonight|on {_DAY}|next (?:week|month|{_DAY})"
    r"|this (?:afternoon|evening|weekend)|later(?: today| on)?)\b"
)
_EXCEPTIONS: Final = re.compile(
    r"\b(?:except(?:ing)?|apart from|aside from|excluding|all but|everything but)\b"
    r"|\b(?:all|every|everything|everyone|each|both)\b[\w' ]{0,40}? (?:but|bar|other than|besides|save)\b"
)
_UNIVERSAL: Final = re.compile(r"\b(?:everything|all of (?:it|them))\b")
_CLAUSES: Final = re.compile(
    r"(?:,? and then|,? then|,? and|,? plus|;|[.!] )\s+(?:please |also |now |after that )*"
    r"(?!(?:please|thanks?|thank you|cheers|that'?s|so on|be quick|hurry|now|again)\b)(?=[\w'])"
)


def refusal(text: str, calls: Sequence[GroundedCall], specs: Mapping[str, ToolSpec]) -> Refusal | None:
    """Return why *calls* would not be what was asked, if words are left that none of them serves."""
    if all(mood.is_looking(specs[call.tool]) for call in calls):
        return None  # nothing is changed by an answer that is too general
    low = words.lowered(text)
    for left in _left(low, calls, specs):
        reason = f'No tool here can serve "{text[left.start : left.end].strip()}", so nothing of the request is done.'
        return Refusal(code=RefusalCode.UNGROUNDED, reason=reason)
    return None


def _left(low: str, calls: Sequence[GroundedCall], specs: Mapping[str, ToolSpec]) -> Iterator[Span]:
    held = [(span, _is_number(specs[c.tool], name)) for c in calls for name, spans in c.spans.items() for span in spans]
    for match in _DELAYS.finditer(low):
        if not any(_touch(span, match.span()) for span, _ in held):
            yield Span(*match.span())
    for match in _TIMES.finditer(low):
        # "at 5 pm" cannot be five minutes: a number's parameter does not serve a time of day.
        if not any(_touch(span, match.span()) and not number for span, number in held):
            yield Span(*match.span())
    for match in _EXCEPTIONS.finditer(low):
        if not any(span.start <= match.start() and match.end() <= span.end for span, _ in held):
            yield Span(*match.span())
    for match in _UNIVERSAL.finditer(low):
        bare = [c for c in calls if not c.spans and not re.search(r"\b(?:all|every\w*)\b", _about(specs[c.tool]))]
        if bare:
            yield Span(*match.span())
    starts = [match.end() for match in _CLAUSES.finditer(low)]
    if len(starts) + 1 > len(calls):
        for start, end in zip(starts, [*starts[1:], len(low)], strict=True):
            anchors = [c.anchor for c in calls if c.anchor is not None]
            if not any(_touch(span, (start, end)) for span in (*anchors, *(s for s, _ in held))):
                yield Span(start, end)


def _touch(span: Span, other: tuple[int, int]) -> bool:
    return span.start < other[1] and other[0] < span.end


def _is_number(spec: ToolSpec, name: str) -> bool:
    parameter = spec.parameter(name)
    return parameter is not None and parameter.kind in {"integer", "number"}


def _about(spec: ToolSpec) -> str:
    return f"{spec.name.replace('_', ' ')} {spec.description}".lower()
