"""A PIN is kept so that it cannot be read, and the ones that everybody tries first are none."""

import hashlib

import pytest

from appliance.trust import pin
from appliance.trust.pin import Cost

SALT = bytes(range(16))
CHEAP = Cost(1, 1, 1)


def test_a_pin_matches_what_was_kept_of_it_and_no_other_does():
    kept = pin.keep("482913", SALT)

    assert pin.matches("482913", kept)
    assert not pin.matches("482914", kept)
    assert not pin.matches("", kept)
    assert "482913" not in kept


def test_what_is_kept_is_the_scrypt_of_rfc_7914_with_its_parameters_beside_it():
    kept = pin.keep("482913", SALT)

    assert kept == "scrypt$14$8$1$" + SALT.hex() + "$" + hashlib.scrypt(
        b"482913", salt=SALT, n=2**14, r=8, p=1, maxmem=2**25, dklen=32
    ).hex()  # fmt: skip


def test_parameters_of_before_stay_good_when_new_pins_cost_more():
    assert pin.matches("482913", pin.keep("482913", SALT, CHEAP))


def test_the_same_pin_with_another_salt_is_another_row():
    assert pin.keep("482913", SALT, CHEAP) != pin.keep("482913", SALT[::-1], CHEAP)


def test_composed_and_decomposed_letters_are_one_pin():
    assert pin.matches("caf\u00e982", pin.keep("cafe\u030182", SALT, CHEAP))


def test_nothing_matches_what_stands_for_nobody():
    assert not pin.matches("482913", pin.nobodys(CHEAP))
    assert pin.nobodys().startswith("scrypt$14$8$1$")


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "482913",
        "scrypt$14$8$1$00$00",
        "scrypt$31$99$9$" + "0" * 32 + "$" + "0" * 64,  # 25 TiB
        "scrypt$0$8$1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$14$0$1$" + "0" * 32 + "$" + "0" * 64,
        "argon2$14$8$1$" + "0" * 32 + "$" + "0" * 64,
        "scrypt$14$8$1$" + "0" * 32 + "$" + "0" * 64 + "\n",
    ],
)
def test_a_row_that_this_software_did_not_write_matches_nothing(kept):
    assert not pin.matches("482913", kept)


@pytest.mark.parametrize("chosen", ["482913", "boat-82", "Xk4!p9", "20:15:33", "größe7", "740281659302"])
def test_a_pin_of_six_to_twelve_characters_is_one(chosen):
    assert pin.fault(chosen, "ana") is None


@pytest.mark.parametrize(
    "chosen",
    [
        "",
        "48291",
        "4829130000000",
        "4829 13",
        "4829\x0013",
        "4829\u202e13",
        "\ud8004829",
        "9" * 10_000,
    ],
)
def test_what_is_too_short_too_long_or_cannot_be_seen_is_none(chosen):
    assert pin.fault(chosen) == pin.RULE


@pytest.mark.parametrize(
    "chosen",
    [
        "000000", "111111", "zzzzzz", "121212", "123123", "abcabc", "48294829",  # repeated
        "123456", "654321", "234567", "890123", "098765", "abcdef", "FEDCBA", "qwerty", "asdfgh",  # runs
        "112233", "147258", "PassWord", "1q2w3e",  # often
    ],
)  # fmt: skip
def test_what_everybody_tries_first_is_none(chosen):
    said = pin.fault(chosen)

    assert said is not None
    assert chosen not in said


def test_ones_own_name_is_no_pin():
    assert pin.fault("marianne", "marianne") is not None
    assert pin.fault("marianne1", "marianne") is not None
    assert pin.fault("xao482", "ao") is None
