"""A diagram as inline SVG; colours come from the page's style sheet, so that it follows light and dark."""

from __future__ import annotations

from html import escape
from typing import Final

from appliance.policy.workflow.draw import layout
from appliance.policy.workflow.draw.diagram import Box, Diagram, Line
from appliance.policy.workflow.draw.layout import Path, Size, Spot

_NAME_PX: Final = 8.2
"""Width of a bold character of 14 px, rather too wide than too narrow."""

_TEXT_PX: Final = 6.5
"""Of a character of 12 px."""

_LINE_PX: Final = 16.0
_WRAP_CHARS: Final = 46
_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9"'
    ' markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0,0.5 L8,4 L0,7.5 z" class="tip"/>'
    "</marker></defs>"
)


def svg(diagram: Diagram, lit: str = "", path: frozenset[tuple[str, str]] = frozenset()) -> str | None:
    """Draw *diagram*; None where it is too large for that.

    Args:
        lit: the state in which a run is.
        path: arrows that a run took last, as state and key (`go[0]`).
    """
    start = next((box.name for box in diagram.boxes if box.is_initial), diagram.boxes[0].name)
    boxes = {box.name: box_size(box) for box in diagram.boxes}
    lines = [(line.source, line.target, label_size(line)) for line in diagram.lines]
    placed = layout.place(boxes, lines, start)
    if placed is None:
        return None
    told = escape(diagram.about or diagram.name or "states", quote=True)
    size = f'viewBox="0 0 {placed.width:.0f} {placed.height:.0f}" width="{placed.width:.0f}"'
    parts = [f'<svg {size} role="img" aria-label="{told}">', _TIP]
    for line, way in zip(diagram.lines, placed.paths, strict=True):
        parts.append(_drawn_line(line, way, taken=(line.source, line.key) in path))
    parts += [_drawn_box(box, placed.boxes[box.name], lit=box.name == lit) for box in diagram.boxes]
    parts += [_drawn_label(line, way.label) for line, way in zip(diagram.lines, placed.paths, strict=True)]
    return "\n".join([*parts, "</svg>"])


def box_size(box: Box) -> Size:
    """Return how much room *box* needs."""
    if box.kind in {"outcome", "return", "any"}:
        return Size(len(box.name) * _NAME_PX + 36, 30)
    texts = [text for _, text in _texts(box)]
    marks = 20 * box.is_initial
    wide = max([len(box.name) * _NAME_PX + marks + 12, *(len(text) * _TEXT_PX for text in texts)])
    return Size(wide + 28, 30 + len(texts) * _LINE_PX + (4 if texts else 0))


def _texts(box: Box) -> list[tuple[str, str]]:
    """Return the lines of a box below its name, each with its class."""
    lines = [("about", text) for text in _wrapped(box.about)]
    lines += [("fact", text) for line in box.lines for text in _wrapped(f"· {line}")]
    return [*lines, *_findings(box)]


def _findings(drawn: Box | Line) -> list[tuple[str, str]]:
    """Return what the validator found, with its line in the file and what to do."""
    lines = []
    for found in drawn.findings:
        kind = f"found {found.level}"
        lines += [(kind, text) for text in _wrapped(f"⚠ line {found.place.line}: {found.what}")]
        lines += [("found remedy", text) for text in _wrapped(f"→ {found.remedy}") if found.remedy]
    return lines


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > _WRAP_CHARS:
            lines.append("  ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
    return [line for line in lines if line]


def _label_lines(line: Line) -> list[tuple[str, str]]:
    said = [("said", text) for part in line.label.split("\n") for text in _wrapped(part)]
    return [*said, *_findings(line)]


def label_size(line: Line) -> Size:
    """Return how much room the words of *line* need."""
    texts = [text for _, text in _label_lines(line)]
    return Size(max(len(text) for text in texts) * _TEXT_PX + 14, len(texts) * 15 + 8)


def _drawn_box(box: Box, at: Spot, *, lit: bool) -> str:
    left, top = at.x - at.width / 2, at.y - at.height / 2
    kinds: list[str] = [box.kind]
    kinds += ["safe"] if box.is_safe else []
    kinds += ["lit"] if lit else []
    kinds += [_level(box)] if box.findings else []
    round_px = 15 if box.kind in {"outcome", "return", "any"} else 8
    parts = [
        f'<g class="box {" ".join(kinds)}" id="state-{escape(box.name, quote=True)}">',
        f"<title>{escape(_told(box))}</title>",
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{at.width:.1f}" height="{at.height:.1f}" rx="{round_px}"/>',
    ]
    if box.kind in {"outcome", "return", "any"}:
        parts.append(
            f'<text class="name" x="{at.x:.1f}" y="{at.y + 5:.1f}" text-anchor="middle">{escape(box.name)}</text>'
        )
        return "".join([*parts, "</g>"])
    if box.is_safe:
        parts.append(
            f'<rect class="inner" x="{left + 3:.1f}" y="{top + 3:.1f}" width="{at.width - 6:.1f}"'
            f' height="{at.height - 6:.1f}" rx="6"/>'
        )
    mark = "▶ " if box.is_initial else ""
    warn = "  ⚠" if box.findings else ""
    parts.append(f'<text class="name" x="{left + 14:.1f}" y="{top + 21:.1f}">{mark}{escape(box.name)}{warn}</text>')
    for n, (kind, text) in enumerate(_texts(box)):
        inset = 8 * (len(text) - len(text.lstrip()))
        y = top + 24 + (n + 1) * _LINE_PX
        parts.append(f'<text class="{kind}" x="{left + 14 + inset:.1f}" y="{y:.1f}">{escape(text.strip())}</text>')
    return "".join([*parts, "</g>"])


def _drawn_line(line: Line, way: Path, *, taken: bool) -> str:
    first, *rest = way.points
    d = f"M{first[0]:.1f},{first[1]:.1f}"
    if len(way.points) == 4 and line.source == line.target:
        (x1, y1), (x2, y2), (x3, y3) = rest
        d += f" L{x1:.1f},{y1:.1f} M{x2:.1f},{y2:.1f} L{x3:.1f},{y3:.1f}"
    else:
        before = first
        for x, y in rest:
            middle = (before[1] + y) / 2
            d += f" C{before[0]:.1f},{middle:.1f} {x:.1f},{middle:.1f} {x:.1f},{y:.1f}"
            before = (x, y)
    kinds = ["line", line.kind, *(["taken"] if taken else []), *([_level(line)] if line.findings else [])]
    return f'<path class="{" ".join(kinds)}" d="{d}" marker-end="url(#tip)"/>'


def _drawn_label(line: Line, at: Spot) -> str:
    texts = _label_lines(line)
    top = at.y - at.height / 2
    kinds = ["label", line.kind, *([_level(line)] if line.findings else [])]
    parts = [
        f'<g class="{" ".join(kinds)}"><title>{escape(_told(line))}</title>',
        f'<rect x="{at.x - at.width / 2:.1f}" y="{top:.1f}" width="{at.width:.1f}" height="{at.height:.1f}" rx="5"/>',
    ]
    for n, (kind, text) in enumerate(texts):
        y = top + 15 + n * 15
        parts.append(
            f'<text class="{kind}" x="{at.x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text.strip())}</text>'
        )
    return "".join([*parts, "</g>"])


def _level(drawn: Box | Line) -> str:
    return "error" if any(found.level == "error" for found in drawn.findings) else "warning"


def _told(drawn: Box | Line) -> str:
    if drawn.findings:
        return "\n".join(f"line {found.place.line}: {found.what} ({found.remedy})" for found in drawn.findings)
    return drawn.about or drawn.name if isinstance(drawn, Box) else f"{drawn.source} -> {drawn.target}: {drawn.label}"
