"""Seeds to rows of every kind."""

import random
from collections.abc import Callable, Iterator
from typing import Final

from firmware_models.corpus import acting, refusing, repeating
from firmware_models.corpus.catalogues import World
from firmware_models.corpus.clauses import NoWords
from firmware_models.corpus.maker import Families, Maker, Row


def one_tool(maker: Maker, chance: random.Random) -> list[Row]:
    """A catalogue of one tool, which fits in half of the rows."""
    if chance.random() < 0.5:
        return [acting.acting(maker, chance, 1, "one_tool")]
    return refusing.unmet(maker, chance, 1, "one_tool")


KINDS: Final[tuple[tuple[Callable[[Maker, random.Random], list[Row]], int], ...]] = (
    (acting.call, 34),
    (acting.multi, 11),
    (acting.pronoun, 2),
    (repeating.twice, 12),
    (refusing.negated, 8),
    (acting.mixed, 3),
    (refusing.missing, 15),
    (refusing.beyond, 3),
    (refusing.unrelated, 3),
    (refusing.near_miss, 6),
    (refusing.question, 4),
    (refusing.quoted, 4),
    (one_tool, 4),
)
"""Who makes rows, and how often."""


class Generator:
    """Makes rows from a world of concepts; equal seeds make equal rows."""

    def __init__(self, world: World, families: Families, prefix: str) -> None:
        self._maker = Maker(world, families)
        self._prefix = prefix

    def rows(self, seed: int) -> Iterator[Row]:
        """Yield rows without end."""
        number = 0
        makers, weights = [kind for kind, _ in KINDS], [weight for _, weight in KINDS]
        while True:
            chance = random.Random(f"{self._prefix}/{seed}/{number}")
            make = chance.choices(makers, weights)[0]
            try:
                made = make(self._maker, chance)
            except NoWords:
                made = []
            for at, row in enumerate(made):
                row["id"] = f"{self._prefix}-{seed}-{number}" + (f"-{at}" if at else "")
                yield row
            number += 1
