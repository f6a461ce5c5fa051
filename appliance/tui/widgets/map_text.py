"""A law's drawing as styled text: the present state lit, the last path numbered, every arrow naming its target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual.content import Content

from appliance.contracts.plainly import plain_name
from appliance.tui.glyphs import Glyphs
from appliance.tui.lawmap import DOWN, LEFT, RETURN, RIGHT, UP, Cell, Line
from appliance.tui.looks import MARKS_N

MIN_BOX_CELLS: Final = 26
MIN_ABOUT_CELLS: Final = 12

_THIN: Final = {
    0: " ", LEFT: "─", RIGHT: "─", UP: "│", DOWN: "│", LEFT | RIGHT: "─", UP | DOWN: "│", LEFT | UP: "┘",
    LEFT | DOWN: "┐", UP | RIGHT: "└", DOWN | RIGHT: "┌", LEFT | UP | DOWN: "┤", RIGHT | UP | DOWN: "├",
    LEFT | RIGHT | UP: "┴", LEFT | RIGHT | DOWN: "┬", LEFT | RIGHT | UP | DOWN: "┼",
}  # fmt: skip


def map_lines(lines: Sequence[Line], glyphs: Glyphs, width: int, *, is_plain: bool) -> Iterator[Content]:
    """Paint *lines* in *width* columns; the boxes take what the lanes leave."""
    lanes_n = len(lines[0].cells) if lines else 0
    room = max(MIN_BOX_CELLS, width - lanes_n)
    colours = _colours(lines)
    for line in lines:
        lanes = Content("").join([_cell(cell, colours, is_plain=is_plain) for cell in line.cells])
        yield Content.assemble(_box(line, glyphs, room, is_plain=is_plain), lanes)


def _colours(lines: Sequence[Line]) -> dict[str, str]:
    heads = [line.box for line in lines if line.kind == "head"]
    return {box: f"$mark-{n % MARKS_N}" for n, box in enumerate(heads)}


def _cell(cell: Cell, colours: dict[str, str], *, is_plain: bool) -> Content:
    if cell.is_tip:
        sign = "<" if is_plain else "◀"
    elif is_plain:
        level, upright = cell.ends & (LEFT | RIGHT), cell.ends & (UP | DOWN)
        sign = "+" if level and upright else "-" if level else "|" if upright else " "
    else:
        sign = _THIN.get(cell.ends, " ")
    style = colours.get(cell.target, "$quiet")
    return Content.styled(sign, f"bold {style}" if cell.is_taken else style)


def _box(line: Line, glyphs: Glyphs, room: int, *, is_plain: bool) -> Content:
    """Paint a box's part of a line: exactly *room* columns."""
    inner = room - 2
    is_lit = line.standing == "here"
    edge = "bold $text-success" if is_lit else "$text-warning" if line.standing else "$line"
    left, right, flat = _edges(is_lit=is_lit, is_plain=is_plain)
    match line.kind:
        case "head":
            return _head(line, glyphs, inner, edge, is_plain=is_plain)
        case "way":
            return Content.assemble((left, edge), _way(line, glyphs, inner), (right, edge))
        case "foot":
            ends = ("+", "+") if is_plain else ("┗", "┛") if is_lit else ("└", "┘")
            return Content.styled(ends[0] + flat * inner + ends[1], edge)
        case _:
            return Content(" " * room)


def _edges(*, is_lit: bool, is_plain: bool) -> tuple[str, str, str]:
    if is_plain:
        return ("|", "|", "=" if is_lit else "-")
    return ("┃", "┃", "━") if is_lit else ("│", "│", "─")


def _head(line: Line, glyphs: Glyphs, inner: int, edge: str, *, is_plain: bool) -> Content:
    is_lit = line.standing == "here"
    flat = _edges(is_lit=is_lit, is_plain=is_plain)[2]
    ends = ("+", "+") if is_plain else ("┏", "┓") if is_lit else ("┌", "┐")
    name = plain_name(line.box)
    mark = f"{glyphs.on} " if is_lit else ""
    words = [word for word in (line.standing and ("now here" if is_lit else "set aside"), line.note) if word]
    tail = f" {', '.join(words)} " if words else ""
    title = _cut(f" {mark}{name} ", max(4, inner - len(tail) - 1))
    about = f"{glyphs.dot} {line.text} " if line.text else ""
    about = _cut(about, inner - len(title) - len(tail) - 1) if inner - len(title) - len(tail) > MIN_ABOUT_CELLS else ""
    gap = flat * max(0, inner - len(title) - len(about) - len(tail))
    return Content.assemble(
        (ends[0], edge),
        (title, "reverse bold $text-success" if is_lit else "bold"),
        (about, "$quiet"),
        (gap, edge),
        (tail, "bold $text-success" if is_lit else "$text-warning" if line.standing else "$quiet"),
        (ends[1], edge),
    )


def _way(line: Line, glyphs: Glyphs, inner: int) -> Content:
    if line.target == RETURN:
        goal = "back"
    elif line.target == line.box:
        goal = "again"
    else:
        goal = plain_name(line.target)
    number = f"{line.order} " if line.order else "  "
    tail = f" {glyphs.arrow} {goal} "
    tail = _cut(tail, max(6, inner // 2))
    says = _cut(plain_name(line.text) or "always", max(1, inner - len(number) - len(tail) - 1))
    gap = " " * max(0, inner - 1 - len(number) - len(says) - len(tail))
    style = "bold $text-accent" if line.order else ""
    return Content.assemble(
        " ",
        (number, "bold $text-accent"),
        (says, style),
        gap,
        (tail, style or ("bold" if line.standing == "here" else "$quiet")),
    )


def _cut(text: str, room: int) -> str:
    """Shorten *text* to *room* columns, said by a full stop at its end; the last blank stays."""
    return text if len(text) <= room else text[: max(0, room - 2)].rstrip() + ". "[:room]
