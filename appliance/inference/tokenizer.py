"""Text to WordPiece tokens that remember which characters they came from.

The same code trains the network and runs on the device, so the two can never disagree on where a word ends. It
follows the uncased BERT rules (clean, strip accents, lower-case, split at white space and punctuation, longest match
first), checked token for token against the `tokenizers` library in the tests.

A special token cannot be written in text: `[CLS]` in a tool's description becomes `[`, `cls`, `]`, because brackets
always stand alone. Markers are made by `encoding`, never read from what somebody typed.

Source:
    Devlin et al. 2018, arXiv:1810.04805; the reference BasicTokenizer and WordpieceTokenizer.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from appliance.errors import BundleError

LONGEST_WORD_CHARACTERS: Final = 100
"""A longer word becomes one unknown token, as in the reference: no word costs more than a hundred look-ups."""

SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_PLAIN: Final = re.compile(r"[\t\n\r\x20-\x7e]*")
_PLAIN_WORD: Final = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_CJK: Final = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Ranges that the reference splits into single characters, its typing slip (2B920 for 2B820) included."""


class Token(NamedTuple):
    """A piece of a word: its row in the vocabulary and the characters it stands for."""

    id: int
    start: int
    end: int


class _Letter(NamedTuple):
    """One character after normalisation, and the place of the character it came from."""

    text: str
    place: int


class WordPiece:
    """Splits text into the tokens of one vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {token: number for number, token in enumerate(vocabulary)}
        missing = [token for token in SPECIAL_TOKENS if token not in self._ids]
        if missing:
            raise BundleError(
                f"the vocabulary lacks {', '.join(missing)}; it is not a WordPiece vocabulary of this family"
            )
        self.pad, self.unknown, self.cls, self.sep, self.mask = (self._ids[token] for token in SPECIAL_TOKENS)
        # Requests repeat their words; 4,096 words are a few hundred kilobytes and save most of the look-ups.
        self._pieces = lru_cache(maxsize=4096)(self._split_word)

    @classmethod
    def read(cls, path: Path) -> "WordPiece":
        """Read a vocabulary file, one token a line.

        Raises:
            BundleError: the file is missing, is not UTF-8, or lacks a special token.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            raise BundleError(f"cannot read the vocabulary {path.name}: {fault}") from fault
        return cls(lines)

    def __len__(self) -> int:
        return len(self._ids)

    def tokens(self, text: str) -> list[Token]:
        """Split *text*; the offsets are characters of *text* as it was given."""
        found: list[Token] = []
        for word, places in _words(text):
            for piece, start, end in self._pieces(word):
                found.append(Token(piece, places[start], places[end - 1] + 1))
        return found

    def _split_word(self, word: str) -> tuple[tuple[int, int, int], ...]:
        """The pieces of a word as (id, first letter, letter after the last), longest match first."""
        whole = ((self.unknown, 0, len(word)),)
        if len(word) > LONGEST_WORD_CHARACTERS:
            return whole
        pieces: list[tuple[int, int, int]] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._ids.get(prefix + word[start:end])
                if number is not None:
                    pieces.append((number, start, end))
                    start = end
                    break
            else:
                return whole
        return tuple(pieces)


def _words(text: str) -> Iterator[tuple[str, Sequence[int]]]:
    """Words and punctuation marks of *text*, normalised, each with the place of every letter."""
    if _PLAIN.fullmatch(text):
        for match in _PLAIN_WORD.finditer(text.lower()):
            yield match.group(), range(match.start(), match.end())
        return
    word: list[_Letter] = []
    for letter in _letters(text):
        alone = _stands_alone(letter.text)
        if word and (alone or letter.text.isspace()):
            yield _joined(word)
            word = []
        if alone:
            yield letter.text, (letter.place,)
        elif not letter.text.isspace():
            word.append(letter)
    if word:
        yield _joined(word)


def _joined(word: list[_Letter]) -> tuple[str, Sequence[int]]:
    return "".join(letter.text for letter in word), [letter.place for letter in word]


def _letters(text: str) -> Iterator[_Letter]:
    """Normalise *text* letter by letter: no control characters, no accents, lower case."""
    for place, character in enumerate(text):
        if character in "\t\n\r":
            yield _Letter(" ", place)
        elif character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character)[0] == "C":
            continue
        elif character.isspace():
            yield _Letter(" ", place)
        elif character.isascii():
            yield _Letter(character.lower(), place)
        else:
            for part in unicodedata.normalize("NFD", character):
                if unicodedata.category(part) != "Mn":
                    for lowered in part.lower():
                        yield _Letter(lowered, place)


def _stands_alone(character: str) -> bool:
    """Whether a character is a word of its own: punctuation, or an ideograph."""
    if character.isascii():
        return not character.isalnum() and not character.isspace()
    code = ord(character)
    return unicodedata.category(character)[0] == "P" or any(low <= code <= high for low, high in _CJK)
