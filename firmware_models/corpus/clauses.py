"""A declared tool to the words that ask for it."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.pattern import Piece, Sequence, expand
from firmware_models.corpus.styles import Rendered

_CORRECTIONS: Final = (
    ", no, ",
    ", sorry, ",
    ", I mean ",
    " no wait ",
    ", rather ",
    " - no, ",
    ", make that ",
    " or rather ",
)
_CONTRASTS: Final = (", not ", ", not the ", " and not the ", " but not the ", " instead of the ")
_CONTRASTED: Final = frozenset({"things", "places", "items", "open", "lock"})
_CORRECTABLE: Final = (
    "quantity",
    "dur",
    "time",
    "date",
    "count",
    "num",
    "things",
    "places",
    "person",
    "options",
    "items",
    "open",
    "lock",
    "progs",
)


class NoWords(Exception):
    """The concept has no pattern for what was to be said."""


class Clause:
    """A call in words."""

    def __init__(
        self,
        rendered: Rendered,
        pieces: list[Piece],
        front: list[Piece],
        manner: str,
        pattern: Sequence,
        say: frozenset[str],
    ) -> None:
        """Keep the words and how they came about."""
        self.rendered = rendered
        self.pieces = pieces
        self.front = front
        self.manner = manner
        self.pattern = pattern
        self.say = say


def speak(
    rendered: Rendered,
    chance: random.Random,
    now: datetime,
    call: int = 0,
    missing: str | None = None,
    manner: str | None = None,
    fixed: Mapping[str, list[Piece]] | None = None,
    beyond: str | None = None,
    correct: float = 0.0,
) -> Clause:
    """Choose words for a call of *rendered*.

    Args:
        missing: the required slot that is to stay unsaid.
        manner: "command", "terse", "wish" or "question"; chosen when not given.
        fixed: words of some slots.
        beyond: the slot whose value is to be out of its bounds.
        correct: how often a value is first said wrongly.

    Raises:
        NoWords: no pattern fits.
    """
    concept = rendered.concept
    required = frozenset(p.slot for p in concept.parameters if p.required) - ({missing} if missing else frozenset())
    optional = [s for s in rendered.fields if s not in required and s != missing]
    extra = [s for s in optional if chance.random() < 0.4]
    allowed = required | frozenset(extra)
    wanted = required | ({beyond} if beyond else frozenset())
    for _ in range(8):
        chosen_manner = manner or _manner(concept, chance)
        patterns = _patterns(concept, chosen_manner, missing)
        if not patterns:
            raise NoWords(chosen_manner)
        pattern = chance.choice(patterns)
        if (
            wanted <= pattern.can
            and pattern.must <= allowed | wanted
            and (missing is None or missing not in pattern.must)
        ):
            break
    else:
        raise NoWords(concept.key)
    say = pattern.can & (allowed | wanted)

    def words(slot: str) -> list[Piece]:
        if fixed and slot in fixed:
            return fixed[slot]
        return said(rendered, slot, chance, now, call, beyond=slot == beyond, correct=correct)

    pieces, front = expand(pattern, chance, say, words)
    pieces = [settle(p, rendered, call) for p in pieces]
    front = [settle(p, rendered, call) for p in front]
    return Clause(rendered, pieces, front, chosen_manner, pattern, say)


def settle(piece: Piece, rendered: Rendered, call: int) -> Piece:
    """Give a literal piece its call, and the declared value where its words say one.

    Raises:
        NoWords: the declared options lack that value.
    """
    if piece.call is not None:
        return piece
    if piece.slot is None or not isinstance(piece.value, str):
        return piece._replace(call=call)
    literals = rendered.fields[piece.slot].literals if piece.slot in rendered.fields else {}
    if piece.value not in literals:
        raise NoWords(piece.slot)
    return piece._replace(call=call, value=literals[piece.value], verbal=True)


def said(
    rendered: Rendered,
    slot: str,
    chance: random.Random,
    now: datetime,
    call: int,
    *,
    beyond: bool = False,
    correct: float = 0.0,
) -> list[Piece]:
    """Words for a value of *slot*."""
    field = rendered.fields[slot]
    if beyond and field.beyond is not None:
        text, value = field.beyond(chance)
        return [Piece(text, slot, value, call)]
    items = field.say(chance, now)
    if not items:
        raise NoWords(slot)
    if len(items) == 1:
        text, value = items[0]
        pieces = [Piece(text, slot, value, call, field.free)]
        if correct and chance.random() < correct and rendered.concept.parameter(slot).kind.startswith(_CORRECTABLE):
            wrong = field.say(chance, now)[0][0]
            if wrong != text:
                if chance.random() < 0.35 and rendered.concept.parameter(slot).kind in _CONTRASTED:
                    pieces = [*pieces, Piece(f"{chance.choice(_CONTRASTS)}{wrong}", None, None, -1)]
                else:
                    pieces = [Piece(f"{wrong}{chance.choice(_CORRECTIONS)}", None, None, -1), *pieces]
        return pieces
    comma = chance.random() < 0.25
    pieces = []
    for at, (text, value) in enumerate(items):
        if at:
            last = at == len(items) - 1
            joint = (
                " and "
                if last and not comma
                else ", and "
                if last and chance.random() < 0.5
                else ", "
                if not last or comma
                else " and "
            )
            pieces.append(Piece(joint, None, None, -1))
        pieces.append(Piece(text, slot, value, call, field.free))
    return pieces


def _manner(concept: Concept, chance: random.Random) -> str:
    manners = [("command", 76.0)]
    if concept.terse:
        manners.append(("terse", 12.0))
    if concept.wishes:
        manners.append(("wish", 9.0))
    if concept.questions:
        manners.append(("question", 40.0))
    return chance.choices([m for m, _ in manners], [w for _, w in manners])[0]


def _patterns(concept: Concept, manner: str, missing: str | None) -> list[Sequence]:
    if missing is not None:
        special = [pattern for slot, pattern in concept.missing if slot == missing]
        if special:
            return special
    return list(
        {"command": concept.commands, "terse": concept.terse, "wish": concept.wishes, "question": concept.questions}[
            manner
        ]
    )
