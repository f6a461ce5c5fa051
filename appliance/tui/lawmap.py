"""A law drawn in characters: a box for each state with its arrows in it, and a lane at the right for each target.

Covers: where each line goes, which lanes run past it, what is lit; a law too large for lanes names its targets only.
Does not cover: colours, and which signs the terminal has; `widgets.map_text` paints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from appliance.tui.lawglance import LawDrawing, Run, Way

MAX_BOXES_N: Final = 60
"""Beyond this only the present state and its neighbours are drawn."""

MAX_LANES_N: Final = 12
RETURN: Final = "return"
ANYWHERE: Final = "any state"
"""Where interrupts are drawn from, or every state would have one more arrow for each."""

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
"""Which ends of a cell's lines are drawn; a cell is their sum."""


class Cell(NamedTuple):
    """A place in the lanes."""

    ends: int = 0
    target: str = ""
    is_taken: bool = False
    is_tip: bool = False


class Line(NamedTuple):
    """One line of the drawing, before it is painted."""

    kind: Literal["head", "way", "foot", "gap"]
    box: str
    text: str = ""
    note: str = ""
    """At the head's end: where the law begins, and which state is safe."""

    target: str = ""
    standing: Literal["", "here", "set aside"] = ""
    order: int = 0
    """Of an arrow on the last path: which step it was, from 1; 0 when it is not on it."""

    cells: tuple[Cell, ...] = ()


class _Box(NamedTuple):
    name: str
    about: str
    ways: tuple[Way, ...]


def draw(law: LawDrawing, run: Run | None) -> list[Line]:
    """Lay *law* out, with *run* lit on it."""
    boxes = _near(_boxes(law), run)
    lines = [line for box in boxes for line in _lines(box, law, run)]
    return _with_lanes(lines)


def _boxes(law: LawDrawing) -> list[_Box]:
    """Return the states in the order of the file, each with its own arrows; shared ones stand in a box of their own."""
    sources: dict[tuple[str, str], list[str]] = defaultdict(list)
    for way in law.ways:
        sources[way.key, way.to].append(way.source)
    own: dict[str, list[Way]] = defaultdict(list)
    shared: dict[str, dict[str, Way]] = defaultdict(dict)
    # What time alone leads to comes last: a person reads first what they can do.
    for way in sorted(law.ways, key=lambda one: one.cause in ("cap", "deadline")):
        places = sources[way.key, way.to]
        if way.cause == "interrupt" and way.key:
            shared[ANYWHERE][way.key] = way
        elif len(set(places)) > 1 and way.key:
            shared[f"anywhere in {_common(places)}"][f"{way.key}/{way.to}"] = way
        else:
            own[way.source].append(way)
    boxes = [_Box(state.name, state.about, tuple(own[state.name])) for state in law.states]
    return [*boxes, *(_Box(name, "", tuple(ways.values())) for name, ways in shared.items())]


def _common(places: Iterable[str]) -> str:
    """Return the state that holds all *places* as its part."""
    first, *rest = [place.split("/") for place in sorted(set(places))]
    held = [level for n, level in enumerate(first[:-1]) if all(other[n : n + 1] == [level] for other in rest)]
    return "/".join(held) or "several states"


def _near(boxes: Sequence[_Box], run: Run | None) -> list[_Box]:
    if len(boxes) <= MAX_BOXES_N:
        return list(boxes)
    here = run.state if run is not None else boxes[0].name
    near = {here} | {way.to for box in boxes if box.name == here for way in box.ways}
    near |= {box.name for box in boxes if any(way.to == here for way in box.ways)}
    return [box for box in boxes if box.name in near][:MAX_BOXES_N]


def _lines(box: _Box, law: LawDrawing, run: Run | None) -> Iterable[Line]:
    standing: Literal["", "here", "set aside"] = ""
    if run is not None and box.name == run.state:
        standing = "here"
    elif run is not None and box.name in run.stack:
        standing = "set aside"
    notes = [word for word, name in (("start", law.initial), ("safe", law.safe)) if name == box.name]
    yield Line("head", box.name, box.about, ", ".join(notes), standing=standing)
    for way in box.ways:
        says = f"{way.says} ({way.approve})" if way.approve else way.says
        yield Line("way", box.name, says, target=way.to, standing=standing, order=_order(way, run))
    yield Line("foot", box.name, standing=standing)


def _order(way: Way, run: Run | None) -> int:
    """Return which step of the last path took *way*; the newest, where several did."""
    steps = [step for step in run.path if step.before] if run is not None else []
    for n in range(len(steps), 0, -1):
        step = steps[n - 1]
        leads = way.to in (step.after, RETURN) and way.source == step.before
        if leads and (not step.cause or not way.says or step.cause in (way.says, way.key, way.cause)):
            return n
        if step.cause == way.key and way.key and way.to in (step.after, RETURN):
            return n
    return 0


class _Lane(NamedTuple):
    target: str
    top: int
    bottom: int


def _with_lanes(lines: list[Line]) -> list[Line]:
    """Give every target a lane past the lines between it and its arrows."""
    heads = {line.box: n for n, line in enumerate(lines) if line.kind == "head"}
    reach: dict[str, list[int]] = {}
    for n, line in enumerate(lines):
        if line.kind == "way" and line.target in heads and line.target != line.box:
            reach.setdefault(line.target, [heads[line.target]]).append(n)
    lanes = [_Lane(target, min(rows), max(rows)) for target, rows in reach.items()]
    columns = _columns(lanes)
    width_n = max(columns.values(), default=-1) + 1
    if not 0 < width_n <= MAX_LANES_N:
        return lines
    grid = [[Cell() for _ in range(2 * width_n + 1)] for _ in lines]
    for lane in lanes:
        rows = [n for n in reach[lane.target] if n != heads[lane.target]]
        taken = [n for n in rows if lines[n].order]
        _draw_lane(grid, lane, 2 * columns[lane.target] + 2, rows, taken, heads[lane.target])
    return [line._replace(cells=tuple(row)) for line, row in zip(lines, grid, strict=True)]


def _columns(lanes: Iterable[_Lane]) -> dict[str, int]:
    """Give each lane the innermost column that is free for all of its length, the short ones first."""
    columns: dict[str, int] = {}
    placed: list[list[_Lane]] = []
    for lane in sorted(lanes, key=lambda one: (one.bottom - one.top, one.top)):
        free = (n for n, there in enumerate(placed) if all(lane.top > o.bottom or lane.bottom < o.top for o in there))
        n = next(free, len(placed))
        if n == len(placed):
            placed.append([])
        placed[n].append(lane)
        columns[lane.target] = n
    return columns


def _draw_lane(grid: list[list[Cell]], lane: _Lane, column: int, rows: list[int], taken: list[int], head: int) -> None:
    hot_top, hot_bottom = min([head, *taken]), max([head, *taken])
    for n in range(lane.top, lane.bottom + 1):
        is_hot = bool(taken) and hot_top <= n <= hot_bottom
        ends = (UP if n > lane.top else 0) | (DOWN if n < lane.bottom else 0)
        joins = n in rows or n == head
        _add(grid[n], column, ends | (LEFT if joins else 0), lane.target, is_taken=is_hot)
        if joins:
            hot = n in taken or (n == head and bool(taken))
            for x in range(column):
                _add(grid[n], x, LEFT | RIGHT, lane.target, is_taken=hot)
    if taken or rows:
        grid[head][0] = grid[head][0]._replace(is_tip=True)


def _add(row: list[Cell], x: int, ends: int, target: str, *, is_taken: bool) -> None:
    before = row[x]
    # What was taken stays in sight where lanes cross.
    keeps = before.is_taken and not is_taken
    row[x] = Cell(
        before.ends | ends, before.target if keeps else target, before.is_taken or is_taken, is_tip=before.is_tip
    )
