"""Can these guards hold at once? Answered by trying every kind of value that can make a difference to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from appliance.policy.workflow import expression
from appliance.policy.workflow.expression import Asked, Node, Value
from appliance.policy.workflow.language import Measure

MAX_TRIED_N = 20_000

Values = dict[str, Value | None]


def example(nodes: Iterable[Node], measures: Mapping[str, Measure]) -> Values | None:
    """Return measurements under which all of *nodes* hold; None where there are none, or too many to try."""
    wanted = tuple(nodes)
    for values in worlds(wanted, measures):
        if all(node.truth(looking(values), []) is True for node in wanted):
            return values
    return None


def worlds(nodes: Iterable[Node], measures: Mapping[str, Measure], *, most_n: int = MAX_TRIED_N) -> Iterator[Values]:
    """Yield measurements that differ for *nodes*: each boundary, its two sides, and no measurement at all."""
    wanted = tuple(nodes)
    names = sorted({name for node in wanted for name in expression.names(node)})
    choices = [tuple(points(name, wanted, measures)) for name in names]
    if math.prod(len(choice) for choice in choices) > most_n:
        return
    for values in itertools.product(*choices):
        yield dict(zip(names, values, strict=True))


def points(name: str, nodes: tuple[Node, ...], measures: Mapping[str, Measure]) -> Iterator[Value | None]:
    """Yield the values of one measure between which the answer of a guard can change, and None."""
    measure = measures[name]
    yield None
    if measure.type == "boolean":
        yield from (False, True)
        return
    if measure.type == "word":
        yield from measure.words
        return
    # A measure that is compared with another one meets the other's boundaries too.
    bounds = sorted({float(value) for node in nodes for _, value in expression.literals(node) if _is_number(value)})
    low, high = measure.between or (min(bounds, default=0.0) - 1, max(bounds, default=0.0) + 1)
    if measure.between is None and not bounds:
        low, high = 0.0, 1.0
    inner = [b for b in bounds if low <= b <= high]
    edges = sorted({low, *inner, high})
    yield from edges
    yield from ((one + other) / 2 for one, other in itertools.pairwise(edges))


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def looking(values: Values) -> expression.Look:
    """Return how guards look at *values*."""
    return lambda name: Asked(name, values[name])
