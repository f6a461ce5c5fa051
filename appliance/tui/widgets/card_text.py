"""A request and its outcome as styled text; the detail screen uses the same words as the card."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from appliance.contracts.local import Outcome
from appliance.contracts.plainly import plain_name
from appliance.tui.glyphs import STATUS_STYLES, STATUS_WORDS, Glyphs
from appliance.tui.lawglance import Needed
from appliance.tui.looks import mark_style
from appliance.tui.understanding import Understanding, Understood, understand
from appliance.tui.widgets import law_text

BAR_CELLS: Final = 10

ONE_LINE_CELLS: Final = 48
"""Arguments that fit the card of an 80-column terminal stand on one line."""

_VERDICTS: Final = {
    "allow": ("allowed", "$text-success"),
    "confirm": ("needs your yes", "$text-warning"),
    "approve": ("needs approval", "$text-warning"),
    "deny": ("not allowed", "$text-error"),
}

_CHECKS: Final = {
    "held": ("(checked)", "$text-success"),
    "failed": ("(checked: it did not work)", "$text-error"),
    "unchecked": ("(not checked)", "$quiet"),
}


def welcome(examples: tuple[str, ...]) -> Content:
    """Write the first-run hints."""
    lines = [Content("Say what you want in plain words and press Enter. For example:"), Content("")]
    lines += [
        Content.assemble((f" {n} ", "reverse $primary"), "  ", (example, "italic"))
        for n, example in enumerate(examples, start=1)
    ]
    lines += [Content(""), Content.styled("F3 and a number takes an example. F1 is help.", "$quiet")]
    return Content("\n").join(lines)


def deciding(text: str, elapsed_s: float) -> Content:
    """Write that a request is being worked on; from half a second on with a sign of life."""
    dots = "." * (1 + int(elapsed_s * 2) % 3) if elapsed_s >= 0.5 else ""
    return Content.assemble((text, "bold"), "\n\n", (f"Working on it {dots}" if dots else "", "$text-primary"))


def title(outcome: Outcome) -> str:
    """Name the card."""
    if outcome.status == "waiting" and outcome.approval:
        return "Approve this?"
    return {
        "done": "Done",
        "refused": "Refused",
        "failed": "Failed",
        "indeterminate": "In doubt",
        "waiting": "Confirm this?",
        "asked": "One question",
    }[outcome.status]


def card(outcome: Outcome, glyphs: Glyphs) -> Content:
    """Write all that the operator needs to know of a request."""
    understanding = understand(outcome.text, outcome.calls)
    lines = []
    if outcome.text:
        lines += [request(understanding), Content("")]
    for call in understanding.calls:
        lines += call_lines(call, glyphs, is_read=bool(outcome.text))
    lines += _closing(outcome, understanding, glyphs)
    return Content("\n").join(lines)


def request(understanding: Understanding) -> Content:
    """Write the words that were said, each argument's underlined in its colour, with its letter behind."""
    parts: list[Content] = []
    for piece in understanding.pieces:
        style = f"bold underline {mark_style(piece.letters[0])}" if piece.letters else ""
        parts.append(Content.styled(piece.text, style) if style else Content(piece.text))
        parts.extend(badge(letter) for letter in piece.closing)
    return Content("").join(parts)


def badge(letter: str) -> Content:
    """Write a letter that joins words and argument; reversed, so that it shows without colour too."""
    return Content.styled(letter, f"reverse bold {mark_style(letter)}") if letter else Content(" ")


def call_lines(call: Understood, glyphs: Glyphs, *, is_read: bool) -> list[Content]:
    """Write one call: tool, how sure, arguments, what came of it.

    Args:
        is_read: a network read it from words, so how sure it was says something.
    """
    tool = Content.styled(f"{glyphs.arrow} {plain_name(call.tool)}", "bold $text-primary")
    lines = [Content.assemble(tool, "  ", sureness(call.confidence, glyphs)) if is_read else tool]
    arguments = [
        Content.assemble(
            badge(argument.letter),
            (f" {argument.name} ", "$quiet"),
            (argument.value, mark_style(argument.letter) if argument.letter else ""),
        )
        for argument in call.arguments
    ]
    one_line = Content("  ").join([Content("  "), *arguments]) if arguments else None
    if one_line is not None and one_line.cell_length <= ONE_LINE_CELLS:
        lines.append(one_line)
    else:
        lines += [Content.assemble("    ", argument) for argument in arguments]
    if call.message:
        check, check_style = _CHECKS.get(call.postcondition, ("", ""))
        sign, style = (glyphs.done, "$text-success") if call.state == "done" else (glyphs.failed, "$text-error")
        lines.append(Content.assemble("  ", (sign, f"bold {style}"), f" {call.message}  ", (check, check_style)))
    return lines


def law_line(call: Understood) -> Content:
    """Write what the laws said to a call."""
    word, style = _VERDICTS.get(call.verdict, (call.verdict, "$quiet"))
    rule = f", by the rule {plain_name(call.rule)}" if call.rule and call.rule != "default" else ""
    return Content.assemble((word, f"bold {style}"), (rule, "$quiet"))


def sureness(confidence: float, glyphs: Glyphs) -> Content:
    """Write a confidence as a bar and a number."""
    full = round(min(max(confidence, 0.0), 1.0) * BAR_CELLS)
    style = "$text-success" if confidence >= 0.9 else "$text-warning" if confidence >= 0.6 else "$text-error"
    return Content.assemble(
        ("sure ", "$quiet"),
        (glyphs.full * full, style),
        (glyphs.empty * (BAR_CELLS - full), "$line"),
        (f" {confidence:.0%}", style),
    )


def _closing(outcome: Outcome, understanding: Understanding, glyphs: Glyphs) -> list[Content]:
    status = Content.assemble(
        (f"{glyphs.of(outcome.status)} {STATUS_WORDS[outcome.status]}", f"bold {STATUS_STYLES[outcome.status]}")
    )
    match outcome.status:
        case "waiting" if outcome.code == "in-progress":
            return [status, Content("Still under way; the history shows how it ends.")]
        case "waiting":
            if outcome.approval:
                return _asked_of_people(outcome)
            keys = Content.assemble(
                (" y ", "reverse $text-success"), " Confirm    ", (" n ", "reverse $text-error"), " Reject"
            )
            laws = [law_line(call) for call in understanding.calls if call.verdict not in ("allow", "")]
            return [*laws, Content.styled(outcome.reason, "bold"), keys]
        case "asked":
            lines = [Content.styled(outcome.question or outcome.reason, "bold $text-accent")]
            lines += [
                Content.assemble((f" {n} ", "reverse $text-accent"), " ", choice)
                for n, choice in enumerate(outcome.choices[:9], start=1)
            ]
            return lines
        case "done" if any(call.message == outcome.reason or call.message for call in understanding.calls):
            return []
        case "done":
            return [Content.assemble(status, "  ", outcome.reason)]
        case _:
            code = f"  ({plain_name(outcome.code)})" if outcome.code else ""
            return [Content.assemble(status, "  ", outcome.reason, (code, "$quiet")), *_way_out(outcome)]


def _asked_of_people(outcome: Outcome) -> list[Content]:
    """Write who has approved and who is still needed; each gives name and PIN."""
    needed = Needed.parse(outcome.approval)
    given = f"approved by {', '.join(needed.given)}, " if needed.given else ""
    return [
        Content.styled(outcome.reason, "bold"),
        Content.styled(f"{given}{law_text.people(needed)}", "bold $text-warning"),
        Content.assemble(
            (" y ", "reverse $text-success"), " Approve    ", (" n ", "reverse $text-error"), " Refuse    ",
            ("with name and PIN", "$quiet"),
        ),
    ]  # fmt: skip


def _way_out(outcome: Outcome) -> list[Content]:
    """Write of a denial what is allowed now, and how to get to what was asked for."""
    lines = []
    if allowed := ", ".join(map(plain_name, outcome.allowed)) or ("nothing" if outcome.allows_nothing else ""):
        lines.append(Content.assemble(("allowed now  ", "$quiet"), allowed))
    if outcome.remedy:
        lines.append(Content.styled(outcome.remedy, "$text-accent"))
    return lines
