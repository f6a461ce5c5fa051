"""Rows that do not act: negated, incomplete, out of range, unrelated, near misses, questions and reports."""

import random
from collections.abc import Mapping
from typing import Final

from firmware_models.corpus import catalogues, clauses, moments, phrasing
from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.lexicon import chatter
from firmware_models.corpus.maker import Maker, Row
from firmware_models.corpus.pattern import Piece

_ALL_KNOWING: Final = frozenset(
    {"search", "define", "news", "sports", "weather", "translate", "calc", "play", "message", "note"}
)
"""What these can be asked has no bounds, so they stand in no catalogue that is to fit nothing."""


def negated(maker: Maker, chance: random.Random) -> list[Row]:
    """What must not be done; half of the time with its twin that must."""
    rendered = maker.catalogue(chance, [maker.world.target(chance)], catalogues.size(chance))
    now = moments.present(chance)
    clause = clauses.speak(rendered[0], chance, now, manner="command")
    name, forms = chance.choice(maker.families.negative)
    pieces = maker.shaped(chance.choice(forms), clause, chance)
    seed = chance.random()
    rows = [maker.row(random.Random(seed), rendered, [], pieces, f"negated_{name}", "negated", "refuse", now)]
    if chance.random() < 0.5:
        # The same words without the negation, so that nothing but the negation tells them apart.
        wrapped, family = maker.wrap(clause, chance)
        rows.append(maker.row(random.Random(seed), rendered, [clause], wrapped, family, "call", "call", now))
    return rows


def missing(maker: Maker, chance: random.Random) -> list[Row]:
    """A call that lacks a required value, now and then with its complete twin."""
    for _ in range(12):
        concept = maker.world.target(chance)
        slots = [
            p.slot
            for p in concept.parameters
            if p.required and (any(s == p.slot for s, _ in concept.missing) or chance.random() < 0.1)
        ]
        if slots:
            break
    else:
        return []
    rendered = maker.catalogue(chance, [concept], catalogues.size(chance))
    now = moments.present(chance)
    clause = clauses.speak(rendered[0], chance, now, missing=chance.choice(slots), manner="command")
    pieces, family = maker.wrap(clause, chance)
    rows = [maker.row(chance, rendered, [clause], pieces, family, "missing", "ask", now)]
    if chance.random() < 0.25:
        full = clauses.speak(rendered[0], chance, now)
        pieces, family = maker.wrap(full, chance)
        rows.append(maker.row(chance, rendered, [full], pieces, family, "call", "call", now))
    return rows


def beyond(maker: Maker, chance: random.Random) -> list[Row]:
    """A value outside the bounds of its parameter."""
    for _ in range(20):
        concept = maker.world.target(chance)
        if not any(p.kind.startswith(("num", "quantity")) and p.required for p in concept.parameters):
            continue
        rendered = maker.catalogue(chance, [concept], catalogues.size(chance))
        slots = [s for s, f in rendered[0].fields.items() if f.beyond]
        if slots:
            break
    else:
        return []
    now = moments.present(chance)
    clause = clauses.speak(rendered[0], chance, now, beyond=chance.choice(slots))
    pieces, family = maker.wrap(clause, chance)
    return [maker.row(chance, rendered, [clause], pieces, family, "out_of_range", "refuse", now)]


def unrelated(maker: Maker, chance: random.Random) -> list[Row]:
    """Talk that asks for nothing."""
    chosen = catalogues.fill(maker.world, [maker.world.target(chance)], catalogues.size(chance), chance)
    rendered = catalogues.declare([c for c in chosen if c.kin not in _ALL_KNOWING], chance)
    if not rendered:
        return []
    pieces = [Piece(chance.choice(chatter()))]
    return [maker.row(chance, rendered, [], pieces, "chatter", "unrelated", "refuse", moments.present(chance))]


def near_miss(maker: Maker, chance: random.Random) -> list[Row]:
    """A request that no tool of the catalogue fits."""
    return unmet(maker, chance, catalogues.size(chance), "near_miss")


def unmet(maker: Maker, chance: random.Random, count: int, kind: str) -> list[Row]:
    """A row whose request fits none of its *count* tools."""
    concept = maker.world.target(chance)
    offered: list[Concept] = []
    for _ in range(count * 6):
        if len(offered) >= count:
            break
        twin = maker.world.twin(chance, concept) if not offered and chance.random() < 0.75 else None
        candidate = twin or maker.world.other(chance, concept)
        if candidate.kin in _ALL_KNOWING:
            continue
        if catalogues.together(candidate, concept) and all(catalogues.together(candidate, c) for c in offered):
            offered.append(candidate)
    if not offered:
        return []
    rendered = catalogues.declare([concept, *offered], chance)
    now = moments.present(chance)
    clause = clauses.speak(rendered[0], chance, now)
    pieces, family = maker.wrap(clause, chance)
    return [maker.row(chance, rendered[1:], [], pieces, family, kind, "refuse", now)]


def question(maker: Maker, chance: random.Random) -> list[Row]:
    """Questions about doing instead of commands."""
    return _spoken_of(maker, chance, phrasing.QUESTION, "question", {"read", "status", "stock", "search"})


def quoted(maker: Maker, chance: random.Random) -> list[Row]:
    """Commands that are quoted, past or supposed."""
    return _spoken_of(maker, chance, phrasing.REPORTED, "quoted", {"message", "note", "reminder"})


def _spoken_of(
    maker: Maker, chance: random.Random, table: Mapping[str, tuple[str, ...]], kind: str, avoided: set[str]
) -> list[Row]:
    concept = maker.world.target(chance)
    chosen = [
        c for c in catalogues.fill(maker.world, [concept], catalogues.size(chance), chance) if c.kin not in avoided
    ]
    if concept.kin in avoided or not chosen:
        return []
    rendered = catalogues.declare(chosen, chance)
    now = moments.present(chance)
    clause = clauses.speak(rendered[0], chance, now, manner="command")
    name = chance.choice(list(table))
    pieces = maker.shaped(chance.choice(table[name]), clause, chance)
    return [maker.row(chance, rendered, [], pieces, name, kind, "refuse", now)]
