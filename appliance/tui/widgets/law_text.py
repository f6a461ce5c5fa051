"""Where a workflow is, in words: state, what is due when, who must still approve, what is allowed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import tzinfo
from typing import Final

from textual.content import Content

from appliance.contracts.plainly import plain_name, shown_value
from appliance.tui.glyphs import Glyphs
from appliance.tui.lawglance import Laws, Needed, Owed, Run

PATH_N: Final = 4
"""Steps of the last path that are listed; the drawing numbers all of them."""

NAME_CELLS: Final = 10

_DANGER_STYLES: Final = {"dangerous": "$text-error", "moderate": "$text-warning"}


def clock(left_s: float) -> str:
    """Write what is left as a clock does: `1:05`, `2:00:00`, `3 d`."""
    whole = max(0, int(left_s))
    if whole >= 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, seconds = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"


def row(run: Run, elapsed_s: float, glyphs: Glyphs, width: int, name_n: int) -> Content:
    """Write a workflow as one line of the list.

    Args:
        name_n: columns that the longest name takes.
    """
    if run.pending is not None:
        tail, style = f"{glyphs.waiting} {people(run.pending)}", "bold $text-warning"
    elif run.due_s is not None:
        tail, style = f"due {clock(run.due_s - elapsed_s)}", "$text-accent"
    else:
        tail, style = "", ""
    room = max(6, width - len(tail) - 1)
    left = _cut(f"{plain_name(run.workflow).ljust(name_n)}  {plain_name(run.state)}", room).ljust(room)
    return Content.assemble((left[:name_n], "bold"), left[name_n:], " ", (tail, style))


def people(needed: Needed) -> str:
    """Write how many of whom are still needed."""
    many = "s" if needed.missing_n != 1 else ""
    return f"{needed.missing_n} {needed.role}{many} needed"


def now_lines(run: Run, elapsed_s: float, glyphs: Glyphs, zone: tzinfo | None, width: int) -> Iterator[Content]:
    """Write all that an operator needs to know of a run, in *width* columns."""
    yield Content.assemble(
        (run.title or plain_name(run.workflow), "bold"),
        (f"  v{run.version}", "$quiet"),
        (f"  {run.danger}" if run.danger else "", _DANGER_STYLES.get(run.danger, "$quiet")),
    )
    since = f"  since {run.since.astimezone(zone):%H:%M:%S}" if run.since else ""
    yield Content.assemble(
        (f"{glyphs.on} {plain_name(run.state)}", "bold $text-success"),
        (f"  {run.about}" if run.about else "", ""),
        (since, "$quiet"),
    )
    if run.instructions:
        yield Content.styled(run.instructions, "bold")
    if run.pending is not None:
        yield from approval_lines(run.pending, elapsed_s, width)
    if run.due_s is not None:
        yield _field("due in", clock(run.due_s - elapsed_s), "bold $text-accent", width)
    for state in reversed(run.stack):
        yield _field("set aside", f"{plain_name(state)}, to go back to", "$text-warning", width)
    for owed in run.owed:
        yield _field("law does", _owed(owed), "$text-accent", width)
    if run.calls is not None:
        yield _field(
            "calls", f"{run.calls[0]} of {run.calls[1]}", "" if run.calls[0] < run.calls[1] else "$text-warning", width
        )
    yield _field("allowed", ", ".join(map(plain_name, run.allowed)) or "no tool", "", width)
    if run.swap:
        yield _field("newer", run.swap, "$text-warning", width)
    for step in reversed(run.path[-PATH_N:]):
        name = "lately" if step is run.path[-1] else ""
        at = f"{step.at.astimezone(zone):%H:%M:%S} " if step.at else ""
        came = f"{plain_name(step.before)} {glyphs.arrow} " if step.before else "began in "
        way = _cut(f"{at}{came}{plain_name(step.after)}", width - NAME_CELLS)
        cause = f" ({plain_name(step.cause)})" if step.cause else ""
        cause = cause if NAME_CELLS + len(way) + len(cause) <= width else ""
        yield Content.assemble((name.ljust(NAME_CELLS), "$quiet"), way, (cause, "$quiet"))


def approval_lines(needed: Needed, elapsed_s: float, width: int) -> Iterator[Content]:
    """Write who has approved, who is still needed, and for how long it is waited."""
    asked = plain_name(needed.question) or "It waits for people."
    yield Content.assemble(
        (asked, "bold $text-warning"), (f"  asked by {needed.by.split(' ')[0]}" if needed.by else "", "$quiet")
    )
    given = ", ".join(needed.given) or "nobody yet"
    yield _field("approved", f"by {given}" if needed.given else given, "", width)
    left = f", for {clock(needed.expires_s - elapsed_s)}" if needed.expires_s is not None else ""
    yield _field("needed", f"{people(needed).removesuffix(' needed')}{left}", "bold $text-warning", width)


def trouble_lines(laws: Laws) -> Iterator[Content]:
    """Write what is wrong with the laws, and what to do about it."""
    if laws.barred:
        yield Content.styled(f"The laws cannot be used: {laws.barred}", "bold $text-error")
    for complaint in laws.complaints:
        yield Content.styled(complaint, "$text-error")
    if laws.barred or laws.complaints:
        yield Content.styled("Mend the files in the home's laws folder, then: appliance workflow load", "bold")


def _owed(owed: Owed) -> str:
    arguments = " ".join(shown_value(value) for value in owed.arguments.values())
    return f"{plain_name(owed.tool)} {arguments}".strip()


def _field(name: str, value: str, style: str, width: int) -> Content:
    """Write a name and its value; the value's further lines stand below its first."""
    lines = textwrap.wrap(value, max(10, width - NAME_CELLS)) or [""]
    return Content.assemble((name.ljust(NAME_CELLS), "$quiet"), (f"\n{' ' * NAME_CELLS}".join(lines), style))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)].rstrip() + "."
