"""What guards are made of, and how they are answered: true, false or unknown.

Names are measures that the file declares, and guards that it names; nothing that a proposer says can be asked for.
Logic has three values (Kleene): what is not measured is unknown, and only *true* satisfies a guard.

Does not cover: how guards are written (`grammar`), and whether a sensor tells the truth.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["boolean", "number", "word"]
Value = bool | float | str
Truth = bool | None
"""None is unknown."""


class Declared(NamedTuple):
    """What a name stands for."""

    kind: Kind
    unit: str = ""
    words: tuple[str, ...] = ()


class Asked(NamedTuple):
    """One measurement that a guard looked at."""

    name: str
    value: Value | None
    why: str = ""
    """Why there is no value."""


Look = Callable[[str], Asked]
"""Name of a measure to what is measured now."""


class Is(NamedTuple):
    """A boolean measure by itself."""

    name: str

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return what is measured."""
        found = look(self.name)
        seen.append(found)
        return None if found.value is None else bool(found.value)


class Compares(NamedTuple):
    """A measure beside a literal or another measure."""

    name: str
    sign: str
    literal: Value | None
    other: str | None

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Compare; unknown when either side is."""
        one = look(self.name)
        seen.append(one)
        right = self.literal
        if self.other is not None:
            two = look(self.other)
            seen.append(two)
            right = two.value
        if one.value is None or right is None:
            return None
        return bool(SIGNS[self.sign](one.value, right))


class Among(NamedTuple):
    """A measure in a closed set."""

    name: str
    values: tuple[Value, ...]

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return whether it is one of them."""
        found = look(self.name)
        seen.append(found)
        return None if found.value is None else found.value in self.values


class Ranges(NamedTuple):
    """A number between two, ends included; or near another one."""

    name: str
    low: float
    high: float
    around: str | None = None
    """With it, `low` and `high` count from that measure."""

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return whether it is in the range."""
        found = look(self.name)
        seen.append(found)
        middle: Value | None = 0.0
        if self.around is not None:
            other = look(self.around)
            seen.append(other)
            middle = other.value
        if found.value is None or middle is None:
            return None
        return self.low + float(middle) <= float(found.value) <= self.high + float(middle)


class Known(NamedTuple):
    """Whether there is a measurement at all."""

    name: str

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return it; the one claim that is never unknown."""
        found = look(self.name)
        seen.append(found)
        return found.value is not None


class Not(NamedTuple):
    """The contrary; unknown stays unknown."""

    of: Any

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return the contrary."""
        found: Truth = self.of.truth(look, seen)
        return None if found is None else not found


class Both(NamedTuple):
    """All of them."""

    of: tuple[Any, ...]

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return false if one is, else unknown if one is; every part is asked, so that the record shows them all."""
        found = [part.truth(look, seen) for part in self.of]
        return False if False in found else None if None in found else True


class Either(NamedTuple):
    """At least one of them."""

    of: tuple[Any, ...]

    def truth(self, look: Look, seen: list[Asked]) -> Truth:
        """Return true if one is, else unknown if one is."""
        found = [part.truth(look, seen) for part in self.of]
        return True if True in found else None if None in found else False


Node = Is | Compares | Among | Ranges | Known | Not | Both | Either


class Guard(NamedTuple):
    """A guard as it is asked at run time."""

    text: str
    node: Node


SIGNS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def satisfied(guard: Guard, look: Look) -> tuple[Truth, tuple[Asked, ...]]:
    """Ask *guard*; every measurement that it looked at comes back with the answer, each once."""
    seen: list[Asked] = []
    found = guard.node.truth(look, seen)
    return found, tuple(dict.fromkeys(seen))


def names(node: Node) -> frozenset[str]:
    """Return the measures that *node* asks for."""
    match node:
        case Not(of=inner):
            return names(inner)
        case Both(of=parts) | Either(of=parts):
            return frozenset().union(*map(names, parts))
        case Compares(name=name, other=other):
            return frozenset({name, other} - {None})  # type: ignore[arg-type]  # the None is taken out
        case Ranges(name=name, around=around):
            return frozenset({name, around} - {None})  # type: ignore[arg-type]  # the None is taken out
        case _:
            return frozenset({node.name})


def literals(node: Node) -> Iterator[tuple[str, Value]]:
    """Yield every value that *node* compares a measure with: where its answer can change."""
    match node:
        case Not(of=inner):
            yield from literals(inner)
        case Both(of=parts) | Either(of=parts):
            for part in parts:
                yield from literals(part)
        case Compares(name=name, literal=literal) if literal is not None:
            yield name, literal
        case Among(name=name, values=values):
            yield from ((name, value) for value in values)
        case Ranges(name=name, low=low, high=high, around=None):
            yield name, low
            yield name, high
        case _:
            pass
