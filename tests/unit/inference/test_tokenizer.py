"""The tokenizer gives the tokens of the reference, and never loses its place."""

import json
import random
import unicodedata
from pathlib import Path

import pytest

from appliance.errors import BundleError
from appliance.inference.tokenizer import SPECIAL_TOKENS, WordPiece

tokenizers = pytest.importorskip("tokenizers", reason="the reference implementation is a development dependency")

BUNDLES = Path(__file__).parents[3] / "firmware_models" / "bundles"
HOSTILE = [
    "Dim the Kitchen to 30%, please!",
    "café naïve ÅNGSTRÖM ﬁne ½ ²",
    "a\x00b \x0b c\u200bd\u00a0e\u2028f",
    "日本語テスト and 한국어",
    "Σίσυφος ΣΑΣ İstanbul ß",
    "x" * 300,
    "😀 go 👩‍👩‍👧",
    "e\u0301 o\u0308 — “quoted” don't",
    "[unused1] ##ing [cls]",
    "\u202eevil\u202c नमस्ते مرحبا",
    "",
    " \t\n\r ",
]


@pytest.fixture(scope="module")
def vocabulary() -> Path:
    return next(BUNDLES.glob("*/vocab.txt"))


@pytest.fixture(scope="module")
def wordpiece(vocabulary: Path) -> WordPiece:
    return WordPiece.read(vocabulary)


@pytest.fixture(scope="module")
def reference(vocabulary: Path) -> object:
    return tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=True)


def requests_of_the_bundle() -> list[str]:
    golden = next(BUNDLES.glob("*/golden.jsonl"))
    return [json.loads(line)["request"] for line in golden.read_text("utf-8").splitlines()]


def scrambled(count: int) -> list[str]:
    """Text of letters that both sides' tables of characters have long known (Unicode before 7), well mixed."""
    chance = random.Random(20261122)
    blocks = [(0x20, 0x24F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x2010, 0x205E), (0x4E00, 0x4E7F)]
    letters = [chr(c) for low, high in blocks for c in range(low, high + 1) if unicodedata.category(chr(c)) != "Cn"]
    return ["".join(chance.choices(letters + [" "] * 200, k=chance.randint(1, 60))) for _ in range(count)]


def test_every_text_gives_the_tokens_and_places_of_the_reference(wordpiece: WordPiece, reference: object) -> None:
    texts = [*HOSTILE, *requests_of_the_bundle(), *scrambled(500)]

    for text in texts:
        ours = wordpiece.tokens(text)
        theirs = reference.encode(text, add_special_tokens=False)  # type: ignore[attr-defined]

        assert [token.id for token in ours] == theirs.ids, text
        assert [(token.start, token.end) for token in ours] == theirs.offsets, text


def test_a_special_token_cannot_be_written(wordpiece: WordPiece) -> None:
    text = " ".join(SPECIAL_TOKENS) + " [unused0] [unused42]"

    ids = {token.id for token in wordpiece.tokens(text)}

    assert not ids & {wordpiece.pad, wordpiece.cls, wordpiece.sep, wordpiece.mask}
    assert all(
        text[token.start : token.end].isalnum() or len(text[token.start : token.end]) == 1
        for token in wordpiece.tokens(text)
    )


@pytest.mark.parametrize("text", ["\ud800 half a pair", "a\udfffb", "\x00", "\ufffd\ufffd"])
def test_text_that_is_no_valid_unicode_is_read_without_a_fault(wordpiece: WordPiece, text: str) -> None:
    tokens = wordpiece.tokens(text)

    assert all(0 <= token.start < token.end <= len(text) for token in tokens)


def test_a_vocabulary_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("<s>\nhello\n", encoding="utf-8")

    with pytest.raises(BundleError, match=r"\[CLS\]"):
        WordPiece.read(tmp_path / "vocab.txt")
