"""The steps that every kind of row shares: a catalogue, a wrapped clause, the finished row."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from firmware_models.corpus import catalogues, noise, phrasing, requests
from firmware_models.corpus.catalogues import World
from firmware_models.corpus.clauses import Clause, NoWords
from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.pattern import Piece
from firmware_models.corpus.styles import Rendered

Row = dict[str, Any]


class Families:
    """The phrasing families that a split may use."""

    def __init__(self, *, held_out: bool | None) -> None:
        """Take the known families, with True the held-out ones, with None all."""
        self.positive = _pick(phrasing.POSITIVE, phrasing.HELD_OUT, held_out=held_out)
        self.negative = _pick(phrasing.NEGATIVE, phrasing.NEGATIVE_HELD_OUT, held_out=held_out)


def _pick(
    table: Mapping[str, tuple[str, ...]], held: frozenset[str], *, held_out: bool | None
) -> list[tuple[str, tuple[str, ...]]]:
    return [(name, forms) for name, forms in table.items() if held_out is None or (name in held) == held_out]


class Maker:
    """Holds what rows are made of."""

    def __init__(self, world: World, families: Families) -> None:
        self.world = world
        self.families = families

    def catalogue(self, chance: random.Random, wanted: list[Concept], count: int) -> list[Rendered]:
        """Declare *wanted* and others until there are *count* tools."""
        return catalogues.declare(catalogues.fill(self.world, wanted, count, chance), chance)

    def wrap(self, clause: Clause, chance: random.Random, *, plain_tail: bool = False) -> tuple[list[Piece], str]:
        """Put *clause* into a phrasing; gives its family too. With *plain_tail*, more words can follow."""
        if clause.manner in {"terse", "wish", "question"}:
            pieces = [*clause.front, Piece(", "), *clause.pieces] if clause.front else list(clause.pieces)
            if clause.manner == "question" and chance.random() < 0.6:
                pieces.append(Piece("?"))
            return pieces, clause.manner
        known = self.families.positive
        for _ in range(6):
            plain = [f for f in known if f[0] == "plain"]
            name, forms = plain[0] if plain and chance.random() < 0.3 else chance.choice(known)
            form = chance.choice(forms)
            if plain_tail or (clause.pieces[-1].free and chance.random() < 0.8):
                if form.partition("}")[2].strip(" ?.!"):
                    continue
                form = form.rstrip("?.!") if plain_tail else form
            if plain_tail and "{C}" not in form:
                continue
            wrapped = phrasing.wrap(form, clause.pieces, chance)
            if wrapped is not None:
                return ([*clause.front, Piece(", "), *wrapped] if clause.front else wrapped), name
        return fronted(clause), "plain"

    def shaped(self, form: str, clause: Clause, chance: random.Random) -> list[Piece]:
        """Put *clause* into *form*, with its adjunct in front."""
        wrapped = phrasing.wrap(form, clause.pieces, chance)
        if wrapped is None:
            raise NoWords(form)
        return [*clause.front, Piece(", "), *wrapped] if clause.front else wrapped

    def row(
        self,
        chance: random.Random,
        rendered: list[Rendered],
        said: list[Clause],
        pieces: list[Piece],
        family: str,
        kind: str,
        expect: str,
        now: datetime,
    ) -> Row:
        """Write the row: noise, text, spans and anchors."""
        noisy, habit = noise.apply(pieces, chance)
        text, placed = requests.join(noisy)
        where = requests.anchors(text, placed)
        calls = []
        for at, clause in enumerate(said):
            tool = clause.rendered
            lists = {slot for slot, f in tool.fields.items() if f.schema.get("type") == "array"}
            arguments = requests.arguments(text, placed, at, tool.names, lists)
            call = {"name": tool.tool["name"], "arguments": arguments}
            if at in where:
                call["anchor"] = list(where[at])
            calls.append(call)
        relative = any(f.relative for tool in rendered for f in tool.fields.values())
        tools = [tool.tool for tool in rendered]
        chance.shuffle(tools)
        concept = rendered[0].concept
        return {
            "id": "",
            "source": "generated",
            "family": concept.domain,
            "phrasing": family,
            "habit": habit,
            "kind": kind,
            "request": text,
            "now": now.isoformat() if relative or chance.random() < 0.15 else None,
            "tools": tools,
            "calls": calls,
            "expect": expect,
        }


def fronted(clause: Clause) -> list[Piece]:
    """The words of *clause* with its adjunct in front."""
    return [*clause.front, Piece(", "), *clause.pieces] if clause.front else list(clause.pieces)
