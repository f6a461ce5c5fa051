"""A proposal to a call whose every argument is typed, in range and carried by the words: grounding's front door.

Covers: values that nobody said, values out of range, names that do not exist here, options without evidence, acts that
are negated or merely told. Does not cover: whether the act may happen (policy), whether the tool is right (network).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import JsonValue

from appliance.contracts.toolcall import Grounded, GroundedCall, Mention, Refusal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import Parameter, ToolSpec
from appliance.grounding import correction, literals, mood, negation, options, questions, readings, schema, windows
from appliance.grounding.schema import Objection

_ASKED: Final = frozenset({RefusalCode.UNKNOWN_NAME})
"""Objections that become a question where they offer choices."""


class _Said(NamedTuple):
    """A value and the words that it stands in."""

    value: JsonValue
    spans: tuple[Span, ...] = ()


def ground(call: ToolCall, spec: ToolSpec, text: str, now: datetime) -> Grounded:
    """Bind a proposal to values; pure: the same arguments give the same answer.

    Args:
        text: the request whose words the mentions point at; "" for a call that came as values.
        now: what relative days and times are relative to.
    """
    refusal = _refused_whole(call, spec, text)
    if refusal is not None:
        return refusal
    found: dict[str, _Said] = {}
    missing: list[Parameter] = []
    unsure: tuple[Parameter, Objection] | None = None
    for parameter in spec.parameters:
        said = _argument(parameter, call, text, now)
        if isinstance(said, Objection):
            if said.code in _ASKED and said.choices:
                unsure = unsure or (parameter, said)
                missing.append(parameter)
                continue
            return Refusal(code=said.code, reason=said.reason, tool=spec.name, parameter=parameter.name)
        if said is not None:
            found[parameter.name] = said
        elif parameter.required:
            if parameter.kind in {"object", "unsupported"}:
                reason = f"{spec.name} needs {parameter.name}, a value of a kind that cannot be filled here."
                return Refusal(code=RefusalCode.UNSUPPORTED, reason=reason, tool=spec.name, parameter=parameter.name)
            missing.append(parameter)
    arguments = {name: said.value for name, said in found.items()}
    spans = {name: said.spans for name, said in found.items() if said.spans}
    if missing:
        choices = unsure[1].choices if unsure is not None and len(missing) == 1 else ()
        because = unsure[1].reason if unsure is not None else ""
        return questions.ask(spec, missing, arguments, spans, call.confidence, choices=choices, because=because)
    return GroundedCall(
        tool=spec.name, arguments=arguments, spans=spans, confidence=call.confidence, anchor=call.anchor
    )


def _refused_whole(call: ToolCall, spec: ToolSpec, text: str) -> Refusal | None:
    """Refuse what no value can mend: an unknown argument, a span outside the words, an act not asked for."""
    if call.tool != spec.name:
        reason = f"The call names {call.tool}, and the tool is {spec.name}."
        return Refusal(code=RefusalCode.UNKNOWN_TOOL, reason=reason, tool=call.tool)
    for name in (*call.mentions, *call.literals):
        if spec.parameter(name) is None:
            reason = f"{spec.name} has no parameter {name!r}."
            return Refusal(code=RefusalCode.UNKNOWN_ARGUMENT, reason=reason, tool=spec.name, parameter=name)
    for name, mention in call.mentions.items():
        if any(not 0 <= s.start < s.end <= len(text) for s in mention.spans):
            reason = f"The words for {name} lie outside the request."
            return Refusal(code=RefusalCode.UNGROUNDED, reason=reason, tool=spec.name, parameter=name)
    if not text.strip():
        return None
    return negation.refusal(text, call, spec) or mood.refusal(text, call, spec)


def _argument(parameter: Parameter, call: ToolCall, text: str, now: datetime) -> _Said | Objection | None:
    """Return the argument, why it will not do, or None when it was not said."""
    if parameter.name in call.literals:
        value = literals.read(parameter, call.literals[parameter.name])
        return value if isinstance(value, Objection) else _Said(value)
    mention = call.mentions.get(parameter.name)
    if mention is None or (not mention.spans and mention.option is None):
        only = parameter.options if parameter.required else None
        # One permitted value is the schema's own word: nothing is guessed.
        return _Said(only[0]) if only is not None and len(only) == 1 else None
    taken = [s for name, other in call.mentions.items() if name != parameter.name for s in other.spans]
    spans = tuple(windows.whole_words(text, s) for s in mention.spans)
    if parameter.kind == "array":
        return _list(parameter, spans, text, now)
    if mention.option is not None:
        return _option(parameter, mention, spans, text)
    return _scalar(parameter, spans[-1], taken, text, now)


def _option(parameter: Parameter, mention: Mention, spans: tuple[Span, ...], text: str) -> _Said | Objection | None:
    said = [text[s.start : s.end] for s in spans]
    corrected = _corrected_option(parameter, spans, text)
    if corrected is not None:
        return corrected
    if not options.borne_out(parameter, mention.option, said, text):
        return None
    return schema.check(parameter, mention.option) or _Said(mention.option, spans)


def _corrected_option(parameter: Parameter, spans: tuple[Span, ...], text: str) -> _Said | None:
    if parameter.options is None or not spans:
        return None
    for span in correction.replacements(text, spans[-1]):
        option = options.spelled(parameter, text[span.start : span.end])
        if option is not None:
            return _Said(option, (span,))
    return None


def _list(parameter: Parameter, spans: tuple[Span, ...], text: str, now: datetime) -> _Said | Objection:
    if not spans:
        return Objection(RefusalCode.UNGROUNDED, f"No words carry {parameter.name}.")
    value = readings.read_list(parameter, [text[s.start : s.end] for s in spans], now)
    return value if isinstance(value, Objection) else _Said(value, spans)


def _scalar(parameter: Parameter, span: Span, taken: Sequence[Span], text: str, now: datetime) -> _Said | Objection:
    """Read one value at *span*, taking back, widening and narrowing it as the words demand."""

    def reads(said: str) -> bool:
        return not isinstance(readings.read(parameter, said, now), Objection)

    for later in correction.replacements(text, span):
        if reads(text[later.start : later.end]) and not _is_free_text(parameter):
            return _Said(_read_now(parameter, text, later, now), (later,))
    if parameter.kind in {"integer", "number"} or parameter.format == "duration":

        def is_amount(said: str) -> bool:
            value = readings.read(parameter, said, now)
            return not isinstance(value, Objection) or value.code is RefusalCode.OUT_OF_RANGE

        span = windows.amount(text, span, taken, is_amount)
    value = readings.read(parameter, text[span.start : span.end], now)
    if isinstance(value, Objection) and value.code is RefusalCode.UNREADABLE and not _is_free_text(parameter):
        narrower = windows.within(text, span, reads)
        if narrower is not None:
            return _Said(_read_now(parameter, text, narrower, now), (narrower,))
    return value if isinstance(value, Objection) else _Said(value, (span,))


def _read_now(parameter: Parameter, text: str, span: Span, now: datetime) -> JsonValue:
    value = readings.read(parameter, text[span.start : span.end], now)
    assert not isinstance(value, Objection)
    return value


def _is_free_text(parameter: Parameter) -> bool:
    """Say whether any words at all would do, so that a reading proves nothing."""
    return (
        parameter.kind == "string" and parameter.options is None and not parameter.entities and parameter.format is None
    )
