"""Boxes and lines to places on a page: layers from top to bottom, with each line's words as a small box on its way.

Source:
    Sugiyama, Tagawa, Toda 1981: break circles, layer, order by the mean of the neighbours, then straighten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final, NamedTuple

LAYER_GAP: Final = 26.0
NODE_GAP: Final = 26.0
_SWEEPS_N: Final = 24
_SHIFTS_N: Final = 40
MAX_NODES_N: Final = 15_000
"""Boxes, words and bends that are laid out in a few seconds: 50 states with 10 arrows each, or many more with fewer.

Bends are what grows with the square: a longer page has more arrows, and each of them passes more layers.
"""


class Size(NamedTuple):
    """Of a box, in pixels."""

    width: float
    height: float


class Spot(NamedTuple):
    """Where a box lies: its middle."""

    x: float
    y: float
    width: float
    height: float


class Path(NamedTuple):
    """A line: its points from source to target, and where its words lie."""

    points: tuple[tuple[float, float], ...]
    label: Spot


class Placed(NamedTuple):
    """A page."""

    width: float
    height: float
    boxes: dict[str, Spot]
    paths: tuple[Path, ...]
    """In the order of the lines."""


class _Graph:
    """Boxes, words and bends as nodes, each line as a chain of them."""

    def __init__(self, boxes: dict[str, Size], lines: list[tuple[str, str, Size]], start: str) -> None:
        self.sizes: dict[str, Size] = {f"b:{name}": size for name, size in boxes.items()}
        self.chains: list[list[str]] = []
        self.reversed = _backward(list(boxes), [(one, two) for one, two, _ in lines], start)
        edges = []
        for n, (source, target, size) in enumerate(lines):
            self.sizes[f"l:{n}"] = size
            upper, lower = (target, source) if n in self.reversed else (source, target)
            if source == target:
                edges.append((f"b:{source}", f"l:{n}"))
                self.chains.append([f"b:{source}", f"l:{n}"])
            else:
                edges += [(f"b:{upper}", f"l:{n}"), (f"l:{n}", f"b:{lower}")]
                self.chains.append([f"b:{upper}", f"l:{n}", f"b:{lower}"])
        self.layer = _layers(self.sizes, edges)

    def nodes_n(self) -> int:
        """Count boxes and words, and the bends that there would be."""
        pairs = itertools.chain.from_iterable(itertools.pairwise(chain) for chain in self.chains)
        return len(self.sizes) + sum(self.layer[two] - self.layer[one] - 1 for one, two in pairs)

    def bend(self) -> None:
        """Give a line that passes layers a bend in each, so that boxes make room for it."""
        for n, chain in enumerate(self.chains):
            full = [chain[0]]
            for one, two in itertools.pairwise(chain):
                for level in range(self.layer[one] + 1, self.layer[two]):
                    bend = f"d:{n}:{level}"
                    self.sizes[bend] = Size(12.0, 4.0)
                    self.layer[bend] = level
                    full.append(bend)
                full.append(two)
            self.chains[n] = full

    def neighbours(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        up: dict[str, list[str]] = {node: [] for node in self.sizes}
        down: dict[str, list[str]] = {node: [] for node in self.sizes}
        for chain in self.chains:
            for one, two in itertools.pairwise(chain):
                down[one].append(two)
                up[two].append(one)
        return up, down


def place(boxes: dict[str, Size], lines: list[tuple[str, str, Size]], start: str) -> Placed | None:
    """Lay out a diagram; the box called *start* comes first. None where it has more than MAX_NODES_N."""
    graph = _Graph(boxes, lines, start)
    if graph.nodes_n() > MAX_NODES_N:
        return None
    graph.bend()
    up, down = graph.neighbours()
    layers: list[list[str]] = [[] for _ in range(max(graph.layer.values(), default=0) + 1)]
    for node in graph.sizes:
        layers[graph.layer[node]].append(node)
    _order(layers, up, down)
    x = _straighten(layers, up, down, graph.sizes)
    y, top = {}, 10.0
    for layer in layers:
        height = max((graph.sizes[node].height for node in layer), default=0.0)
        for node in layer:
            y[node] = top + height / 2
            if node.startswith("d:"):  # a bend goes straight past the boxes of its layer
                graph.sizes[node] = Size(graph.sizes[node].width, height)
        top += height + LAYER_GAP
    left = min((x[node] - graph.sizes[node].width / 2 for node in x), default=0.0) - 10
    spots = {node: Spot(x[node] - left, y[node], *graph.sizes[node]) for node in graph.sizes}
    width = max((spot.x + spot.width / 2 for spot in spots.values()), default=0.0) + 10
    ends = _ends(graph.chains, spots)
    paths = [_path(n, chain, spots, ends, backward=n in graph.reversed) for n, chain in enumerate(graph.chains)]
    placed = {node.removeprefix("b:"): spot for node, spot in spots.items() if node.startswith("b:")}
    return Placed(width, top - LAYER_GAP + 10, placed, tuple(paths))


def _ends(chains: list[list[str]], spots: dict[str, Spot]) -> dict[tuple[int, bool], float]:
    """Return where along its box each line begins and ends: in the order of where the lines go, and apart."""
    sides: dict[tuple[str, bool], list[tuple[float, int, bool]]] = {}
    for n, chain in enumerate(chains):
        sides.setdefault((chain[0], False), []).append((spots[chain[1]].x, n, True))
        if len(chain) == 2:  # to itself: both ends below
            sides[chain[0], False].append((spots[chain[1]].x + 1, n, False))
        else:
            sides.setdefault((chain[-1], True), []).append((spots[chain[-2]].x, n, False))
    found: dict[tuple[int, bool], float] = {}
    for (box, _), lines in sides.items():
        lines.sort()
        gap = min(22.0, (spots[box].width - 28) / max(1, len(lines) - 1))
        wanted = [_within(x, spots[box]) for x, _, _ in lines]
        for n in range(1, len(wanted)):
            wanted[n] = max(wanted[n], wanted[n - 1] + gap)
        over = wanted[-1] - (spots[box].x + spots[box].width / 2 - 14)
        if over > 0:
            wanted[-1] -= over
            for n in range(len(wanted) - 2, -1, -1):
                wanted[n] = min(wanted[n], wanted[n + 1] - gap)
        found |= {(n, first): x for (_, n, first), x in zip(lines, wanted, strict=True)}
    return found


def _path(
    n: int, chain: list[str], spots: dict[str, Spot], ends: dict[tuple[int, bool], float], *, backward: bool
) -> Path:
    label = spots[f"l:{n}"]
    if len(chain) == 2:  # to itself
        foot, top = spots[chain[0]].y + spots[chain[0]].height / 2, label.y - label.height / 2
        return Path(((ends[n, True], foot), (label.x - 9, top), (label.x + 9, top), (ends[n, False], foot)), label)
    points: list[tuple[float, float]] = []
    for node in chain:
        spot = spots[node]
        if node != chain[0]:
            points.append((spot.x, spot.y - spot.height / 2))
        if node != chain[-1]:
            points.append((spot.x, spot.y + spot.height / 2))
    points[0] = (ends[n, True], points[0][1])
    points[-1] = (ends[n, False], points[-1][1])
    return Path(tuple(reversed(points) if backward else points), label)


def _within(x: float, spot: Spot) -> float:
    half = max(0.0, spot.width / 2 - 14)
    return min(max(x, spot.x - half), spot.x + half)


def _backward(names: list[str], edges: list[tuple[str, str]], start: str) -> set[int]:
    """Return the lines that lead back up: those that close a circle, seen from *start*."""
    out: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for n, (source, target) in enumerate(edges):
        if source != target:
            out[source].append((n, target))
    state: dict[str, int] = {}
    back: set[int] = set()
    for root in [start, *names]:
        if root in state or root not in out:
            continue
        stack = [(root, iter(out[root]))]
        state[root] = 1
        while stack:
            name, following = stack[-1]
            step = next(following, None)
            if step is None:
                state[name] = 2
                stack.pop()
            elif state.get(step[1]) == 1:
                back.add(step[0])
            elif step[1] not in state:
                state[step[1]] = 1
                stack.append((step[1], iter(out[step[1]])))
    return back


def _layers(nodes: Iterable[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """Put each node below everything that leads to it."""
    below: dict[str, list[str]] = {node: [] for node in nodes}
    above_n = dict.fromkeys(below, 0)
    for one, two in edges:
        below[one].append(two)
        above_n[two] += 1
    layer = dict.fromkeys(below, 0)
    ready = [node for node, n in above_n.items() if n == 0]
    while ready:
        one = ready.pop()
        for two in below[one]:
            layer[two] = max(layer[two], layer[one] + 1)
            above_n[two] -= 1
            if above_n[two] == 0:
                ready.append(two)
    return layer


def _order(layers: list[list[str]], up: dict[str, list[str]], down: dict[str, list[str]]) -> None:
    """Sort each layer by where its neighbours are, up and down in turn."""
    for sweep in range(_SWEEPS_N):
        going_down = sweep % 2 == 0
        for n in range(1, len(layers)) if going_down else range(len(layers) - 2, -1, -1):
            fixed = {node: i for i, node in enumerate(layers[n - 1 if going_down else n + 1])}
            near = up if going_down else down
            at = {node: i for i, node in enumerate(layers[n])}

            def mean(node: str, near: dict[str, list[str]] = near, fixed: dict[str, int] = fixed,
                     at: dict[str, int] = at) -> float:  # fmt: skip
                places = [fixed[other] for other in near[node] if other in fixed]
                return sum(places) / len(places) if places else float(at[node])

            layers[n].sort(key=mean)


def _straighten(
    layers: list[list[str]], up: dict[str, list[str]], down: dict[str, list[str]], sizes: dict[str, Size]
) -> dict[str, float]:
    """Move each node towards its neighbours as far as its own layer lets it."""
    x: dict[str, float] = {}
    for layer in layers:
        edge = 0.0
        for node in layer:
            x[node] = edge + sizes[node].width / 2
            edge += sizes[node].width + NODE_GAP
    widest = max((x[layer[-1]] + sizes[layer[-1]].width / 2 for layer in layers if layer), default=0.0)
    for layer in layers:
        if layer:
            shift = (widest - x[layer[-1]] - sizes[layer[-1]].width / 2) / 2
            for node in layer:
                x[node] += shift
    for turn in range(_SHIFTS_N):
        for layer in layers if turn % 2 == 0 else layers[::-1]:
            near = {node: [x[other] for other in (*up[node], *down[node])] for node in layer}
            wanted = [sum(near[node]) / len(near[node]) if near[node] else x[node] for node in layer]
            x |= dict(zip(layer, _spread(layer, wanted, sizes), strict=True))
    return x


def _spread(layer: list[str], wanted: list[float], sizes: dict[str, Size]) -> list[float]:
    """Return places near those wanted, in the same order and without an overlap: the mean of pushing right and left."""
    gaps = [(sizes[one].width + sizes[two].width) / 2 + NODE_GAP for one, two in itertools.pairwise(layer)]
    right, left = list(wanted), list(wanted)
    for n, gap in enumerate(gaps):
        right[n + 1] = max(right[n + 1], right[n] + gap)
    for n in range(len(gaps) - 1, -1, -1):
        left[n] = min(left[n], left[n + 1] - gaps[n])
    return [(one + two) / 2 for one, two in zip(right, left, strict=True)]
