"""Canonical bytes are those of the package that follows RFC 8785, whichever way they were made."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts.canonical import canonical
from appliance.errors import WireError

TEXT = st.text(max_size=8) | st.text('\x00\x1f"\\/\x7f\u2028\ud7ff\ue000\U0001f600\n\t\bé', max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_the_fast_way_and_the_books_way_are_the_same_bytes(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(st.integers(min_value=2**53) | st.integers(max_value=-(2**53)))
def test_what_has_no_canonical_form_is_refused(number):
    for value in (number, {"a": [number]}, float("nan"), {"a": float("inf")}, "\ud800", {"\udfff": 1}, [b"x"]):
        with pytest.raises(WireError):
            canonical(value)


def test_depth_is_refused_and_never_a_crash():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(WireError):
        canonical(deep)
