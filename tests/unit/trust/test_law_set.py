"""A set of laws has one form, one signer, and a place where it holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import TrustError, WireError
from appliance.trust import keys, notes, owner
from appliance.trust.law_set import MAX_LAWS_N, LawSet, SignedLaw, check_set, law_set, parse_set, sign_set

LAWS = (SignedLaw("gate", 3, "a" * 64, 900), SignedLaw("night", 1, "b" * 64, 1200))
SET = LawSet(7, "plant-1", ("lamp-1", "lamp-2"), LAWS)
TEXT = str(SET)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "owner.pem"
    owner.make(path)
    return keys.load(path)


def test_a_signed_set_comes_back_as_it_was(key):
    note = str(sign_set(SET, key)).encode()

    assert check_set(note, owner.verifier(key)) == SET


def test_the_text_is_one_that_a_person_can_read_before_signing():
    assert (
        "edge-agent-appliance/laws\nset 7\nsite plant-1\ndevices lamp-1 lamp-2\n"
        f"law gate 3 {'a' * 64} 900\nlaw night 1 {'b' * 64} 1200\n"
    ) == TEXT


def test_an_empty_set_says_that_nothing_is_governed(key):
    empty = law_set(1, "home", (), ())

    assert check_set(str(sign_set(empty, key)).encode(), owner.verifier(key)).laws == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "law zoo 1 " + "c" * 64 + " 1",
        TEXT.replace("laws\n", "law\n", 1),
        TEXT.replace("set 7", "set 07"),
        TEXT.replace("set 7", "set 0"),
        TEXT.replace("set 7", "set -7"),
        TEXT.replace("set 7", "set \u0667"),
        TEXT.replace("set 7", "set 10000000000000000"),
        TEXT.replace("set 7", "set  7"),
        TEXT.replace("set 7\n", ""),
        TEXT.replace("set 7\n", "set 7\nset 8\n"),
        TEXT.replace("site plant-1", "site plant-1 "),
        TEXT.replace("site plant-1", "site ../x"),
        TEXT.replace("site plant-1", "site "),
        TEXT.replace("lamp-1 lamp-2", "lamp-2 lamp-1"),
        TEXT.replace("lamp-1 lamp-2", "lamp-1 lamp-1"),
        TEXT.replace("lamp-1 lamp-2", "* lamp-1"),
        TEXT.replace("lamp-1 lamp-2", ""),
        TEXT.replace("law gate 3", "law gate 03"),
        TEXT.replace("law gate 3", "law gate 0"),
        TEXT.replace("law gate 3", "law Gate 3"),
        TEXT.replace("law gate 3", "law night 3"),
        TEXT.replace("law gate", "law oven"),
        TEXT.replace("a" * 64, "A" * 64),
        TEXT.replace("a" * 64, "a" * 63),
        TEXT.replace(" 900", ""),
        TEXT.replace(" 900", " 900 x"),
        TEXT.replace(" 900", " 0"),
        TEXT.replace("\n", "\r\n"),
    ],
)
def test_anything_else_than_the_one_form_is_refused(text):
    with pytest.raises(WireError, match="set of laws"):
        parse_set(text)


def test_a_set_with_more_laws_than_a_device_takes_is_refused():
    laws = [SignedLaw(f"law_{n:03d}", 1, "a" * 64, 1) for n in range(MAX_LAWS_N + 1)]

    with pytest.raises(WireError, match="33 laws; 32 are allowed"):
        law_set(1, "home", (), laws)


def test_what_is_given_in_any_order_is_signed_in_one():
    assert law_set(7, "plant-1", ("lamp-2", "lamp-1"), reversed(LAWS)) == SET


@pytest.mark.parametrize(
    ("site", "device", "holds"),
    [("plant-1", "lamp-1", True), ("plant-1", "lamp-3", False), ("plant-2", "lamp-1", False), ("", "lamp-1", False)],
)
def test_a_set_holds_where_it_was_signed_for_and_nowhere_else(site, device, holds):
    assert SET.holds_at(site, device) is holds


def test_a_set_for_a_site_holds_on_each_of_its_devices():
    assert SET._replace(devices=()).holds_at("plant-1", "anything")


def test_every_flipped_bit_of_a_note_is_refused(key):
    note = bytearray(str(sign_set(SET, key)).encode())
    for n in range(len(note)):
        for bit in (0, 3, 7):
            changed = bytes((*note[:n], note[n] ^ (1 << bit), *note[n + 1 :]))
            with pytest.raises((WireError, TrustError)):
                check_set(changed, owner.verifier(key))


def test_a_signature_by_another_key_of_the_same_name_is_refused(key, tmp_path):
    other = tmp_path / "other.pem"
    owner.make(other)

    with pytest.raises(TrustError, match="not signed by a known key"):
        check_set(str(sign_set(SET, keys.load(other))).encode(), owner.verifier(key))


def test_two_notes_one_behind_the_other_are_no_set(key):
    first, second = str(sign_set(SET, key)), str(sign_set(SET._replace(number=8), key))

    with pytest.raises((WireError, TrustError)):
        check_set((first + second).encode(), owner.verifier(key))
    with pytest.raises((WireError, TrustError)):
        check_set((first + "\n" + second).encode(), owner.verifier(key))


def test_a_note_that_the_owner_signed_twice_is_the_same_set(key):
    note = sign_set(SET, key)
    twice = notes.Note(note.text, note.signatures * 2)

    assert check_set(str(twice).encode(), owner.verifier(key)) == SET


def test_a_witness_may_sign_too_and_alone_is_not_enough(key, tmp_path):
    owner.make(tmp_path / "witness.pem")
    note, by_witness = sign_set(SET, key), sign_set(SET, keys.load(tmp_path / "witness.pem"), "witness")

    both = notes.Note(note.text, (*by_witness.signatures, *note.signatures))

    assert check_set(str(both).encode(), owner.verifier(key)) == SET
    with pytest.raises(TrustError):
        check_set(str(by_witness).encode(), owner.verifier(key))


def test_something_else_that_the_owner_signed_is_no_set(key):
    for text in ("hello\n", str(owner.hand_over(key, owner.verifier(key)).text)):
        with pytest.raises(WireError, match="not a set of laws"):
            check_set(str(notes.sign(text, owner.NAME, key)).encode(), owner.verifier(key))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.lists(st.sampled_from(TEXT.split("\n")), max_size=8).map("\n".join))
def test_what_is_read_as_a_set_is_written_the_same_again(text):
    try:
        read = parse_set(text)
    except WireError:
        return
    assert str(read) == text


_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_LAWS = st.lists(
    st.builds(
        SignedLaw,
        st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True),
        st.integers(1, 10**9),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        st.integers(1, 10**6),
    ),
    max_size=6,
    unique_by=lambda law: law.name,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**15), _NAMES, st.sets(_NAMES, max_size=4), _LAWS)
def test_every_set_that_can_be_written_is_read_back(number, site, devices, laws):
    made = law_set(number, site, devices, laws)

    assert parse_set(str(made)) == made
    assert set(made.laws) == set(laws)
    assert set(made.devices) == devices
