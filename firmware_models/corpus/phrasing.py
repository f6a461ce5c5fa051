"""Ways to wrap a command, from `data/phrasing.txt`."""

import random
import re
from typing import Final

from firmware_models.corpus import inflect
from firmware_models.corpus.lexicon import lines
from firmware_models.corpus.pattern import Piece

Families = dict[str, tuple[str, ...]]


def _tables() -> dict[str, Families]:
    tables: dict[str, Families] = {}
    family: list[str] = []
    for line in [*lines("phrasing.txt"), "@end -"]:
        if line.startswith("@"):
            if family:
                kind, name = family[0][1:].split(" ")
                tables.setdefault(kind, {})[name] = tuple(family[1:])
            family = [line]
        else:
            family.append(line)
    return tables


_TABLES: Final = _tables()
POSITIVE: Final = _TABLES["positive"]
"""Families of wrapped commands that mean the command."""
HELD_OUT: Final = frozenset({"appreciative", "radio", "going_ahead", "reported_wish"})
"""Families that only development rows use."""
NEGATIVE: Final = _TABLES["negative"]
"""Families that say the opposite."""
NEGATIVE_HELD_OUT: Final = frozenset({"must_not", "later_not_now"})
"""Negative families that only development rows use."""
QUESTION: Final = _TABLES["question"]
"""Families that ask about a command."""
REPORTED: Final = _TABLES["reported"]
"""Families that quote a command, tell of it or suppose it."""
_MARK: Final = re.compile(r"\{([CGP])\}")


def wrap(template: str, clause: list[Piece], chance: random.Random) -> list[Piece] | None:
    """Put *clause*, which starts with a base verb, into *template*; None when its first words are a value."""
    before, form, after = _MARK.split(template, maxsplit=1)
    first = clause[0]
    if form in "GP":
        if first.slot is not None and not isinstance(first.value, str | bool):
            return None
        lead = first.text.lstrip()
        clause = [first._replace(text=inflect.gerund(lead) if form == "G" else inflect.past(lead)), *clause[1:]]
    out = [Piece(before)] if before else []
    out.extend(clause)
    if after:
        out.append(Piece(after))
    return out
