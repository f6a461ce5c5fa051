"""What is packed comes out as it went in, and nothing that comes in makes memory grow or raises what it should not."""

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.contracts.packing import PACKED, PLAIN, packed, unpacked
from appliance.errors import WireError


@given(st.binary(max_size=5000), st.integers(0, 3000))
def test_what_is_packed_comes_out_as_it_went_in(payload, from_bytes):
    small, form = packed(payload, from_bytes=from_bytes)

    assert unpacked(small, form) == payload
    assert len(small) <= len(payload)


def test_a_short_payload_stays_readable():
    assert packed(b'{"a": 1}' * 10, from_bytes=1024) == (b'{"a": 1}' * 10, PLAIN)


def test_what_packing_makes_longer_is_left_alone():
    noise = bytes(range(256)) * 4

    assert packed(gzip.compress(noise), from_bytes=1)[1] == PLAIN


def test_the_same_payload_is_the_same_bytes():
    assert packed(b"a" * 5000, from_bytes=1) == packed(b"a" * 5000, from_bytes=1)


def test_a_bomb_is_refused_before_it_goes_off():
    bomb = gzip.compress(b"\0" * (200 * 2**20))
    assert len(bomb) < MAX_MESSAGE_BYTES

    with pytest.raises(WireError, match="unpack to more"):
        unpacked(bomb, PACKED)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-5], "too early"),
        (lambda data: data + b"x", "follows"),
        (lambda data: data + data, "follows"),
        (lambda _data: b"no gzip at all", "not the gzip"),
        (lambda _data: b"", "too early"),
    ],
)
def test_a_damaged_payload_is_refused_with_its_reason(spoil, why):
    with pytest.raises(WireError, match=why):
        unpacked(spoil(gzip.compress(b'{"a": 1}' * 500)), PACKED)


@given(st.binary(max_size=2000))
def test_noise_is_refused_and_never_a_crash(noise):
    with contextlib.suppress(WireError):
        unpacked(noise, PACKED)


def test_what_says_nothing_of_packing_is_left_as_it_is():
    assert unpacked(gzip.compress(b"x"), None) == gzip.compress(b"x")
    assert unpacked(b"{}", "text/plain") == b"{}"
