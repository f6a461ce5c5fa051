"""Signed notes are C2SP's: the published example opens, and nothing that only looks like a note does."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import TrustError, WireError
from appliance.trust import keys, notes
from appliance.trust.notes import Checkpoint, Note, Signature, Verifier

# The example of golang.org/x/mod/sumdb/note, which C2SP's format is.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
EXAMPLE = f"{TEXT}\n{LINE}".encode()
ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return keys.load_or_make(tmp_path_factory.mktemp("keys") / "a.key")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return keys.load_or_make(tmp_path_factory.mktemp("keys") / "b.key")


def test_the_published_example_opens_with_the_published_key():
    verifier = notes.parse_verifier(VKEY)

    note = notes.parse(EXAMPLE)

    assert note.text == TEXT
    assert notes.verified(note, [verifier]) == (verifier,)
    assert str(note).encode() == EXAMPLE
    assert str(verifier) == VKEY


def test_a_checkpoint_goes_out_and_comes_back(key):
    checkpoint = Checkpoint("edge-agent-appliance/barn/e1", 20852163, ROOT)

    note = notes.sign(str(checkpoint), checkpoint.origin, key)

    again = notes.parse(str(note).encode())
    assert again == note
    assert notes.verified(again, [Verifier(checkpoint.origin, key.public)])
    assert notes.parse_checkpoint(again.text) == checkpoint


def test_the_published_checkpoint_is_read():
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

    read = notes.parse_checkpoint(text)

    assert (read.origin, read.size, len(read.root), read.extensions) == (
        "example.com/behind-the-sofa",
        20852163,
        32,
        (),
    )
    assert str(read) == text
    assert notes.parse_checkpoint(f"{text}more\n").extensions == ("more",)


def test_signatures_of_strangers_are_kept_and_ignored(key, other):
    note = notes.sign("text\n", "me", key)
    witnessed = Note(note.text, (*notes.sign("text\n", "witness", other).signatures, *note.signatures))

    again = notes.parse(str(witnessed).encode())

    assert notes.verified(again, [Verifier("me", key.public)]) == (Verifier("me", key.public),)
    assert [signature.name for signature in again.signatures] == ["witness", "me"]
    assert len(notes.verified(again, [Verifier("me", key.public), Verifier("witness", other.public)])) == 2


def test_a_key_under_another_name_is_another_key(key):
    with pytest.raises(TrustError, match="not signed by a known key"):
        notes.verified(notes.sign("text\n", "me", key), [Verifier("you", key.public)])


def test_one_bad_signature_of_a_known_key_spoils_the_note(key, other):
    good, also = notes.sign("text\n", "a", key), notes.sign("other text\n", "b", other)
    note = Note("text\n", (*good.signatures, *also.signatures))

    with pytest.raises(TrustError, match=r"of b .* does not hold"):
        notes.verified(note, [Verifier("a", key.public), Verifier("b", other.public)])


@given(st.integers(0, len(EXAMPLE) - 1), st.integers(1, 255))
def test_no_byte_of_a_note_can_be_changed(place, change):
    altered = EXAMPLE[:place] + bytes([EXAMPLE[place] ^ change]) + EXAMPLE[place + 1 :]

    with pytest.raises((WireError, TrustError)):
        notes.verified(notes.parse(altered), [notes.parse_verifier(VKEY)])


@given(st.binary(max_size=400) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_anything_at_all_is_a_note_or_a_clear_error(data):
    try:
        note = notes.parse(data)
    except WireError:
        return
    assert str(note).encode() == data


@given(st.lists(st.sampled_from([*EXAMPLE.decode(), "\n\n", "\u2014 ", LINE, "+", "=", " "]), max_size=60).map("".join))
def test_pieces_of_notes_are_a_note_or_a_clear_error(text):
    try:
        note = notes.parse(text.encode())
    except WireError:
        return
    assert str(note) == text


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(["a\n", "0\n", "01\n", "12\n", "\n", f"{base64.b64encode(ROOT).decode()}\n"]), max_size=5
    ).map("".join)
)
def test_any_text_is_a_checkpoint_or_a_clear_error(text):
    try:
        checkpoint = notes.parse_checkpoint(text)
    except WireError:
        return
    assert str(checkpoint) == text


@given(st.text(max_size=120) | st.text(alphabet="+abc0123=/\u2014 ", max_size=120))
def test_any_text_is_a_verifier_key_or_a_clear_error(text):
    try:
        verifier = notes.parse_verifier(text)
    except TrustError:
        return
    assert str(verifier) == text


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"x" * (notes.MAX_NOTE_BYTES + 1), "are allowed"),
        (f"t\n\n{LINE * (notes.MAX_SIGNATURES_N + 1)}".encode(), "signatures; 64 are allowed"),
        (b"\xff\n\n", "not UTF-8"),
        (EXAMPLE.replace(b"If", b"I\x07"), "control character 0x07"),
        (EXAMPLE.replace(b"\n", b"\r\n"), "control character 0x0d"),
        (TEXT.encode(), "no empty line"),
        (EXAMPLE[:-1], "no empty line"),
        (EXAMPLE.replace("\u2014".encode(), b"-"), "not a signature line"),
        (EXAMPLE.replace(b"Peter", b"Pe+er"), "not a signature line"),
        (EXAMPLE.replace(b"PeterNeumann x", "Peter\u00a0Neumann x".encode()), "not a signature line"),
        (b"t\n\n\xe2\x80\x94 a AAAA\n", "holds no signature"),
        (b"t\n\n\xe2\x80\x94 a AAAAAAB=\n", "not canonical base64"),
        (b"t\n\n\xe2\x80\x94 a AAAA*AAA\n", "not base64"),
    ],
)
def test_what_is_wrong_with_a_note_is_said(data, complaint):
    with pytest.raises(WireError, match=complaint):
        notes.parse(data)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\n1\n", "three lines"),
        ("a\n1\nx", "three lines"),
        ("\n1\nx\n", "none empty"),
        ("a\n01\nx\n", "not a number of records"),
        ("a\n-1\nx\n", "not a number of records"),
        ("a\n" + "9" * 30 + "\nx\n", "not a number of records"),
        ("a\n\u0661\nx\n", "not a number of records"),
        ("a\n1\nAAAA\n", "a root of 3 bytes"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(text, complaint):
    with pytest.raises(WireError, match=complaint):
        notes.parse_checkpoint(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"name\+hash\+key"),
        (VKEY.replace("c74f20a3", "c74f20a4"), "mistyped"),
        (VKEY.replace("Peter", "Pater"), "mistyped"),
        (VKEY.replace("+ARp", "+Ahp"), "not an Ed25519 key"),
        (VKEY[:-4], "not an Ed25519 key"),
        (VKEY + "!", "not base64"),
        (VKEY + "\n", r"name\+hash\+key"),
    ],
)
def test_what_is_wrong_with_a_verifier_key_is_said(text, complaint):
    with pytest.raises(TrustError, match=complaint):
        notes.parse_verifier(text)


def test_what_cannot_be_a_note_is_not_signed(key):
    for text, name in (("no newline", "me"), ("a\tb\n", "me"), ("t\n", "two words"), ("t\n", "a+b"), ("t\n", "")):
        with pytest.raises(ValueError, match=r"note|name"):
            notes.sign(text, name, key)


def test_a_signature_is_compared_by_its_bytes(key):
    note = notes.sign("text\n", "me", key)
    cut = Signature("me", note.signatures[0].key_hash, note.signatures[0].signature[:-1])

    with pytest.raises(TrustError, match="does not hold"):
        notes.verified(Note(note.text, (cut,)), [Verifier("me", key.public)])
