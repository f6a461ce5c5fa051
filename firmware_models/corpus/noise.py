"""Spelling, speech and typing habits over the pieces of a request."""

import random
from typing import Final

from firmware_models.corpus.pattern import Piece

_FILLERS: Final = ("uh", "um", "er", "uhm", "like", "you know", "erm", "well")
_NEAR: Final = {
    "a": "s",
    "e": "r",
    "i": "o",
    "o": "p",
    "n": "m",
    "t": "r",
    "s": "a",
    "r": "t",
    "l": "k",
    "h": "j",
    "u": "y",
    "c": "v",
    "d": "f",
}


def apply(pieces: list[Piece], chance: random.Random) -> tuple[list[Piece], str]:
    """Make *pieces* look typed or spoken; gives them with the habit's name."""
    habit = chance.choices(("clean", "lower", "typos", "fillers", "telegram"), (52, 27, 8, 8, 5))[0]
    if habit == "clean":
        return _sentence_case(pieces, chance), habit
    if habit == "lower":
        return lower(pieces, chance), habit
    if habit == "typos":
        return typos(lower(pieces, chance) if chance.random() < 0.5 else pieces, chance), habit
    if habit == "fillers":
        return fillers(lower(pieces, chance) if chance.random() < 0.6 else pieces, chance), habit
    return telegram(pieces), habit


def lower(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """Write everything in small letters without punctuation, as a speech recogniser does."""
    bare = chance.random() < 0.35
    out = []
    for piece in pieces:
        text = piece.text.lower()
        if piece.slot is None:
            text = text.replace(".", "").replace("?", "").replace("!", "").replace(",", "")
            if bare:
                text = text.replace("'", "")
        out.append(piece._replace(text=text))
    return out


def _sentence_case(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    if not pieces or chance.random() < 0.35 or pieces[0].free or not pieces[0].text.strip():
        return pieces
    text = pieces[0].text.lstrip()
    return [pieces[0]._replace(text=text[:1].upper() + text[1:]), *pieces[1:]]


def typos(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """Misspell a word or two that are not part of a value."""
    places = [i for i, p in enumerate(pieces) if p.slot is None and any(len(w) > 3 for w in p.text.split())]
    out = list(pieces)
    for at in chance.sample(places, min(len(places), chance.choice((1, 1, 2)))):
        words = out[at].text.split(" ")
        long = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
        if long:
            i = chance.choice(long)
            words[i] = _misspell(words[i], chance)
            out[at] = out[at]._replace(text=" ".join(words))
    return out


def _misspell(word: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(word) - 1)
    return chance.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + _NEAR.get(word[at], "e") + word[at + 1 :],
        )
    )


def fillers(pieces: list[Piece], chance: random.Random) -> list[Piece]:
    """Hesitate before a value or repeat a word."""
    out: list[Piece] = []
    used = 0
    for at, said in enumerate(pieces):
        piece = said
        if piece.slot is not None and at and used < 2 and chance.random() < 0.4 and not piece.text.startswith(" "):
            filler = chance.choice(_FILLERS)
            out.append(Piece(f" {filler}, " if chance.random() < 0.5 else f" {filler} "))
            used += 1
        elif piece.slot is None and used < 2 and chance.random() < 0.25 and len(piece.text.split()) > 1:
            words = piece.text.split(" ")
            i = chance.randrange(len(words))
            if words[i].isalpha():
                words.insert(
                    i,
                    words[i]
                    if chance.random() < 0.5 and words[i].lower() not in {"not", "never", "no"}
                    else chance.choice(_FILLERS[:4]),
                )
            piece = piece._replace(text=" ".join(words))
            used += 1
        out.append(piece)
    return out


def telegram(pieces: list[Piece]) -> list[Piece]:
    """Leave out the articles."""
    out = []
    for piece in pieces:
        text = piece.text
        if piece.slot is None:
            text = (
                f" {text} ".replace(" the ", " ").replace(" a ", " ").replace(" please ", " ")[1:-1]
                if len(text) > 1
                else text
            )
            text = (" " if piece.text.startswith(" ") and not text.startswith(" ") else "") + text
            text += " " if piece.text.endswith(" ") and not text.endswith(" ") else ""
        out.append(piece._replace(text=text))
    return out
