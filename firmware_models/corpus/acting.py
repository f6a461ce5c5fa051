"""Rows that act: one call, several, one tool twice, and a wish beside a ban."""

import random
import re
from typing import Final

from firmware_models.corpus import catalogues, clauses, moments, phrasing
from firmware_models.corpus.maker import Maker, Row, fronted
from firmware_models.corpus.pattern import Piece

BOTH: Final = (0, 1)
"""Words that belong to the first and to the second call."""
JOINTS: Final = (
    " and ",
    " and ",
    " and then ",
    ", then ",
    ", and ",
    " and also ",
    "; ",
    ". then ",
    ", after that ",
    " and please ",
    " then ",
    " plus ",
    ", ",
)
_SPLIT_VERB: Final = re.compile(r"\b(?:on|off|up|down|out) it\b", re.IGNORECASE)
"""Nobody says "turn off it"."""


def call(maker: Maker, chance: random.Random) -> list[Row]:
    """One call."""
    return [acting(maker, chance, catalogues.size(chance), "call")]


def acting(maker: Maker, chance: random.Random, count: int, kind: str) -> Row:
    """A row with one call among *count* tools."""
    rendered = maker.catalogue(chance, [maker.world.target(chance)], count)
    now = moments.present(chance)
    correct = 0.25 if chance.random() < 0.15 else 0.0
    clause = clauses.speak(rendered[0], chance, now, correct=correct)
    pieces, family = maker.wrap(clause, chance)
    return maker.row(chance, rendered, [clause], pieces, family, kind, "call", now)


def multi(maker: Maker, chance: random.Random) -> list[Row]:
    """Two or three calls of different tools."""
    wanted = 3 if chance.random() < 0.15 else 2
    first = maker.world.target(chance)
    chosen = catalogues.fill(maker.world, [first], wanted, chance)
    if len(chosen) < wanted:
        return []
    rendered = maker.catalogue(chance, chosen, max(wanted, catalogues.size(chance)))
    now = moments.present(chance)
    order = list(range(wanted))
    chance.shuffle(order)
    manner = "terse" if chance.random() < 0.08 else "command"
    said = [clauses.speak(rendered[tool], chance, now, call=at, manner=manner) for at, tool in enumerate(order)]
    pieces, family = maker.wrap(said[0], chance, plain_tail=True)
    for clause in said[1:]:
        pieces.append(Piece(chance.choice(JOINTS)))
        pieces.extend(fronted(clause))
    return [maker.row(chance, rendered, said, pieces, family, "multi", "call", now)]


def pronoun(maker: Maker, chance: random.Random) -> list[Row]:
    """`start the fan and set it to three`: the second clause names its device by "it"."""
    first = maker.world.target(chance)
    second = maker.world.other(chance, first)
    if not all(any(p.slot == "device" and p.kind == "things" for p in c.parameters) for c in (first, second)):
        return []
    if first.domain != second.domain or not catalogues.together(first, second):
        return []
    rendered = maker.catalogue(chance, [first, second], max(2, catalogues.size(chance)))
    if not all(tool.fields["device"].free for tool in rendered[:2]):
        return []
    now = moments.present(chance)
    named = [clauses.said(rendered[0], "device", chance, now, 0)[0]._replace(call=BOTH)]
    one = clauses.speak(rendered[0], chance, now, call=0, manner="command", fixed={"device": named})
    it = [Piece("it", None, None, 1)]
    two = clauses.speak(rendered[1], chance, now, call=1, manner="command", fixed={"device": it})
    pieces, family = maker.wrap(one, chance, plain_tail=True)
    pieces += [Piece(chance.choice((" and ", " and then ", ", then "))), *fronted(two)]
    row = maker.row(chance, rendered, [one, two], pieces, family, "multi", "call", now)
    return [] if _SPLIT_VERB.search(row["request"]) else [row]


def mixed(maker: Maker, chance: random.Random) -> list[Row]:
    """One clause that is meant and one that is not."""
    chosen = catalogues.fill(maker.world, [maker.world.target(chance)], 2, chance)
    if len(chosen) < 2:
        return []
    rendered = maker.catalogue(chance, chosen, max(2, catalogues.size(chance)))
    now = moments.present(chance)
    wanted = clauses.speak(rendered[0], chance, now, manner="command")
    other = clauses.speak(rendered[1], chance, now, call=9, manner="command")
    unwanted = [p._replace(slot=None, call=None) for p in fronted(other)]
    form = chance.choice(
        (
            " but don't {C}",
            " but do not {C}",
            ", don't {C}",
            " and don't {C}",
            " without {G}",
            " instead of {G}",
            ", but please do not {C}",
            " rather than {G}",
            ", no need to {C} though",
        )
    )
    tail = phrasing.wrap(form, unwanted, chance)
    lead = phrasing.wrap(
        chance.choice(
            (
                "don't {C}, ",
                "do not {C} but ",
                "instead of {G}, ",
                "no need to {C}, just ",
                "rather than {G}, ",
                "never mind {G}, ",
            )
        ),
        unwanted,
        chance,
    )
    body = fronted(wanted)
    if tail is None or lead is None:
        return []
    pieces = body + tail if chance.random() < 0.55 else lead + body
    return [maker.row(chance, rendered, [wanted], pieces, "mixed_polarity", "call", "call", now)]
