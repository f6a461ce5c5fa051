"""Rows that call one tool more than once."""

import random
from datetime import datetime
from typing import Final

from firmware_models.corpus import catalogues, clauses, moments
from firmware_models.corpus.acting import JOINTS
from firmware_models.corpus.clauses import Clause, NoWords
from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.maker import Maker, Row, fronted
from firmware_models.corpus.pattern import Piece
from firmware_models.corpus.styles import Rendered

_LISTABLE: Final = frozenset(
    {"things", "open", "lock", "places", "person", "feats", "progs", "items", "room", "sensors", "grocery", "options"}
)


def twice(maker: Maker, chance: random.Random) -> list[Row]:
    """One tool, called twice or more."""
    concept = _with_parameters(maker, chance)
    rendered = maker.catalogue(chance, [concept], catalogues.size(chance))
    now = moments.present(chance)
    target = rendered[0]
    style = chance.random()
    if style < 0.4:
        said, pieces, family = _coordinated(maker, target, chance, now)
    elif style < 0.75:
        said, pieces, family = _elliptic(maker, target, chance, now)
    else:
        said = [clauses.speak(target, chance, now, call=at, manner="command") for at in range(2)]
        pieces, family = maker.wrap(said[0], chance, plain_tail=True)
        pieces += [Piece(chance.choice(JOINTS)), *fronted(said[1])]
    row = maker.row(chance, rendered, said, pieces, family, "same_tool_twice", "call", now)
    arguments = [{k: v["value"] for k, v in call["arguments"].items()} for call in row["calls"]]
    return [row] if all(a != b for i, a in enumerate(arguments) for b in arguments[:i]) else []


def _with_parameters(maker: Maker, chance: random.Random) -> Concept:
    for _ in range(20):
        concept = maker.world.target(chance)
        if any(p.required and not p.kind.startswith(("list", "text")) for p in concept.parameters):
            return concept
    raise NoWords("no concept with parameters")


def _coordinated(
    maker: Maker, target: Rendered, chance: random.Random, now: datetime
) -> tuple[list[Clause], list[Piece], str]:
    """`close A and B`: one verb, the words of one parameter for each call, the others for both."""
    slots = [
        p.slot for p in target.concept.parameters if p.required and _scalar(target, p.slot) and p.kind in _LISTABLE
    ]
    if not slots:
        raise NoWords(target.concept.key)
    slot = slots[0]
    wanted = 3 if chance.random() < 0.15 else 2
    heads: list[Piece] = []
    for _ in range(wanted * 4):
        piece = clauses.said(target, slot, chance, now, len(heads))[0]
        if piece.text.lower() not in {h.text.lower() for h in heads}:
            heads.append(piece)
        if len(heads) == wanted:
            break
    else:
        raise NoWords(slot)
    list_pieces = [heads[0]]
    article = chance.random() < 0.45 and target.concept.parameter(slot).kind in {"things", "open", "lock", "places"}
    for at, head in enumerate(heads[1:], 1):
        joint = " and " if at == wanted - 1 else ", "
        list_pieces += [Piece(joint + ("the " if article else "")), head]
    clause = clauses.speak(target, chance, now, call=0, manner="command", fixed={slot: list_pieces})
    shared = tuple(range(wanted))
    spread = [p._replace(call=shared) if p.slot and p.slot != slot else p for p in clause.pieces]
    clause.front = [p._replace(call=shared) if p.slot else p for p in clause.front]
    joints = {"and", ",", "and the", ", the"}
    clause.pieces = [p if p.slot or p.text.strip() not in joints else p._replace(call=None) for p in spread]
    pieces, family = maker.wrap(clause, chance)
    return [clause] * wanted, pieces, family


def _elliptic(
    maker: Maker, target: Rendered, chance: random.Random, now: datetime
) -> tuple[list[Clause], list[Piece], str]:
    """`set A to 20 and B to 30`: the second clause without its verb."""
    seed = chance.random()
    first = clauses.speak(target, random.Random(seed), now, call=0, manner="command")
    if first.front or len({p.slot for p in first.pieces if p.slot}) < 2:
        raise NoWords(target.concept.key)
    second = []
    for piece in first.pieces:
        if piece.slot is None or _literal(target, piece):
            second.append(piece._replace(call=1))
        elif not second or second[-1].slot != piece.slot:
            second.extend(clauses.said(target, piece.slot, chance, now, 1))
    while second and second[0].slot is None:
        rest = second.pop(0).text
        if rest.endswith("the ") and second:
            second.insert(0, Piece("the ", None, None, 1))
            break
    if not second or any(_literal(target, p) and p.slot for p in second[:1]):
        raise NoWords(target.concept.key)
    pieces, family = maker.wrap(first, chance, plain_tail=True)
    pieces += [Piece(chance.choice((" and ", " and ", ", ", ", and ")))]
    pieces += second
    return [first, first], pieces, family


def _scalar(target: Rendered, slot: str) -> bool:
    return target.fields[slot].schema.get("type") == "string"


def _literal(target: Rendered, piece: Piece) -> bool:
    return (
        piece.slot is not None
        and piece.value in target.fields[piece.slot].literals.values()
        and not target.fields[piece.slot].free
    )
